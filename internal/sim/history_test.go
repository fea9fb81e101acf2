package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// history is what was sent, what was handled and what came back.
type history struct {
	start time.Time

	mu       sync.Mutex // guards the following
	messages []*message
	puts     map[putKey]*message
	used     map[usedKey]int
	order    []*message // as they were handled
	strays   []string   // what nobody sent came back
	probes   int
}

// putKey is all that is known of a message that comes back.
type putKey struct {
	from   *node
	to     id.Actor
	method string
}

type usedKey struct {
	from *node
	to   id.Actor
}

// message is one message and what became of it.
type message struct {
	id      int
	from    *node
	sender  string // "" for those outside any actor
	to      id.Actor
	op      op
	at      time.Duration
	handled []handling
	results []result
}

// handling is one time that a handler got a message.
type handling struct {
	at    time.Duration
	node  *node
	ghost bool // in a node that was dead already
}

// result is what its sender learned of a message: what Send or Call returned,
// or that it came back.
type result struct {
	at     time.Duration
	back   bool        // it came back
	err    error       // what Send or Call returned
	reason wire.Reason // why it came back
	doubt  bool        // it came back, and was perhaps handled
	text   string
}

func newHistory() *history {
	return &history{start: time.Now(), puts: map[putKey]*message{}, used: map[usedKey]int{}}
}

func (h *history) now() time.Duration { return time.Since(h.start) }

// send notes that a message is being sent and gives it its id, and a Send the
// number of its method. It reports false if there are no numbers left.
func (h *history) send(from *node, sender string, to id.Actor, o op) (*message, int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := &message{id: len(h.messages), from: from, sender: sender, to: to, op: o, at: h.now()}
	i := 0
	if !o.what.isCall() {
		i = h.used[usedKey{from, to}]
		if i == maxPuts/2 {
			return nil, 0, false
		}
		h.used[usedKey{from, to}] = i + 1
		if from.again { // not to be taken for those of the last life
			i += maxPuts / 2
		}
		method := puts[i].Name()
		if o.what == unknown {
			method = unknownPuts[i].Name()
		}
		h.puts[putKey{from, to, method}] = m
	}
	h.messages = append(h.messages, m)
	return m, i, true
}

// sent notes what Send or Call returned. That a Send was accepted is no result.
func (h *history) sent(m *message, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || m.op.what.isCall() {
		m.results = append(m.results, result{at: h.now(), err: err})
	}
}

// handle notes that a handler got a message.
func (h *history) handle(k *worker, got *msg) {
	ghost := k.node.isDead()
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.messages[got.ID]
	if !got.whole(m.op.bulk) {
		h.strays = append(h.strays, fmt.Sprintf("MS-9: message %d came with %d wrong bytes beside it, %d were sent", m.id, got.Bulk.Len(), m.op.bulk))
	}
	m.handled = append(m.handled, handling{at: h.now(), node: k.node, ghost: ghost})
	if !ghost {
		h.order = append(h.order, m)
	}
}

// returned notes that a message came back to a sender, "" for one of those
// outside any actor or one that has ended.
func (h *history) returned(n *node, sender string, u actor.Undelivered) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.puts[putKey{n, u.To, u.Method}]
	switch {
	case m == nil && n.again:
		// it was sent in an earlier life with the same identity
	case m == nil:
		h.strays = append(h.strays, fmt.Sprintf("%v %s/%s: %+v came back, and was not sent from there", h.now(), n, sender, u))
	case sender != "" && sender != m.sender:
		h.strays = append(h.strays, fmt.Sprintf("%v %s/%s: %+v came back, which %s has sent", h.now(), n, sender, u, m.sender))
	default:
		m.results = append(m.results, result{at: h.now(), back: true, reason: u.Reason, doubt: u.InDoubt, text: u.Detail})
	}
}

// String tells the life of a message.
func (m *message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "message %d: %v %s/%s sends %s to %v (%s/%s, %d bytes, hold %v, timeout %v)",
		m.id, m.at, m.from, m.sender, m.op.what, m.to, m.op.node, m.op.actor, m.op.size, m.op.hold, m.op.timeout)
	for _, g := range m.handled {
		fmt.Fprintf(&b, "\n    %v handled in %s", g.at, g.node)
		if g.ghost {
			b.WriteString(", which is dead")
		}
	}
	for _, r := range m.results {
		if r.back {
			fmt.Fprintf(&b, "\n    %v comes back: %v, in doubt %v: %s", r.at, r.reason, r.doubt, r.text)
		} else {
			fmt.Fprintf(&b, "\n    %v ends with %v", r.at, r.err)
		}
	}
	return b.String()
}

// verdict is what the results of a message say about whether it was handled.
type verdict string

// The verdicts.
const (
	nothing verdict = "nothing" // no result: a Send that was handled, or is lost
	yes     verdict = "handled"
	no      verdict = "not handled"
	perhaps verdict = "perhaps handled"
)

func (m *message) verdict() verdict {
	if len(m.results) == 0 {
		return nothing
	}
	r := m.results[0]
	if r.back {
		if r.doubt {
			return perhaps
		}
		return no
	}
	if r.err == nil {
		return yes
	}
	if _, ok := errors.AsType[*actor.RemoteError](r.err); ok || errors.Is(r.err, errAsked) {
		return yes
	}
	_, undeliverable := errors.AsType[*actor.UndeliverableError](r.err)
	if errors.Is(r.err, actor.ErrInDoubt) || m.op.what.isCall() && !undeliverable { // its ctx has ended
		return perhaps
	}
	return no
}

// lost reports whether m came back because a session was lost.
func (m *message) lost() bool { return m.results[0].back && m.results[0].reason == wire.PeerGone }

// handlings returns how often a message was handled, in living nodes and dead.
func (m *message) handlings() (alive, ghosts int) {
	for _, g := range m.handled {
		if g.ghost {
			ghosts++
		} else {
			alive++
		}
	}
	return alive, ghosts
}

// total adds tallies up.
type total struct {
	mu sync.Mutex // guards the following
	tally
}

// tally counts what a simulation did.
type tally struct{ seeds, messages, handled, refused, returned, doubtful, silent, probes int }

func (t *total) add(o tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds += o.seeds
	t.messages += o.messages
	t.handled += o.handled
	t.refused += o.refused
	t.returned += o.returned
	t.doubtful += o.doubtful
	t.silent += o.silent
	t.probes += o.probes
}

func (t *tally) String() string {
	return fmt.Sprintf("%d seeds, %d messages: %d handled, %d refused, %d returned, %d in doubt, %d lost with a node or a session; %d probes",
		t.seeds, t.messages, t.handled, t.refused, t.returned, t.doubtful, t.silent, t.probes)
}

func (h *history) count() tally {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := tally{seeds: 1, messages: len(h.messages), probes: h.probes}
	for _, m := range h.messages {
		alive, _ := m.handlings()
		switch v := m.verdict(); {
		case v == perhaps:
			t.doubtful++
		case alive > 0:
			t.handled++
		case v == no && m.results[0].back:
			t.returned++
		case v == no:
			t.refused++
		default:
			t.silent++
		}
	}
	return t
}

// String tells all messages.
func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lines := slices.Clone(h.strays)
	for _, m := range h.messages {
		lines = append(lines, m.String())
	}
	return strings.Join(lines, "\n") + "\n" + strconv.Itoa(len(h.messages)) + " messages"
}
