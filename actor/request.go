package actor

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/wire"
)

// request is a Send within a proc. The queue keeps it for reuse after it was
// handled, so that sending does not allocate.
type request[A, Req, Resp any] struct {
	method *method[A, Req, Resp]
	from   *sender
	req    Req
}

func (d *method[A, Req, Resp]) post(ctx context.Context, s *sender, name string, req Req) error {
	c, err := d.target(s, name)
	if err != nil {
		return err
	}
	slot := c.queue.begin(c.typ.mailbox.limit())
	if slot == nil {
		if slot, err = c.waitRoom(ctx, d.name); err != nil {
			return err
		}
	}
	r, ok := (*slot).(*request[A, Req, Resp])
	if !ok {
		r = new(request[A, Req, Resp])
		*slot = r
	}
	r.method, r.from, r.req = d, s, req
	if c.queue.commit() {
		go c.run()
	}
	return nil
}

func (r *request[A, Req, Resp]) run(c *cell) error {
	req := r.req
	r.req = *new(Req) // what it points to is garbage when the handler is done with it
	_, _, err := r.method.apply(c, req, Reply[Resp]{})
	return err
}

func (r *request[A, Req, Resp]) reject(c *cell, reason wire.Reason, why string) {
	r.from.proc.undelivered(r.from.name, Undelivered{To: c.id(), Method: r.method.name, Reason: reason, Detail: why})
}

func (r *request[A, Req, Resp]) reuse() bool { return true }

// call is a Call within a proc.
type call[A, Req, Resp any] struct {
	method *method[A, Req, Resp]
	req    Req
	resp   Resp
	err    error
	done   chan struct{} // takes one value when resp and err are set
	caller waiting
}

// waiting is the part of a call that settles who answers it: exactly one does.
type waiting struct {
	settled atomic.Bool
	self    message // the call, for an actor that is abandoned while it handles it
}

func (w *waiting) settle() bool { return w.settled.CompareAndSwap(false, true) }

func (d *method[A, Req, Resp]) call(ctx context.Context, s *sender, name string, req Req) (resp Resp, err error) {
	c, err := d.target(s, name)
	if err != nil {
		return resp, err
	}
	slot := c.queue.begin(c.typ.mailbox.limit())
	if slot == nil {
		if slot, err = c.waitRoom(ctx, d.name); err != nil {
			return resp, err
		}
	}
	done := s.proc.getDone()
	r := &call[A, Req, Resp]{method: d, req: req, done: done}
	r.caller.self = r
	*slot = r
	if c.queue.commit() {
		go c.run()
	}
	if end := ctx.Done(); end == nil {
		<-done
	} else {
		select {
		case <-done:
		case <-end:
			return resp, fmt.Errorf("call %s of %s: %w", d.name, c.id(), context.Cause(ctx))
		}
	}
	s.proc.putDone(done)
	return r.resp, r.err
}

func (r *call[A, Req, Resp]) run(c *cell) error {
	c.inHand.Store(&r.caller)
	if r.method.later != nil {
		c.owe(r)
	}
	resp, later, err := r.method.apply(c, r.req, Reply[Resp]{to: r, cell: c})
	if !later {
		c.paid(r)
		r.answer(resp, err)
	}
	return nil
}

func (r *call[A, Req, Resp]) message() message { return r }

func (r *call[A, Req, Resp]) answer(resp Resp, err error) bool {
	if !r.caller.settle() {
		return false
	}
	r.resp, r.err = resp, err
	r.done <- struct{}{}
	return true
}

func (r *call[A, Req, Resp]) reject(c *cell, reason wire.Reason, why string) {
	var none Resp
	r.answer(none, &UndeliverableError{To: c.id(), Method: r.method.name, Reason: reason, Detail: why})
}

func (r *call[A, Req, Resp]) reuse() bool { return false }
