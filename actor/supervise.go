package actor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// ErrAbandoned says that an actor's handler did not return although its ctx
// was cancelled (AC-3).
var ErrAbandoned = errors.New("abandoned: its handler did not return")

// Failure is what a supervisor is told about an actor that failed (AC-8).
type Failure struct {
	Actor    id.Actor // who failed first
	Type     string
	Err      error
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

// End is the one notice that a supervisor gets of each child that ran (AC-5).
type End struct {
	Actor   id.Actor
	Type    string
	Failure *Failure // nil if it ended cleanly
}

// Supervisor is an actor that wants to know how its children end. ChildEnded
// runs like a handler, ahead of messages. The verdict counts if there is a
// failure. Without the method, failures escalate.
type Supervisor interface {
	ChildEnded(ctx context.Context, e End) Verdict
}

// Verdict is what a supervisor decides about the failure of a child.
type Verdict uint8

// The verdicts. Restarting is the supervisor's own affair so far: it can spawn
// the child again under the same name.
const (
	Escalate Verdict = iota // the supervisor fails too, with the same root cause
	Handled                 // nothing else happens
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
	child *cell
}

func (m *childEnd) run(c *cell) error {
	if m.child.parent == c {
		c.nkids.Add(-1)
	}
	if !m.child.ran.Load() { // whoever spawned it has the error
		return nil
	}
	verdict := Escalate
	if s, ok := c.actor.(Supervisor); ok {
		verdict = s.ChildEnded(&c.scope, m.End)
	}
	if m.Failure == nil || verdict == Handled || c.halt.Load() {
		return nil
	}
	f := *m.Failure
	f.Chain = append(f.Chain[:len(f.Chain):len(f.Chain)], c.id())
	c.escalate(&f)
	return nil
}

func (m *childEnd) reject(c *cell, _ wire.Reason, _ string) { c.notify(m) }

func (m *childEnd) reuse() bool { return false }

// escalate ends the actor because of a failure below it.
func (c *cell) escalate(f *Failure) {
	c.beginEnd(ending{deadline: c.proc.stopDeadline(), failure: f, cause: f}, wire.ActorFailed)
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
