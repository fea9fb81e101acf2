package actor

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// calls are the calls to other procs that wait for their answer.
type calls struct {
	mu      sync.Mutex // guards the following
	last    uint64
	closed  bool // the proc has ended: nobody would bring an answer
	waiting map[uint64]outCall
}

type outCall struct {
	to    id.Actor
	reply taker
}

// taker is a call that takes its answer: once, by whoever removes it from calls.
type taker interface {
	take(e *wire.Envelope)
	fail(r wire.Reason, cause error)
}

func (c *calls) add(to id.Actor, t taker) (number uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, false
	}
	c.last++
	c.waiting[c.last] = outCall{to, t}
	return c.last, true
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
	return call, ok
}

// removeIf removes the calls to procs that which picks.
func (c *calls) removeIf(which func(id.Proc) bool) []outCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []outCall
	for n, call := range c.waiting {
		if which(call.to.Proc) {
			found = append(found, call)
			delete(c.waiting, n)
		}
	}
	return found
}

// outgoing is a call to another proc, on the caller's side.
type outgoing[Resp any] struct {
	to     id.Actor
	method string
	resp   Resp
	err    error
	done   chan struct{} // takes one value when resp and err are set
}

func (o *outgoing[Resp]) take(e *wire.Envelope) {
	switch {
	case e.Kind == wire.Return:
		o.err = &UndeliverableError{To: o.to, Method: o.method, Reason: e.Reason, Detail: string(e.Body)}
	case e.Code != "":
		o.err = &RemoteError{From: o.to, Method: o.method, Code: e.Code, Text: string(e.Body)}
	default:
		if err := wire.Unmarshal(e.Body, &o.resp); err != nil {
			o.err = fmt.Errorf("reply to %s of %s: %w: %w", o.method, o.to, ErrMalformed, err)
		}
	}
	o.done <- struct{}{}
}

func (o *outgoing[Resp]) fail(r wire.Reason, cause error) {
	o.err = &UndeliverableError{To: o.to, Method: o.method, Reason: r, Cause: cause}
	o.done <- struct{}{}
}

func (d *method[A, Req, Resp]) callOut(ctx context.Context, s *sender, to id.Actor, req Req) (Resp, error) {
	p := s.proc
	o := &outgoing[Resp]{to: to, method: d.name, done: p.getDone()}
	e, err := p.envelope(ctx, s, to, d.name, req)
	if err != nil {
		return o.resp, err
	}
	number, ok := p.calls.add(to, o)
	if !ok {
		return o.resp, &UndeliverableError{To: to, Method: d.name, Reason: wire.ShuttingDown}
	}
	e.Kind, e.Call = wire.Call, number
	if err := p.out(ctx, e); err != nil {
		if _, mine := p.calls.remove(e.Call); mine {
			return o.resp, err
		}
	}
	if end := ctx.Done(); end == nil {
		<-o.done
	} else {
		select {
		case <-o.done:
		case <-end:
			p.calls.remove(e.Call) // a late reply is ignored
			var none Resp
			return none, fmt.Errorf("call %s of %s: %w", d.name, to, context.Cause(ctx))
		}
	}
	p.putDone(o.done)
	return o.resp, o.err
}

// sendOut sends a message to an actor in another proc.
func (p *Proc) sendOut(ctx context.Context, s *sender, to id.Actor, method string, v any) error {
	e, err := p.envelope(ctx, s, to, method, v)
	if err != nil {
		return err
	}
	e.Kind = wire.Send
	return p.out(ctx, e)
}

// envelope encodes a message, and waits if its receiver asked for that.
func (p *Proc) envelope(ctx context.Context, s *sender, to id.Actor, method string, v any) (*wire.Envelope, error) {
	if err := p.held.wait(ctx, to); err != nil {
		return nil, fmt.Errorf("%s of %s: waiting for room in its mailbox: %w", method, to, err)
	}
	body, err := wire.Marshal(v)
	if err != nil {
		return nil, &UndeliverableError{To: to, Method: method, Reason: wire.Malformed, Cause: err}
	}
	return &wire.Envelope{TTL: wire.DefaultTTL, To: to, From: s.id(), Method: method, Body: body}, nil
}

// out hands a message to the gateway.
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
