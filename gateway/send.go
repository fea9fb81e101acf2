package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Send takes e to its proc. It finds a way there first if it must, and waits
// while the queue to the peer is full; ctx bounds both.
//
// Nil means that the message is on its way: it is delivered, or comes back as
// a Return. Otherwise the error is a *SendError and nothing was sent. e.Body
// must not be changed afterwards.
func (g *Gateway) Send(ctx context.Context, e *wire.Envelope) error {
	if e.TTL == 0 {
		e.TTL = wire.DefaultTTL
	}
	for ; ; g.sendsAgain(e) {
		l, local := g.next(&e)
		if local != nil {
			local.Deliver(e)
			return nil
		}
		if l == nil {
			if _, err := g.reach(ctx, nextProc(e)); err == nil {
				continue // the way may be a source route
			} else if !answers(e) || !g.answerUp(e) {
				return err
			}
			return nil
		}
		g.noteSent(l, e)
		err := l.sess.Send(ctx, e)
		if err == nil {
			return nil
		}
		if e.Kind == wire.Watch {
			g.endWatch(watch{e.From, e.To, e.Call})
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
	if r == nil {
		return nil, nil
	}
	if r.hop != nil && len(r.via) == 0 && len((*e).Via) == 0 {
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
// not say where its asker is; the answer waits for that.
func (g *Gateway) answerUp(e *wire.Envelope) bool {
	var up *link
	g.mu.RLock()
	if r := g.routes[g.uplink]; r != nil {
		up = r.hop
	}
	g.mu.RUnlock()
	return up != nil && up.peer != e.To.Proc && up.sess.TrySend(e) == nil
}

// refused turns the error of a session into a *SendError.
func (g *Gateway) refused(e *wire.Envelope, err error) error {
	reason, _ := errors.AsType[wire.Reason](err)
	return sendError(e.To.Proc, reason, err)
}

// search is the way to one proc being found. Everybody who needs it waits for
// the same search.
type search struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when link and err are set
	link   *link
	err    error

	// Gateway.mu guards the following.
	offer  *link           // leads to the proc: our own or, if it connected to us meanwhile, its
	ending bool            // somebody is in endSearch
	parked []wire.Envelope // for others, relayed when the way is found
	bytes  int             // of parked
}

// reach returns the session that messages to p take, and finds one if there is
// none. ctx bounds the wait, DialTimeout the search.
func (g *Gateway) reach(ctx context.Context, p id.Proc) (*link, error) {
	g.mu.Lock()
	l, f, err := g.searchLocked(p)
	g.mu.Unlock()
	if l != nil || err != nil {
		return l, err
	}
	select {
	case <-f.done:
		return f.link, f.err
	case <-ctx.Done():
		return nil, sendError(p, 0, context.Cause(ctx))
	}
}

// searchLocked returns the session to p, or the search for one, which it
// begins if need be.
func (g *Gateway) searchLocked(p id.Proc) (*link, *search, error) {
	r := g.routes[p]
	if r != nil && r.hop != nil {
		return r.hop, nil, nil
	}
	if r != nil && r.search != nil {
		return nil, r.search, nil
	}
	if cause := g.ends.causes[p]; r == nil && cause != nil {
		return nil, nil, sendError(p, wire.NoRoute, cause)
	}
	if p.IsZero() || (r == nil || r.addr == "") && g.askLocked(p) == nil {
		return nil, nil, sendError(p, wire.NoRoute, nil)
	}
	if g.closing {
		return nil, nil, sendError(p, wire.ShuttingDown, nil)
	}
	if r == nil {
		r = &route{}
	}
	ctx, n := g.backgroundLocked(g.cfg.DialTimeout)
	f := &search{cancel: g.cancels[n], done: make(chan struct{})}
	g.wg.Go(func() {
		defer g.endBackground(n)
		l, err := g.lookFor(ctx, p, r)
		if err != nil {
			err = g.whyMissing(ctx, p, r, err)
		}
		g.endSearch(p, r, f, l, err)
	})
	r.search = f
	g.routes[p] = r
	return nil, f, nil
}

// endSearch ends the search f for p with l or err, unless that has happened.
// What is parked goes first, so that it stays in front of what comes later.
func (g *Gateway) endSearch(p id.Proc, r *route, f *search, l *link, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.ending {
		return
	}
	f.ending = true
	for {
		if l == nil && f.offer != nil {
			l, err = f.offer, nil
		}
		if l != nil && (r.ended || l.lost) {
			l, err = nil, sendError(p, wire.PeerGone, nil)
		}
		if len(f.parked) == 0 {
			break
		}
		parked, via, ended := f.parked, r.via, r.ended
		f.parked, f.bytes = nil, 0
		g.mu.Unlock()
		for _, m := range parked {
			switch {
			case l != nil:
				g.passParked(l, p, via, m)
			case !ended || m.Kind == wire.Send: // others hear of the end of p
				g.bounce(nil, m, reasonOf(err), err.Error())
			}
		}
		g.mu.Lock()
	}
	r.hop, r.search = l, nil
	if l == nil && !r.fixed && r.missing == nil && g.routes[p] == r {
		delete(g.routes, p)
		delete(g.askers, p)
	}
	f.link, f.err = l, err
	close(f.done)
}

// passParked sends m, which was parked until the way to p is known, over l.
func (g *Gateway) passParked(l *link, p id.Proc, via []id.Proc, m wire.Envelope) {
	if len(via) > 0 && len(m.Via) == 0 {
		m.Via, p = via, via[0]
	}
	g.passOn(nil, l, p, m)
}

// reasonOf returns the reason in err, which says why there is no way.
func reasonOf(err error) wire.Reason {
	if e, ok := errors.AsType[*SendError](err); ok && e.Reason != 0 {
		return e.Reason
	}
	return wire.NoRoute
}

// lookFor tries the address that is known, then asks whoever may know more:
// siblings talk directly, and through their host only if they cannot.
func (g *Gateway) lookFor(ctx context.Context, p id.Proc, r *route) (*link, error) {
	g.mu.RLock()
	addr, up, host := r.addr, g.askLocked(p), g.attached[p.Host]
	g.mu.RUnlock()
	if host != nil && host.peer != p && g.through(host, p, r) {
		return host, nil
	}
	var direct error
	if addr != "" {
		l, err := g.dial(ctx, p, addr)
		if err == nil {
			return l, nil
		}
		direct = err
	}
	if up == nil {
		return nil, sendError(p, wire.NoRoute, direct)
	}
	via, err := up(ctx)
	if err != nil {
		return nil, sendError(p, wire.NoRoute, err)
	}
	told, path, err := g.ask(ctx, via, p)
	if err != nil {
		return nil, err
	}
	if told != "" && told != addr {
		l, err := g.dial(ctx, p, told)
		if err == nil {
			g.mu.Lock()
			r.supervised = true // the uplink tells us when p ends
			g.mu.Unlock()
			return l, nil
		}
		g.cfg.Log.Info("through the uplink, for lack of a direct way", "proc", p, "err", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(path) > 0 || host == via { // a way of our own, unlike one that the uplink finds
		r.via = append([]id.Proc{via.peer}, path...)
	}
	return via, nil
}

// through makes the gateway of the host of p, which is attached to us, the way
// to p. It is asked for p, so that it tells us of the end of p, but not waited
// for: while its session has no connection, messages wait in it.
func (g *Gateway) through(host *link, p id.Proc, r *route) bool {
	err := host.sess.TrySend(&wire.Envelope{
		Kind: wire.Resolve, TTL: wire.DefaultTTL, From: g.cfg.Self.Actor(""), To: p.Actor(""),
	})
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r.via = []id.Proc{host.peer}
	return true
}

// askLocked returns how to reach whoever may know where p is: the gateway of
// its host if that is attached to us, or our uplink. Nil: nobody does.
func (g *Gateway) askLocked(p id.Proc) func(context.Context) (*link, error) {
	if l := g.attached[p.Host]; l != nil && l.peer != p {
		return func(context.Context) (*link, error) { return l, nil }
	}
	if up := g.uplink; !up.IsZero() && up != p {
		return func(ctx context.Context) (*link, error) {
			l, err := g.reach(ctx, up)
			if err != nil {
				err = fmt.Errorf("uplink: %w", err)
			}
			return l, err
		}
	}
	return nil
}

// whyMissing waits, while p counts as lost, for whoever knows why: a proc that
// has just died is reported with its end, not as a dial that failed.
func (g *Gateway) whyMissing(ctx context.Context, p id.Proc, r *route, err error) error {
	g.mu.RLock()
	missing := r.missing
	g.mu.RUnlock()
	if missing != nil {
		select {
		case <-missing:
		case <-ctx.Done():
		}
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if r.cause != nil {
		return sendError(p, wire.PeerGone, r.cause)
	}
	return err
}

// ask is a question to a peer that waits for its answer.
type ask struct {
	of     *link
	answer chan wire.Envelope // capacity 1
}

// ask asks the peer of l where p is. The answer is an address, or "" if p is
// reached through that peer and then through the gateways in path.
func (g *Gateway) ask(ctx context.Context, l *link, p id.Proc) (addr channel.Addr, path []id.Proc, err error) {
	e, err := g.request(ctx, l, &wire.Envelope{Kind: wire.Resolve, To: p.Actor("")})
	if err != nil {
		return "", nil, sendError(p, wire.NoRoute, err)
	}
	if e.Reason != 0 {
		return "", nil, sendError(p, e.Reason, fmt.Errorf("says %v", l.peer))
	}
	return channel.Addr(e.Body), e.Via, nil
}

// request asks the peer of l and waits for its answer.
func (g *Gateway) request(ctx context.Context, l *link, e *wire.Envelope) (wire.Envelope, error) {
	a := &ask{of: l, answer: make(chan wire.Envelope, 1)}
	g.mu.Lock()
	g.serial++
	n := g.serial
	g.asks[n] = a
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.asks, n)
		g.mu.Unlock()
	}()
	e.TTL, e.Call, e.From = wire.DefaultTTL, n, g.cfg.Self.Actor("")
	if err := l.sess.Send(ctx, e); err != nil {
		return wire.Envelope{}, err
	}
	select {
	case answer := <-a.answer:
		return answer, nil
	case <-l.down:
		return wire.Envelope{}, fmt.Errorf("lost %v, who was asked", l.peer)
	case <-ctx.Done():
		return wire.Envelope{}, fmt.Errorf("%v was asked and did not answer: %w", l.peer, context.Cause(ctx))
	}
}
