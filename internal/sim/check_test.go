package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
)

// flaw is a promise that was not kept.
type flaw struct {
	text string
	m    *message // may be nil
}

// check returns what is wrong, once everything has settled.
func (w *world) check() []flaw {
	found := w.probe()
	<-time.After(w.plan.pace.restful())
	synctest.Wait()
	found = append(found, w.idle()...)
	found = append(found, w.leaks()...)
	found = append(found, w.checkWatches()...)
	h := w.history
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.strays {
		found = append(found, flaw{text: s})
	}
	for _, m := range h.messages {
		if text := w.judge(m); text != "" {
			found = append(found, flaw{text, m})
		}
	}
	return append(found, w.disorder()...)
}

// judge says which promise about a message was not kept, or "".
func (w *world) judge(m *message) string {
	alive, ghosts := m.handlings()
	v := m.verdict()
	switch {
	case len(m.results) > 1 && (!m.doubted() || w.excuse(m) == ""):
		return "MS-3: its sender was told more than one outcome"
	case alive+ghosts > 1:
		return "MS-1: it was handled more than once"
	case v == no && alive+ghosts > 0:
		return "MS-3: its sender was told that it was not handled, and it was"
	case v == yes && alive+ghosts == 0:
		return "MS-4: its call has succeeded, and nobody has handled it"
	case v == nothing && m.op.what.isCall() && !w.senderEnded(m):
		return "MS-4: the call has not ended"
	case v == nothing && alive+ghosts == 0 && !w.senderEnded(m) && w.excuse(m) == "":
		return "MS-3: it has no outcome, and no session and no node was lost meanwhile"
	case v != nothing && m.lost() && w.excuse(m) == "" && !w.closed(m) && !m.metRest():
		return "MS-1: it came back for the loss of a session, and no session and no node was lost meanwhile"
	}
	return ""
}

// doubted reports whether m came back for one reason at most, and otherwise in
// doubt: its answer took another way than the session that was lost. One that
// passes the hub may come back in doubt from each of its two sessions.
func (m *message) doubted() bool {
	doubts, sessions := 0, 1
	for _, r := range m.results {
		if r.doubt {
			doubts++
		}
	}
	if m.from.name != hub && m.op.node != hub {
		sessions = 2
	}
	return doubts >= 1 && doubts <= sessions && len(m.results)-doubts <= 1
}

// senderEnded reports whether nobody was left to be told about m.
func (w *world) senderEnded(m *message) bool { return w.node(m.from.name) != m.from }

// excuse returns the event that may have cost m its outcome, or "". That the
// node it is for was closed in good order is none, if the network is: what
// reaches a node while it closes comes back.
func (w *world) excuse(m *message) string {
	way := []string{m.from.name, m.op.node, hub}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		touches := slices.Contains(way, e.a) && (e.b == "" || slices.Contains(way, e.b))
		returns := e.gentle && w.plan.quiet && e.a == m.op.node
		if e.end && !returns && touches && e.to+w.plan.pace.recovery() >= m.at {
			return e.why
		}
	}
	return ""
}

// closed reports whether the node that m is for was closed in good order.
func (w *world) closed(m *message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.events, func(e event) bool { return e.gentle && e.a == m.op.node && e.to+w.plan.pace.recovery() >= m.at })
}

// metRest reports whether m came back because it met the end of an idle session
// on its way through the hub.
func (m *message) metRest() bool {
	r := m.results[0]
	return !r.doubt && m.from.name != hub && m.op.node != hub && strings.HasSuffix(r.text, "idle")
}

// passedEnded reports whether m is in doubt, or a Send that nobody answers, and
// may have passed the hub not long before that was killed, or while it was being
// closed: what the hub has said may arrive late.
func (w *world) passedEnded(m *message) bool {
	if v := m.verdict(); v != perhaps && v != nothing || m.from.name == hub || m.op.node == hub {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.events, func(e event) bool {
		return e.dies && e.a == hub && e.to >= m.at && m.at+w.plan.pace.recovery() >= e.from
	})
}

// disorder returns the messages that were handled after later ones of the same
// sender to the same actor (MS-1, MS-2).
func (w *world) disorder() []flaw {
	type stream struct {
		from   *node
		sender string
		to     string
	}
	var found []flaw
	last := map[stream]*message{}
	for _, m := range w.history.order {
		s := stream{m.from, m.sender, m.to.String()}
		if l := last[s]; l != nil && l.id > m.id {
			if w.passedEnded(m) {
				continue
			}
			found = append(found, flaw{fmt.Sprintf("MS-1: it was handled after message %d, which the same sender has sent later", l.id), m})
		}
		last[s] = m
	}
	return found
}

// probe sees that every node that lives can call every other one.
func (w *world) probe() []flaw {
	var found []flaw
	for _, from := range w.nodes() {
		for _, to := range w.nodes() {
			ctx, cancel := context.WithTimeout(from.ctx(), 30*time.Second)
			_, err := actor.Ping.Call(ctx, to.proc.Agent(), actor.None{})
			cancel()
			w.history.probes++
			if err != nil {
				found = append(found, flaw{text: fmt.Sprintf("%s cannot call %s after all was healed: %v", from, to, err)})
			}
		}
	}
	return found
}

// idle sees that nothing waits and nothing works any more.
func (w *world) idle() []flaw {
	var found []flaw
	for _, n := range w.nodes() {
		for _, a := range n.proc.Status().Actors {
			if a.Waiting > 0 || a.Busy || a.Ending {
				found = append(found, flaw{text: fmt.Sprintf("%s: at the end actor %+v is not idle", n, a)})
			}
		}
	}
	return found
}

// end ends the world. The bubble sees that nothing stays behind.
func (w *world) end() {
	for _, n := range w.nodes() {
		w.ending.Go(func() { n.end(context.Background()) })
	}
	w.ending.Wait()
	if n := w.net.Conns(); n > 0 {
		w.fail("%d ends of connections are left", n)
	}
}

// tell tells what was planned, what went wrong and, if all is set, everything
// else.
func (w *world) tell(found []flaw, all bool) string {
	var b strings.Builder
	fmt.Fprintln(&b, w.plan)
	for i, f := range found {
		fmt.Fprintln(&b, "FLAW", f.text)
		if f.m != nil && i < 10 {
			fmt.Fprintf(&b, "  %v\n  excuse: %q\n", f.m, w.excuse(f.m))
			w.tellStream(&b, f.m)
		}
	}
	if all {
		fmt.Fprintln(&b, w.history)
	}
	return b.String()
}

// tellStream tells the messages around m of the same sender to the same actor.
func (w *world) tellStream(b *strings.Builder, m *message) {
	fmt.Fprintln(b, "  with those around it:")
	for _, o := range w.history.messages {
		if o.from == m.from && o.sender == m.sender && o.to == m.to && o.id-m.id <= 20 && m.id-o.id <= 20 {
			fmt.Fprintf(b, "    %v\n", o)
		}
	}
}
