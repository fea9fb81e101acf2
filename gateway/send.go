package gateway

import (
	"context"
	"errors"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Send takes e to its proc. It finds a way there first if it must, and waits
// while the queue to the peer is full; ctx bounds both.
//
// Nil means that the message is on its way: it is delivered, or comes back as
// a Return. Otherwise the error is a *SendError and nothing was sent. e.Body
// must not be changed afterwards, unless it is lent (wire.Encoder).
func (g *Gateway) Send(ctx context.Context, e *wire.Envelope) error {
	if e.TTL == 0 {
		e.TTL = wire.DefaultTTL
	}
	if e.Kind > wire.Return && g.sendEnd(ctx, e) {
		return nil
	}
	if l := g.pausedOver(e); l != nil {
		l.sess.Send(ctx, e) // its loss ends the pause
		return nil
	}
	for ; ; g.sendsAgain(e) {
		l, local := g.next(&e)
		if local != nil {
			e.KeepBody()
			local.Deliver(e)
			return nil
		}
		if l == nil {
			if _, err := g.reach(ctx, nextProc(e)); err == nil {
				continue // the way may be a source route
			} else if !answers(e) || !g.answerUp(ctx, e) {
				return err
			}
			return nil
		}
		g.openTie(e, path{out: l})
		err := l.sess.Send(ctx, e)
		if err == nil || !g.closeTie(e) {
			return nil
		}
		if !errors.Is(err, channel.ErrClosed) {
			return g.refused(e, err)
		}
		// The session is at its end. What it still holds comes back before
		// anything goes another way.
		select {
		case <-l.down:
		case <-ctx.Done():
			return sendError(e.To.Proc, 0, context.Cause(ctx))
		}
	}
}

// TrySend is Send for what is said in the midst of something else: it neither
// waits nor looks for a way. It reports whether e is on its way. What ends a watch,
// a link or a pause is for Send: it goes where that went.
func (g *Gateway) TrySend(e *wire.Envelope) bool {
	if l := g.pausedOver(e); l != nil {
		return l.sess.TrySend(e) == nil
	}
	l, local := g.next(&e)
	switch {
	case local != nil:
		e.KeepBody()
		local.Deliver(e)
		return true
	case l == nil:
		return false
	}
	g.openTie(e, path{out: l})
	if l.sess.TrySend(e) != nil {
		g.closeTie(e)
		return false
	}
	return true
}

// caller is a Local that is told when a call is begun to be sent once more:
// what Gone said until then was about another session.
type caller interface {
	Resend(call uint64)
}

// sendsAgain tells the sender of a call that the call is still to be sent.
func (g *Gateway) sendsAgain(e *wire.Envelope) {
	if e.Kind != wire.Call {
		return
	}
	g.mu.RLock()
	local := g.locals[e.From.Proc]
	g.mu.RUnlock()
	if c, ok := local.(caller); ok {
		c.Resend(e.Call)
	}
}

// nextProc is the proc whose gateway e goes to next.
func nextProc(e *wire.Envelope) id.Proc {
	if len(e.Via) > 0 {
		return e.Via[0]
	}
	return e.To.Proc
}

// next returns the session that *e takes or the local proc that it is for, or
// neither. A source route is put into a copy of the envelope.
func (g *Gateway) next(e **wire.Envelope) (*link, Local) {
	if len((*e).Via) == 0 {
		if l := g.ways.find(&(*e).To.Proc, g.mu.version.Load()); l != nil {
			return l, nil
		}
	}
	return g.look(e)
}

// look is next for what ways does not know.
func (g *Gateway) look(e **wire.Envelope) (*link, Local) {
	to := nextProc(*e)
	g.mu.RLock()
	defer g.mu.RUnlock()
	if l := g.locals[to]; l != nil && len((*e).Via) == 0 {
		return nil, l
	}
	r := g.routes[to]
	if r != nil && len(r.via) > 0 && len((*e).Via) == 0 && !(r.hop != nil && r.hop.peer == to && answers(*e)) {
		c := **e
		c.Via = r.via
		*e = &c
		r = g.routes[r.via[0]]
	}
	if r == nil || !answers(*e) && g.overtakesLocked(nextProc(*e), r) {
		return nil, nil
	}
	if r.hop != nil && !(r.detour && r.hop.peer == to) && len(r.via) == 0 && len((*e).Via) == 0 {
		g.ways.remember(to, r.hop, g.mu.version.Load())
	}
	return r.hop, nil
}

// answers reports whether e is an answer to what came from its proc. It goes
// straight back to a peer that asked over a session of its own: a source route
// may lead nowhere, and nobody would be told.
func answers(e *wire.Envelope) bool {
	switch e.Kind {
	case wire.Reply, wire.Return, wire.Down, wire.Pause, wire.Resume:
		return true
	}
	return false
}

// answerUp hands an answer to whom no way is found to the uplink, from which the
// question came, most likely. It may have no connection now, which is why it did
// not say where its asker is; the answer waits for that. It does so at its sender
// if there is much of that already, and the sender has not waited yet.
func (g *Gateway) answerUp(ctx context.Context, e *wire.Envelope) bool {
	var up *link
	g.mu.RLock()
	if r := g.routes[g.uplink]; r != nil {
		up = r.hop
	}
	g.mu.RUnlock()
	if up == nil || up.peer == e.To.Proc || ctx.Err() != nil && up.sess.Crowded(e) != channel.NoCrowd {
		return false
	}
	g.openTie(e, path{out: up})
	if up.sess.TrySend(e) != nil {
		g.closeTie(e)
		return false
	}
	return true
}

// refused turns the error of a session into a *SendError.
func (g *Gateway) refused(e *wire.Envelope, err error) error {
	reason, _ := errors.AsType[wire.Reason](err)
	return sendError(e.To.Proc, reason, err)
}

// reasonOf returns the reason in err, which says why there is no way.
func reasonOf(err error) wire.Reason {
	if e, ok := errors.AsType[*SendError](err); ok && e.Reason != 0 {
		return e.Reason
	}
	return wire.NoRoute
}
