package actor

import (
	"context"

	"github.com/hyperactor/hyperactor/wire"
)

// request is a Send within a proc. The queue keeps it for reuse after it was
// handled, so that sending does not allocate.
type request[A, Req, Resp any] struct {
	method *method[A, Req, Resp]
	from   *sender
	req    Req
}

func (d *method[A, Req, Resp]) post(ctx context.Context, s *sender, sp *span, name string, req Req) error {
	c, err := d.target(s, name)
	if err != nil {
		return sp.returned(err)
	}
	sp.send(ctx, 0)
	slot := c.queue.begin(c.typ.mailbox.limit())
	if slot == nil {
		if slot, err = c.waitRoom(ctx, d.name); err != nil {
			return sp.returned(err)
		}
	}
	r, ok := (*slot).(*request[A, Req, Resp])
	if !ok {
		r = new(request[A, Req, Resp])
		*slot = r
	}
	if sp != nil {
		*slot = &seen{sp, r}
	}
	r.method, r.from, r.req = d, s, req
	if c.queue.commit() {
		s.proc.run(c)
	}
	sp.delivered()
	return nil
}

func (r *request[A, Req, Resp]) run(c *cell) error { return r.serve(c, nil) }

func (r *request[A, Req, Resp]) serve(c *cell, sp *span) error {
	req := r.req
	r.req = *new(Req) // what it points to is garbage when the handler is done with it
	return r.method.apply(c, sp, req)
}

func (r *request[A, Req, Resp]) reject(c *cell, reason wire.Reason, why string) {
	r.from.proc.undelivered(r.from.name, Undelivered{To: c.id(), Method: r.method.name, Reason: reason, Detail: why})
}

func (r *request[A, Req, Resp]) reuse() bool { return true }

// alarm is a request of an actor to itself, by a timer. When the actor has
// ended nobody misses it.
type alarm[A, Req, Resp any] struct{ request[A, Req, Resp] }

func (r *alarm[A, Req, Resp]) run(c *cell) error { return r.serve(c, nil) }

// serve drops the alarms of earlier runs.
func (r *alarm[A, Req, Resp]) serve(c *cell, sp *span) error {
	if c.actor == nil || r.from != c.self() {
		return nil
	}
	return r.request.serve(c, sp)
}

func (*alarm[A, Req, Resp]) reject(*cell, wire.Reason, string) {}
func (*alarm[A, Req, Resp]) reuse() bool                       { return false }
