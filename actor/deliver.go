package actor

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Deliver takes an envelope that the gateway has for this proc. It never
// blocks, and does not keep e.
func (p *Proc) Deliver(e *wire.Envelope) {
	switch e.Kind {
	case wire.Send, wire.Call:
		p.deliver(e)
	case wire.Reply, wire.Return:
		if e.Kind == wire.Return {
			p.observeReturn(infoOfReturn(e), returned(e).Err())
		}
		if e.Call == 0 {
			p.undelivered(e.To.Name, returned(e))
		} else if call, ok := p.calls.remove(e.Call); ok {
			call.reply.take(*e)
		} else {
			p.lost.Add(1) // the caller has left
		}
	case wire.Pause:
		p.held.hold(e.From)
	case wire.Resume:
		p.held.release(e.From)
	case wire.Watch, wire.Unwatch, wire.Down:
		p.hear(e, nil)
	default:
		p.lost.Add(1)
	}
}

func (p *Proc) deliver(e *wire.Envelope) {
	c := p.receiver(e.To.Name)
	if c == nil {
		p.refuse(e, wire.NoActor, "")
		return
	}
	m := c.typ.byName[e.Method]
	if m == nil {
		p.refuse(e, wire.NoMethod, "type "+c.typ.name)
		return
	}
	in := p.newIncoming(e, m)
	if sp := in.span; c.deliver(in) {
		sp.delivered()
	}
}

// refuse returns a message that no actor got.
func (p *Proc) refuse(e *wire.Envelope, reason wire.Reason, why string) {
	p.observeReturn(infoOf(e), &UndeliverableError{To: e.To, Method: e.Method, Reason: reason, Detail: why})
	p.giveBack(e, reason, why, false)
	e.Release()
}

// receiver returns the living actor called name, or nil.
func (p *Proc) receiver(name string) *cell {
	if c := p.lastTo.Load(); c != nil && c.name == name && c.bond.Load() != over {
		return c
	}
	c := p.cell(name)
	if c != nil {
		p.lastTo.Store(c)
	}
	return c
}

// Gone is told by the gateway that the proc gone has ended, and why. The calls
// that wait for it end with that, and those who watch actors in it, or are
// linked to them, are told.
func (p *Proc) Gone(gone id.Proc, cause error) {
	if !p.ties.ever.Load() && p.held.some.Load() == 0 && p.calls.some.Load() == 0 {
		return // the rule, where many procs are told of the end of each other
	}
	p.held.releaseAll(gone)
	p.Cut(gone, cause)
	p.loseTies(gone, cause)
}

// Cut is told by the gateway that a way to the proc lost is lost, and why. The
// calls that wait for it end with that: their answers may be lost with it.
func (p *Proc) Cut(lost id.Proc, cause error) {
	p.failCalls(func(to id.Proc) bool { return to == lost }, loss{wire.PeerGone, cause})
}

// Resend is told by the gateway that it begins once more to send a call: the
// session that it had for it has ended, and whatever Gone had to say of that
// was said.
func (p *Proc) Resend(call uint64) { p.calls.again(call) }

func (p *Proc) failCalls(which func(id.Proc) bool, l loss) {
	for _, call := range p.calls.lose(which, l) {
		call.reply.fail(l)
	}
}

// Undelivered is a message that was accepted and then not handled (MS-3), or,
// if it is in doubt, perhaps handled (MS-5).
type Undelivered struct {
	To      id.Actor
	Method  string
	Reason  wire.Reason
	InDoubt bool
	Detail  string
}

// returned is what a Return says.
func returned(e *wire.Envelope) Undelivered {
	return Undelivered{To: e.From, Method: e.Method, Reason: e.Reason, InDoubt: e.Code == gateway.InDoubt, Detail: string(e.Body)}
}

// Err returns u as the error that a caller would have got.
func (u Undelivered) Err() error {
	return &UndeliverableError{To: u.To, Method: u.Method, Reason: u.Reason, InDoubt: u.InDoubt, Detail: u.Detail}
}

