package actor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// None is the request or the reply of a method that has none.
type None struct{}

// Method is one message that actors of type A understand: its name on the
// wire, its request and its reply. A Method is a value, made once by On,
// OnSend or OnDefer; it may be used from any goroutine.
type Method[A, Req, Resp any] struct{ def *method[A, Req, Resp] }

// method is the definition behind a Method. It never changes, but for what it
// keeps for reuse.
type method[A, Req, Resp any] struct {
	label
	handle func(A, context.Context, Req) (Resp, error)
	later  func(A, context.Context, Req, Reply[Resp]) error // instead of handle

	outgoings sync.Pool // of *outgoing[Req, Resp]
	decoded   sync.Pool // of *decoded[Req, Resp]
}

// label is what all methods have, whatever their types. Its address says which
// method it is: to compare that costs less than to compare entries.
type label struct{ name string }

func (l *label) labelled() *label { return l }

// On names a method of A, so that it can be called from anywhere. The name is
// what crosses the wire: it is written by hand and never changes. On panics if
// the name is not one (see id.CheckName): it runs when the program starts.
func On[A, Req, Resp any](name string, handle func(A, context.Context, Req) (Resp, error)) Method[A, Req, Resp] {
	mustName(name)
	return Method[A, Req, Resp]{&method[A, Req, Resp]{label: label{name}, handle: handle}}
}

// OnSend is On for a method without a reply. Calling it waits until it was handled.
func OnSend[A, Req any](name string, handle func(A, context.Context, Req) error) Method[A, Req, None] {
	return On(name, func(a A, ctx context.Context, req Req) (None, error) { return None{}, handle(a, ctx, req) })
}

// OnDefer is On for a method that answers later, through the Reply that it is
// given, while the actor goes on to other messages. An error that it returns
// is the answer. For the caller nothing is different.
func OnDefer[A, Req, Resp any](name string, handle func(A, context.Context, Req, Reply[Resp]) error) Method[A, Req, Resp] {
	mustName(name)
	return Method[A, Req, Resp]{&method[A, Req, Resp]{label: label{name}, later: handle}}
}

// Name returns the name on the wire.
func (m Method[A, Req, Resp]) Name() string { return m.def.name }

// Send sends req to the actor and does not wait until it is handled. It
// waits for room in a full mailbox, and for a connection that is being made,
// bounded by ctx. An error means that the message will not be handled; nil
// that it will be, or that the sender's Undeliverable method (or the proc's
// hook) hears why not. If the handler returns an error, nobody waits for it,
// and the actor fails.
//
// Within one proc req is passed as it is, not copied, and a large []byte to
// another one, too: what it points to must not be changed afterwards.
func (m Method[A, Req, Resp]) Send(ctx context.Context, to Ref[A], req Req) error {
	s, t := originOf(ctx)
	if s == nil {
		return errNoSender
	}
	sp := s.span(t, to.id, m.def.name, false)
	if to.id.Proc != s.proc.id {
		return m.def.sendOut(ctx, s, sp, to.id, req)
	}
	return m.def.post(ctx, s, sp, to.id.Name, req)
}

// Call sends req and waits for the reply. It ends with the first of: the
// reply, the handler's error, an *UndeliverableError, the cause of ctx (MS-4).
// When ctx ends first, the message may still be handled; its reply is ignored.
//
// A Call of the actor whose ctx it is, also by a goroutine that its handler has
// started, is ErrSelfCall. Two actors that call each other at the same time wait
// for each other until ctx ends: nobody looks for such a cycle.
func (m Method[A, Req, Resp]) Call(ctx context.Context, to Ref[A], req Req) (Resp, error) {
	s, t := originOf(ctx)
	if s == nil {
		var none Resp
		return none, errNoSender
	}
	sp := s.span(t, to.id, m.def.name, true)
	if to.id.Proc != s.proc.id {
		return m.def.callOut(ctx, s, sp, to.id, req, nil)
	}
	return m.def.call(ctx, s, sp, to.id.Name, req)
}

// After sends req to the actor whose handler's ctx this is, after d, ahead of
// what others have sent meanwhile (AC-1). stop reports whether it came in time.
// A timer ends with the ctx of the run that has set it: an actor that has to stop
// gets no more of them.
func (m Method[A, Req, Resp]) After(ctx context.Context, d time.Duration, req Req) (stop func() bool, err error) {
	s, trace := originOf(ctx)
	if s == nil {
		return nil, errNoSender
	}
	if s.cell == nil || !s.cell.typ.has(&m.def.label) {
		return nil, fmt.Errorf("timer for %s: %w: the ctx is not that of an actor with this method", m.def.name, ErrNoMethod)
	}
	run := s.cell.runOf(s)
	if run == nil {
		return func() bool { return false }, nil
	}
	return run.timer(d, func() {
		a := &alarm[A, Req, Resp]{request[A, Req, Resp]{method: m.def, req: req, from: s}}
		if sp := s.span(trace, s.id(), m.def.name, false); sp != nil {
			sp.queued = time.Now()
			s.cell.order(&seen{sp, a})
		} else {
			s.cell.order(a)
		}
	}), nil
}

// Port returns a port that leads to this method of the actor.
func (m Method[A, Req, Resp]) Port(to Ref[A]) Port[Req] {
	return Port[Req]{to.id.Port(m.def.name)}
}

// entry is a method as its type's table knows it.
type entry interface {
	labelled() *label
	serve(c *cell, in *incoming) error // a message from another proc
	newRun(h *heading) run             // nil if its requests are not plain
}

// MethodOf is any Method of actors of type A.
type MethodOf[A any] interface{ entryOf(A) entry }

func (m Method[A, Req, Resp]) entryOf(A) entry { return m.def }

// apply runs the handler for a Send: nobody waits for a reply.
func (d *method[A, Req, Resp]) apply(c *cell, sp *span, req Req) (err error) {
	ctx := sp.begin(c)
	if d.later != nil {
		err = d.later(c.actor.(A), ctx, req, Reply[Resp]{})
	} else {
		_, err = d.handle(c.actor.(A), ctx, req)
	}
	sp.end(err)
	return err
}

// target finds the living actor called name, and sees that it has the method.
func (d *method[A, Req, Resp]) target(s *sender, name string) (*cell, error) {
	c := s.find(name)
	if c == nil {
		return nil, d.undeliverable(s, name, wire.NoActor, "")
	}
	if !c.typ.has(&d.label) {
		return nil, d.undeliverable(s, name, wire.NoMethod, "type "+c.typ.name)
	}
	return c, nil
}

func (d *method[A, Req, Resp]) undeliverable(s *sender, name string, r wire.Reason, detail string) error {
	return &UndeliverableError{To: s.proc.id.Actor(name), Method: d.name, Reason: r, Detail: detail}
}
