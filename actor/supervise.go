package actor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/restart"
	"github.com/hyperactor/hyperactor/wire"
)

// ErrAbandoned says that an actor's handler did not return although its ctx
// was cancelled (AC-3).
var ErrAbandoned = errors.New("abandoned: its handler did not return")

// Failure is what a supervisor is told about an actor that failed (AC-8).
type Failure struct {
	Actor id.Actor // who failed first
	Type  string
	Err   error

	Incarnation int // which run of the actor failed; 1 until it is restarted

	Panicked bool
	Stack    string     // of the panic, or of the handler that did not return
	Chain    []id.Actor // who was told and did not handle it, in order
}

// Error returns the first line of the report.
func (f *Failure) Error() string {
	return fmt.Sprintf("actor %s (%s) failed: %v", f.Actor, f.Type, f.Err)
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Report tells the failure in at most ten lines, root cause first.
func (f *Failure) Report() string {
	lines := []string{f.Error()}
	if len(f.Chain) > 0 {
		names := make([]string, len(f.Chain))
		for i, a := range f.Chain {
			names[i] = a.Name
		}
		lines = append(lines, "not handled by "+strings.Join(names, ", then "))
	}
	for l := range strings.Lines(f.Stack) {
		if len(lines) == maxReport {
			break
		}
		lines = append(lines, "  "+strings.TrimRight(l, "\n"))
	}
	return strings.Join(lines, "\n")
}

const maxReport = 10

// End is the one notice that a supervisor gets of each run of a child (AC-5).
type End struct {
	Actor       id.Actor
	Type        string
	Incarnation int      // which run has ended; 1 until it is restarted
	Failure     *Failure // nil if it ended cleanly
}

// Supervisor is an actor that wants to know how its children end. ChildEnded
// runs like a handler, ahead of messages. The verdict counts if there is a
// failure. Without the method, failures escalate, or restart if the actor's type
// has Restarts.
type Supervisor interface {
	ChildEnded(ctx context.Context, e End) Verdict
}

// Verdict is what a supervisor decides about the failure of a child.
type Verdict uint8

// The verdicts.
const (
	Escalate Verdict = iota // the supervisor fails too, with the same root cause
	Handled                 // nothing else happens: the child has ended

	// Restart makes the child again, as the Restarts of the supervisor's type say
	// (Type.WithRestarts). A child that somebody has stopped meanwhile is not:
	// that is Handled. One that was abandoned may still run, and cannot be: that
	// is Escalate, and so is Restart without Restarts.
	Restart

	// Stop stops the children that the strategy binds to the one that failed,
	// too. Without Restarts it is Handled.
	Stop
)

// notify gives the end notice to the parent, or to the next one above that
// still lives.
func (c *cell) notify(m *childEnd) {
	for p := c.parent; p != nil; p = p.parent {
		if p.order(m) {
			return
		}
	}
}

// childEnd is the end notice of a child on its way to its supervisor.
type childEnd struct {
	End
	child  *cell
	rests  bool        // it may be restarted
	was    restart.Run // then
	silent bool        // the supervisor was told when it began to rest
}

func (m *childEnd) run(c *cell) error {
	mine := m.child.parent == c
	if mine && !m.rests {
		c.nkids.Add(-1)
		defer c.kidIs(m.child, kidOver)
	}
	if m.silent || !m.child.ran.Load() { // whoever spawned it has the error
		return nil
	}
	verdict := c.judge(m.End)
	if c.halt.Load() {
		verdict = Handled
	}
	why := ""
	switch {
	case !m.rests:
		verdict, why = m.lastVerdict(c, verdict)
	case !mine: // its supervisor was abandoned
		m.child.bury(errOrphan)
	default:
		verdict, why = m.decide(c, verdict)
	}
	if m.Failure == nil || verdict != Escalate {
		return nil
	}
	f := *m.Failure
	if why != "" {
		f.Err = fmt.Errorf("%w; not restarted: %s", f.Err, why)
	}
	f.Chain = append(f.Chain[:len(f.Chain):len(f.Chain)], c.id())
	c.escalate(&f)
	return nil
}

func (m *childEnd) reject(c *cell, _ wire.Reason, _ string) { c.notify(m) }

func (m *childEnd) reuse() bool { return false }

// judge asks the supervisor.
func (c *cell) judge(e End) Verdict {
	if s, ok := c.actor.(Supervisor); ok {
		return s.ChildEnded(c.ctx(), e)
	}
	if c.typ.restarts != nil {
		return Restart
	}
	return Escalate
}

// decide is for a child that rests. It returns whether the failure escalates,
// and why it is not restarted if that was the verdict.
func (m *childEnd) decide(c *cell, v Verdict) (Verdict, string) {
	k := &m.child.runs().kid
	with := k.state == kidStopping && v != Escalate // it restarts with a sibling, however it ended
	k.state = kidDown
	why := ""
	switch {
	case with && !c.halt.Load():
		p, _ := c.planOf(k)
		c.goOn(p)
		return Handled, ""
	case v == Restart:
		if why = c.restartKid(k, m.was); why == "" {
			return Handled, ""
		}
		v = Escalate
	case v == Stop:
		for _, other := range slices.Backward(c.bound(k)) {
			other.cell.stop(false, c.proc.stopDeadline(), errSibling)
		}
	}
	m.child.bury(errNotRestarted)
	return v, why
}

// lastVerdict is for a child that has ended for good.
func (m *childEnd) lastVerdict(c *cell, v Verdict) (Verdict, string) {
	switch {
	case v != Restart:
		return v, ""
	case m.Failure != nil && errors.Is(m.Failure.Err, ErrAbandoned):
		return Escalate, "it may still run"
	case c.typ.restarts == nil:
		return Escalate, "type " + c.typ.name + " has no Restarts"
	}
	return Handled, ""
}

var (
	errOrphan       = errors.New("its supervisor was abandoned")
	errNotRestarted = errors.New("it failed and is not restarted")
)

// escalate ends the actor, or a run of it, because of a failure below it.
func (c *cell) escalate(f *Failure) {
	c.beginEnd(ending{deadline: c.proc.stopDeadline(), failure: f, cause: f, again: true}, wire.ActorFailed)
}

// stack returns the stack of the panic that is being recovered.
func stack() string {
	buf := make([]byte, 16<<10)
	buf = buf[:runtime.Stack(buf, false)]
	if _, after, ok := bytes.Cut(buf, []byte("panic(")); ok {
		buf = append([]byte("panic("), after...)
	}
	return string(buf)
}

// stackOf returns the stack of the goroutine that runs c, found by c's address
// in the frame of its run method, or "" if there is none.
func stackOf(c *cell) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	frame := fmt.Appendf(nil, "(*cell).run(%p", c)
	for g := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if bytes.Contains(g, frame) {
			return string(g)
		}
	}
	return ""
}
