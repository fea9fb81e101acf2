package actor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// calls are the calls to other procs that wait for their answer.
type calls struct {
	some atomic.Int32 // len(waiting), to be read without the lock

	mu      sync.Mutex // guards the following
	last    uint64
	closed  bool // the proc has ended: nobody would bring an answer
	waiting map[uint64]outCall
}

type outCall struct {
	to    id.Actor
	reply taker
	loss  loss // came while the call was being sent
}

// loss is why nobody will answer what was sent before.
type loss struct {
	reason wire.Reason
	cause  error
}

// taker is a call that takes its answer: once, by whoever removes it from calls.
type taker interface {
	take(e wire.Envelope)
	fail(l loss)
	missed() bool // see progress
	again()       // likewise
}

// progress is how far a call is. What is lost while it is being sent may
// concern it or not: the message may go over the session that comes after.
type progress struct{ at atomic.Uint32 }

// The steps of progress.
const (
	beingSent uint32 = iota
	lossMissed
	wasSent
)

// sent says that the call is on its way. It reports false if it has missed a
// loss since it was last begun to be sent.
func (p *progress) sent() bool { return p.at.CompareAndSwap(beingSent, wasSent) }

// missed reports whether a loss came while the call is being sent.
func (p *progress) missed() bool {
	return p.at.CompareAndSwap(beingSent, lossMissed) || p.at.Load() == lossMissed
}

// again says that the call is begun to be sent: what was lost until now does
// not concern it.
func (p *progress) again() { p.at.CompareAndSwap(lossMissed, beingSent) }

func (c *calls) add(to id.Actor, t taker) (number uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, false
	}
	c.last++
	c.waiting[c.last] = outCall{to: to, reply: t}
	c.some.Store(int32(len(c.waiting)))
	return c.last, true
}

func (c *calls) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

func (c *calls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *calls) remove(n uint64) (outCall, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call, ok := c.waiting[n]
	delete(c.waiting, n)
	c.some.Store(int32(len(c.waiting)))
	return call, ok
}

