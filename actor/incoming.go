package actor

import (
	"errors"
	"unicode/utf8"

	"github.com/hyperactor/hyperactor/wire"
)

// incoming is a message from another proc: decoded when it is its turn, so
// that the connection does not wait for it.
type incoming struct {
	env    wire.Envelope
	entry  entry
	ticket ticket
}

func (in *incoming) run(c *cell) error {
	if in.env.Kind == wire.Call {
		in.ticket.call = in
		c.inHand.Store(&in.ticket)
	}
	return in.entry.serve(c, in)
}

func (in *incoming) reject(c *cell, reason wire.Reason, why string) {
	in.fail(in.ticket.number(), c, reason, why)
}

func (in *incoming) fail(number uint64, c *cell, reason wire.Reason, why string) {
	if in.ticket.settle(number) {
		c.proc.giveBack(&in.env, reason, why)
	}
}

func (in *incoming) reuse() bool { return false }

func (d *method[A, Req, Resp]) serve(c *cell, in *incoming) error {
	var req Req
	if err := wire.Unmarshal(in.env.Body, &req); err != nil {
		in.reject(c, wire.Malformed, err.Error())
		return nil
	}
	in.env.Body = nil
	if in.env.Kind == wire.Send {
		return d.apply(c, req)
	}
	answer := remoteAnswer[Resp]{in, c}
	if d.later == nil {
		resp, err := d.handle(c.actor.(A), &c.scope, req)
		answer.answer(0, resp, err)
		return nil
	}
	c.owe(&in.ticket)
	reply := Reply[Resp]{to: answer, ticket: &in.ticket, cell: c}
	if err := d.later(c.actor.(A), &c.scope, req, reply); err != nil {
		reply.Fail(err)
	}
	return nil
}

// remoteAnswer sends a reply to the proc that called.
type remoteAnswer[Resp any] struct {
	in   *incoming
	cell *cell
}

func (r remoteAnswer[Resp]) answer(number uint64, v Resp, err error) bool {
	var body []byte
	if err == nil {
		body, err = wire.Marshal(v) // the user's code, which may panic: before the ticket is settled
	}
	if !r.in.ticket.settle(number) {
		return false
	}
	r.cell.reply(&r.in.env, body, err)
	return true
}

// reply answers the call with an encoded value, or with err. The actor waits
// while the queue to the caller's process is full; the agent, who has to answer
// others, does not (AC-11).
func (c *cell) reply(call *wire.Envelope, body []byte, err error) {
	e := wire.Envelope{Kind: wire.Reply, TTL: wire.DefaultTTL, Call: call.Call, To: call.From, From: call.To, Method: call.Method, Body: body}
	if err != nil {
		e.Code, e.Body = wireCode(err), clip(err.Error())
	}
	if c.parent == nil {
		c.proc.post(e)
		return
	}
	err = c.proc.route(&e)
	if errors.Is(err, wire.TooLarge) {
		e.Code, e.Body = wireCode(err), clip(err.Error())
		err = c.proc.route(&e)
	}
	c.proc.countLost(err)
}

// giveBack returns a message that was not handled to the proc that sent it.
func (p *Proc) giveBack(m *wire.Envelope, reason wire.Reason, why string) {
	p.post(wire.Envelope{
		Kind: wire.Return, TTL: wire.DefaultTTL, Reason: reason, Call: m.Call,
		To: m.From, From: m.To, Method: m.Method, Body: clip(why),
	})
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
