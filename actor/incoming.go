package actor

import (
	"context"
	"errors"
	"sync"
	"unicode/utf8"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/wire"
)

// incoming is a message from another proc: decoded when it is its turn, so
// that the connection does not wait for it. The proc keeps it for the next one
// if it was handled as usual, a call with the next number.
type incoming struct {
	env    wire.Envelope
	entry  entry
	ticket ticket
	span   *span // nil for most
	mine   bool  // nobody else has, or will have, to do with it: set when it was handled
}

func (p *Proc) newIncoming(e *wire.Envelope, m entry) *incoming {
	in, ok := p.incomings.Get().(*incoming)
	if !ok {
		in = new(incoming)
		in.ticket.call = in
	}
	in.env, in.entry, in.span = *e, m, p.spanIn(e)
	return in
}

func (in *incoming) run(c *cell) (err error) {
	if in.span != nil {
		defer in.span.over()
	}
	switch {
	case in.env.Kind != wire.Call:
		err = in.entry.serve(c, in)
	case c.takeUp(&in.ticket):
		err = in.entry.serve(c, in)
		c.inHand.Store(nil)
	default:
		in.reject(c, c.queue.refusal(), "")
	}
	if err == nil && in.mine {
		in.env.Forget() // newIncoming sets the rest
		in.env.Trace, in.span, in.mine = nil, nil, false
		in.ticket.next()
		c.proc.incomings.Put(in)
	}
	return err
}

func (in *incoming) reject(c *cell, reason wire.Reason, why string) {
	if in.fail(in.ticket.number(), c, reason, why, false) {
		in.env.Release()
	}
}

// fail leaves the body and the parts alone: the handler may be about to decode them.
func (in *incoming) fail(number uint64, c *cell, reason wire.Reason, why string, begun bool) bool {
	if !in.ticket.settle(number) {
		return false
	}
	if in.span != nil {
		in.span.returned(&UndeliverableError{To: c.id(), Method: in.env.Method, Reason: reason, InDoubt: begun, Detail: why})
	}
	c.proc.giveBack(&in.env, reason, why, begun)
	return true
}

func (in *incoming) reuse() bool { return false }

func (d *method[A, Req, Resp]) serve(c *cell, in *incoming) error {
	v, ok := d.decoded.Get().(*decoded[Req, Resp])
	if !ok {
		v = new(decoded[Req, Resp])
	}
	if err := in.env.Unmarshal(&v.req); err != nil {
		in.reject(c, wire.Malformed, err.Error())
		return nil
	}
	in.env.ReleaseBody()
	in.env.Parts = nil
	switch {
	case in.env.Kind == wire.Send:
		req := v.req
		v.reuse(&d.decoded)
		in.mine = true
		return d.apply(c, in.span, req)
	case d.later != nil:
		return d.serveLater(c, in, v.req)
	}
	number := in.ticket.number()
	resp, err := d.handle(c.actor.(A), in.span.begin(c), v.req)
	in.span.end(err)
	v.resp = resp
	in.mine = in.answer(c, number, &v.resp, err)
	v.reuse(&d.decoded)
	return nil
}

// decoded is a request and its response while they are decoded and encoded.
type decoded[Req, Resp any] struct {
	req  Req
	resp Resp
}

func (v *decoded[Req, Resp]) reuse(d *sync.Pool) {
	*v = decoded[Req, Resp]{}
	d.Put(v)
}

// serveLater runs a handler that answers through its Reply, or with an error.
func (d *method[A, Req, Resp]) serveLater(c *cell, in *incoming, req Req) error {
	c.owe(&in.ticket)
	reply := Reply[Resp]{to: remoteAnswer[Resp]{in, c}, ticket: &in.ticket, cell: c}
	err := d.later(c.actor.(A), in.span.begin(c), req, reply)
	in.span.end(err)
	return reply.end(err)
}

// remoteAnswer sends a reply to the proc that called.
type remoteAnswer[Resp any] struct {
	in   *incoming
	cell *cell
}