// Undeliverable is an actor that wants to know which of its messages were not
// handled. The method runs like a handler, ahead of messages.
type Undeliverable interface {
	Undeliverable(ctx context.Context, u Undelivered)
}

// undelivered tells the sender called name, "" for those outside any actor.
func (p *Proc) undelivered(name string, u Undelivered) {
	if c := p.cell(name); name != "" && c != nil {
		c.order(&undeliveredNote{u})
		return
	}
	p.lost.Add(1)
	if p.cfg.OnUndeliverable != nil {
		p.guard("OnUndeliverable", func() { p.cfg.OnUndeliverable(u) })
		return
	}
	p.cfg.Log.Warn("message was not handled", "to", u.To, "method", u.Method, "reason", u.Reason.Error(), "in_doubt", u.InDoubt, "detail", u.Detail)
}

// guard calls a hook of the user, whose panic must not hit whoever is told
// something at that moment.
func (p *Proc) guard(hook string, call func()) {
	defer func() {
		if v := recover(); v != nil {
			p.cfg.Log.Error("hook panicked", "hook", hook, "panic", v, "stack", stack())
		}
	}()
	call()
}

type undeliveredNote struct{ u Undelivered }

func (m *undeliveredNote) run(c *cell) error {
	if a, ok := c.actor.(Undeliverable); ok {
		a.Undeliverable(c.ctx(), m.u)
	} else {
		c.proc.lost.Add(1)
	}
	return nil
}

func (m *undeliveredNote) reject(c *cell, _ wire.Reason, _ string) { c.proc.lost.Add(1) }
func (m *undeliveredNote) reuse() bool                             { return false }

// heldBack are the actors elsewhere that have asked for a pause (MS-7), and the
// procs on the way to which there is no room: an actor without a name stands for
// all of its proc.
type heldBack struct {
	some atomic.Int32 // len(until), to be read without the lock

	mu    sync.Mutex // guards the following
	until map[id.Actor]chan struct{}
}

func (h *heldBack) hold(a id.Actor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil {
		h.until = make(map[id.Actor]chan struct{})
	}
	if h.until[a] == nil {
		h.until[a] = make(chan struct{})
	}
	h.some.Store(int32(len(h.until)))
}

func (h *heldBack) release(a id.Actor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(a)
}

func (h *heldBack) releaseAll(p id.Proc) {
	if h.some.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for a := range h.until {
		if a.Proc == p {
			h.releaseLocked(a)
		}
	}
}

func (h *heldBack) releaseLocked(a id.Actor) {
	if until := h.until[a]; until != nil {
		close(until)
		delete(h.until, a)
		h.some.Store(int32(len(h.until)))
	}
}

// wait waits while a, or its proc, is on pause.
func (h *heldBack) wait(ctx context.Context, a id.Actor) error {
	for h.some.Load() > 0 {
		h.mu.Lock()
		until := h.until[a]
		if until == nil {
			until = h.until[a.Proc.Actor("")]
		}
		h.mu.Unlock()
		if until == nil {
			return nil
		}
		select {
		case <-until:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// pause tells the proc to that c has no room: at once, unless something is owed
// to it before. It reports false if it could not.
func (p *Proc) pause(c *cell, to id.Proc) bool {
	e := flowOf(wire.Pause, c, to)
	return !p.outboxes.owes(to) && p.cfg.Gateway != nil && p.cfg.Gateway.TrySend(&e) || p.post(e)
}

// resume tells the proc to that c has room again, or that it has ended.
func (p *Proc) resume(c *cell, to id.Proc) { p.post(flowOf(wire.Resume, c, to)) }

func flowOf(k wire.Kind, c *cell, to id.Proc) wire.Envelope {
	return wire.Envelope{Kind: k, TTL: wire.DefaultTTL, To: to.Actor(""), From: c.id()}
}
