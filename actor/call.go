package actor

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/wire"
)

// call is a Call within a proc.
type call[A, Req, Resp any] struct {
	method *method[A, Req, Resp]
	req    Req
	resp   Resp
	err    error
	done   chan struct{} // takes one value when resp and err are set, and one from waiter
	ticket ticket
	waiter waiter
}

// ticket settles who answers a call: exactly one does. A call within a proc is
// used again by its sender, each time with a new number; the ticket of an old
// number settles nothing.
type ticket struct {
	state atomic.Uint64 // the number, even; odd once it is settled
	call  answerable    // the call that it belongs to
}

// answerable is a call, local or not, as those see it who have no answer for it.
type answerable interface {
	message
	fail(number uint64, c *cell, reason wire.Reason, why string, begun bool) (failed bool)
}

// number returns the number of a call that is open, or an odd one.
func (t *ticket) number() uint64 { return t.state.Load() }

// next gives the call that is made with the same ticket its number.
func (t *ticket) next() {
	if n := t.number(); n%2 == 1 {
		t.state.Store(n + 1)
	}
}

// settle reports whether the caller may answer the call with that number.
func (t *ticket) settle(number uint64) bool {
	return number%2 == 0 && t.state.CompareAndSwap(number, number+1)
}

func (d *method[A, Req, Resp]) call(ctx context.Context, s *sender, sp *span, name string, req Req) (resp Resp, err error) {
	c, err := d.target(s, name)
	if err == nil && s.cell == c {
		err = fmt.Errorf("call %s of %s: %w: it would wait for itself; Send does not wait", d.name, c.id(), ErrSelfCall)
	}
	if err != nil {
		return resp, sp.returned(err)
	}
	sp.send(ctx, 0)
	slot := c.queue.begin(c.typ.mailbox.limit())
	if slot == nil {
		if slot, err = c.waitRoom(ctx, d.name); err != nil {
			return resp, sp.returned(err)
		}
	}
	r := d.newCall(s, sp)
	r.req = req
	if sp == nil {
		*slot = r
	} else {
		*slot = r.ticket.call
	}
	if c.queue.commit() {
		s.proc.run(c)
	}
	sp.delivered()
	if !r.wait(ctx) { // r belongs to the actor now
		return resp, fmt.Errorf("call %s of %s: %w", d.name, c.id(), context.Cause(ctx))
	}
	resp, err = r.resp, r.err
	if _, failed := err.(*UndeliverableError); sp == nil && !failed { // its handler may still be at one that others failed
		d.reuse(s, r)
	}
	return resp, err
}

// wait waits for the answer. It reports false if ctx has ended.
func (r *call[A, Req, Resp]) wait(ctx context.Context) (answered bool) {
	if w := watchedBy(ctx); w != nil {
		if !w.enter(&r.waiter) {
			return false
		}
		<-r.done
		return w.leave(&r.waiter)
	}
	end := ctx.Done()
	if end == nil {
		<-r.done
		return true
	}
	select {
	case <-r.done:
		return true
	case <-end:
		return false
	}
}

// makeCall returns a new call.
func (d *method[A, Req, Resp]) makeCall() *call[A, Req, Resp] {
	done := make(chan struct{}, 2)
	return &call[A, Req, Resp]{method: d, done: done, waiter: waiter{wake: done}}
}

// newCall returns the call that s has made before, if it was of the same kind,
// or a new one. One with a span is always new.
func (d *method[A, Req, Resp]) newCall(s *sender, sp *span) *call[A, Req, Resp] {
	if sp != nil {
		r := d.makeCall()
		r.ticket.call = &seen{sp, r}
		return r
	}
	if t := s.spare.Swap(nil); t != nil {
		if r, ok := t.call.(*call[A, Req, Resp]); ok {
			r.method = d
			return r
		}
	}
	r := d.makeCall()
	r.ticket.call = r
	return r
}

// reuse keeps an answered call for the next one. One with a deferred reply is
// not kept: the actor may still hold its Reply.
func (d *method[A, Req, Resp]) reuse(s *sender, r *call[A, Req, Resp]) {
	if d.later != nil {
		return
	}
	r.resp, r.err = *new(Resp), nil
	r.ticket.next()
	s.spare.Store(&r.ticket)
}

func (r *call[A, Req, Resp]) run(c *cell) error { return r.serve(c, nil) }

func (r *call[A, Req, Resp]) serve(c *cell, sp *span) error {
	c.lull = true
	if !c.takeUp(&r.ticket) {
		r.reject(c, c.queue.refusal(), "")
		return nil
	}
	number := r.ticket.number()
	req := r.req
	r.req = *new(Req)
	if r.method.later != nil {
		return r.serveLater(c, sp, req)
	}
	resp, err := r.method.handle(c.actor.(A), sp.begin(c), req)
	sp.end(err)
	c.inHand.Store(nil) // before the answer: r may be used again after it
	r.answer(number, resp, err)
	return nil
}

// serveLater runs a handler that answers through its Reply, or with an error.
func (r *call[A, Req, Resp]) serveLater(c *cell, sp *span, req Req) error {
	c.owe(&r.ticket)
	reply := Reply[Resp]{to: r, ticket: &r.ticket, cell: c}
	err := r.method.later(c.actor.(A), sp.begin(c), req, reply)
	sp.end(err)
	c.inHand.Store(nil)
	return reply.end(err)
}

func (r *call[A, Req, Resp]) answer(number uint64, resp Resp, err error) bool {
	if !r.ticket.settle(number) {
		return false
	}
	r.resp, r.err = resp, err
	r.done <- struct{}{}
	return true
}

func (r *call[A, Req, Resp]) fail(number uint64, c *cell, reason wire.Reason, why string, begun bool) bool {
	if !r.ticket.settle(number) {
		return false
	}
	r.err = &UndeliverableError{To: c.id(), Method: r.method.name, Reason: reason, InDoubt: begun, Detail: why} // r is ours only now
	r.done <- struct{}{}
	return true
}

func (r *call[A, Req, Resp]) reject(c *cell, reason wire.Reason, why string) {
	r.fail(r.ticket.number(), c, reason, why, false)
}

func (r *call[A, Req, Resp]) reuse() bool { return false }