func (r remoteAnswer[Resp]) answer(number uint64, v Resp, err error) bool {
	return r.in.answer(r.cell, number, &v, err)
}

// answer answers a call with what v points to, or with err.
func (in *incoming) answer(c *cell, number uint64, v any, err error) bool {
	p := c.proc
	r, ok := p.responses.Get().(*response)
	if !ok {
		r = new(response)
	}
	if err == nil {
		err = r.enc.Encode(&r.env, v) // the user's code, which may panic: before the ticket is settled
	}
	mine := in.ticket.settle(number)
	if mine {
		r.send(c, &in.env, err)
	}
	r.env.Forget() // send sets the rest
	p.responses.Put(r)
	return mine
}

// response is the answer to a call from another proc. The proc keeps it for the
// next one.
type response struct {
	env wire.Envelope
	enc wire.Encoder // env.Body is in it, if it is small
}

// send answers the call with what is encoded, or with err. The actor does not wait
// while the queue to the caller's process is full: its outbox takes the answer.
// That of the agent always does: it has to answer others (AC-11).
func (r *response) send(c *cell, call *wire.Envelope, err error) {
	p, e := c.proc, &r.env
	e.Kind, e.TTL, e.Call, e.To, e.From, e.Method, e.Code = wire.Reply, wire.DefaultTTL, call.Call, call.From, call.To, call.Method, ""
	if err != nil {
		r.fail(err)
	}
	if c.parent == nil {
		e.KeepBody()
		p.post(*e)
		return
	}
	err = p.sendReply(p.ended, e)
	if errors.Is(err, wire.TooLarge) {
		r.fail(err)
		err = p.sendReply(p.ended, e)
	}
	if err != nil && reasonOf(err) == 0 {
		r.sendLater(c)
		return
	}
	p.countLost(err)
}

// sendLater is for an answer that finds no room on its way. The actor waits once
// that is true of very many, until it has to stop.
func (r *response) sendLater(c *cell) {
	p, e := c.proc, &r.env
	e.KeepBody()
	if p.postReply(*e) {
		return
	}
	c.mu.Lock()
	run := c.runScope()
	c.mu.Unlock()
	err := p.sendReply(run, e)
	if err != nil && reasonOf(err) == 0 {
		p.post(*e)
		return
	}
	p.countLost(err)
}

// sendReply waits, as Gateway.Send does, and while there is no room on the way to
// the caller's proc.
func (p *Proc) sendReply(ctx context.Context, e *wire.Envelope) error {
	if err := p.held.wait(ctx, e.To.Proc.Actor("")); err != nil {
		return err
	}
	return p.send(ctx, e)
}

// fail makes err the answer.
func (r *response) fail(err error) {
	r.env.Forget()
	r.env.Code, r.env.Body = wireCode(err), clip(err.Error())
}

// giveBack returns a message that was not handled, or a call whose handler has
// begun and does not answer, to the proc that sent it.
func (p *Proc) giveBack(m *wire.Envelope, reason wire.Reason, why string, begun bool) {
	e := wire.Envelope{
		Kind: wire.Return, TTL: wire.DefaultTTL, Reason: reason, Call: m.Call,
		To: m.From, From: m.To, Method: m.Method, Trace: m.Trace, Body: clip(why),
	}
	if begun {
		e.Code = gateway.InDoubt
	}
	p.post(e)
}

// wireCode is codeOf for errors whose code no envelope can carry: they arrive
// as errors without one.
func wireCode(err error) string {
	code := codeOf(err)
	if code == "" || len(code) > wire.MaxCode || !utf8.ValidString(code) {
		return plainCode
	}
	return code
}

const maxErrorText = 16 << 10

// clip bounds the text of an error on the wire.
func clip(s string) []byte {
	if len(s) > maxErrorText {
		return []byte(s[:maxErrorText] + "… (cut)")
	}
	return []byte(s)
}