// lose removes the calls to procs that which picks. Those that are being sent
// stay, with l.
func (c *calls) lose(which func(id.Proc) bool, l loss) []outCall {
	if c.some.Load() == 0 {
		return nil // one that is added now will not find a way
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []outCall
	for n, call := range c.waiting {
		switch {
		case !which(call.to.Proc):
		case call.reply.missed():
			call.loss = l
			c.waiting[n] = call
		default:
			found = append(found, call)
			delete(c.waiting, n)
		}
	}
	c.some.Store(int32(len(c.waiting)))
	return found
}

// again says that call n is begun to be sent once more.
func (c *calls) again(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call, ok := c.waiting[n]; ok {
		call.reply.again()
	}
}

// outgoing is a message to another proc, on its sender's side. Its method keeps
// it for the next one, so that sending costs no allocation.
type outgoing[Req, Resp any] struct {
	env  wire.Envelope
	enc  wire.Encoder // env.Body is in it, if it is small
	req  Req
	span *span // nil for most

	// For a call:
	resp Resp
	err  error
	done chan struct{} // the proc's; takes one value when resp and err are set
	progress
}

func (d *method[A, Req, Resp]) newOutgoing() *outgoing[Req, Resp] {
	if o, ok := d.outgoings.Get().(*outgoing[Req, Resp]); ok {
		return o
	}
	return new(outgoing[Req, Resp])
}

// reuse keeps o, which nobody else knows any more, for the next message.
func (o *outgoing[Req, Resp]) reuse(d *sync.Pool) {
	*o = outgoing[Req, Resp]{enc: o.enc}
	d.Put(o)
}

func (o *outgoing[Req, Resp]) take(e wire.Envelope) {
	switch {
	case e.Kind == wire.Return:
		o.err = returned(&e).Err()
	case e.Code != "":
		o.err = &RemoteError{From: o.env.To, Method: o.env.Method, Code: e.Code, Text: string(e.Body)}
	default:
		if err := e.Unmarshal(&o.resp); err != nil {
			o.err = fmt.Errorf("reply to %s of %s: %w: %w", o.env.Method, o.env.To, ErrMalformed, err)
		}
		e.ReleaseBody()
	}
	o.done <- struct{}{}
}

// fail ends a call that was sent: perhaps it was handled, and the answer is lost.
func (o *outgoing[Req, Resp]) fail(l loss) {
	o.err = o.span.returned(&UndeliverableError{To: o.env.To, Method: o.env.Method, Reason: l.reason, InDoubt: true, Cause: l.cause})
	o.done <- struct{}{}
}

// callOut calls an actor in another proc. late, if not nil, gets a reply that comes
// after the end of ctx.
func (d *method[A, Req, Resp]) callOut(ctx context.Context, s *sender, sp *span, to id.Actor, req Req, late func(*Proc, Resp)) (resp Resp, err error) {
	p := s.proc
	o := d.newOutgoing()
	o.req, o.span, o.done = req, sp, p.getDone()
	if err := o.seal(ctx, s, wire.Call, to, d.name); err != nil {
		return resp, sp.returned(err)
	}
	number, ok := p.calls.add(to, o)
	if !ok {
		return resp, sp.returned(&UndeliverableError{To: to, Method: d.name, Reason: wire.ShuttingDown})
	}
	o.env.Call = number
	if err := p.out(ctx, &o.env); err != nil {
		if _, mine := p.calls.remove(number); mine {
			return resp, sp.returned(err)
		}
	} else if !o.sent() {
		if call, mine := p.calls.remove(number); mine {
			o.fail(call.loss)
		}
	}
	if end := ctx.Done(); end == nil {
		<-o.done
	} else {
		select {
		case <-o.done:
		case <-end: // o belongs to whoever brings the answer, if anybody does
			if late != nil {
				go o.waitLonger(p, late) // ends with the session, or the proc
			} else {
				p.calls.remove(number) // a late reply is ignored
			}
			return resp, fmt.Errorf("call %s of %s: %w", d.name, to, context.Cause(ctx))
		}
	}
	resp, err = o.resp, o.err
	p.putDone(o.done)
	o.reuse(&d.outgoings)
	return resp, err
}

// waitLonger waits for a reply after the end of the caller's ctx.
func (o *outgoing[Req, Resp]) waitLonger(p *Proc, late func(*Proc, Resp)) {
	<-o.done
	if o.err == nil {
		late(p, o.resp)
	}
}

func (d *method[A, Req, Resp]) sendOut(ctx context.Context, s *sender, sp *span, to id.Actor, req Req) error {
	o := d.newOutgoing()
	o.req, o.span = req, sp
	err := o.send(ctx, s, to, d.name)
	o.req, o.span = *new(Req), nil
	o.env.Forget() // the next seal sets the rest
	d.outgoings.Put(o)
	return err
}

// send sends o to an actor in another proc.
func (o *outgoing[Req, Resp]) send(ctx context.Context, s *sender, to id.Actor, method string) error {
	err := o.seal(ctx, s, wire.Send, to, method)
	if err == nil {
		err = s.proc.out(ctx, &o.env)
	}
	if err != nil {
		return o.span.returned(err)
	}
	return nil
}

// seal encodes the message, and waits if its receiver asked for that.
func (o *outgoing[Req, Resp]) seal(ctx context.Context, s *sender, k wire.Kind, to id.Actor, method string) error {
	if err := s.proc.held.wait(ctx, to); err != nil {
		return fmt.Errorf("%s of %s: waiting for room in its mailbox: %w", method, to, err)
	}
	e := &o.env
	if err := o.enc.Encode(e, &o.req); err != nil {
		u := &UndeliverableError{To: to, Method: method, Reason: wire.Malformed, Cause: err}
		if errors.Is(err, wire.TooLarge) {
			u.Reason = wire.TooLarge
		}
		return u
	}
	e.Kind, e.TTL, e.To, e.From, e.Method = k, wire.DefaultTTL, to, s.id(), method
	e.Trace = o.span.send(ctx, len(e.Body)+wire.PartsLen(e.Parts))
	return nil
}

// out hands a message to the gateway, which does not keep e.
func (p *Proc) out(ctx context.Context, e *wire.Envelope) error {
	err := p.send(ctx, e)
	if err == nil {
		return nil
	}
	u := &UndeliverableError{To: e.To, Method: e.Method, Cause: err}
	if r, ok := errors.AsType[wire.Reason](err); ok {
		u.Reason = r
		return u
	}
	return fmt.Errorf("%s of %s: %w", e.Method, e.To, err)
}

func (p *Proc) send(ctx context.Context, e *wire.Envelope) error {
	if p.cfg.Gateway == nil {
		return wire.NoRoute
	}
	return p.cfg.Gateway.Send(ctx, e)
}

// route sends what nobody waits for: replies, returns, pauses.
func (p *Proc) route(e *wire.Envelope) error { return p.send(p.base, e) }

func (p *Proc) countLost(err error) {
	if err != nil {
		p.lost.Add(1)
	}
}
