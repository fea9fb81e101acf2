package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// search is the way to one proc being found. Everybody who needs it waits for
// the same search.
type search struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when link and err are set
	link   *link
	err    error

	// Gateway.mu guards the following.
	offer    *link    // leads to the proc: our own or, if it connected to us meanwhile, its
	told     *link    // whose peer says that it is the way, or is taken at its word
	denied   error    // what that peer has said since: it is none
	straight bool     // see Gateway.straight; only route.detour makes a difference of it
	ending   bool     // somebody is in endSearch
	guess    bool     // it counts among Gateway.guesses
	parked   []parked // for others, relayed when the way is found
	bytes    int      // of parked
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
	if r != nil && r.hop != nil && !g.overtakesLocked(p, r) {
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
		r = g.newRouteLocked(p)
	}
	ctx, n := g.backgroundLocked(g.cfg.DialTimeout)
	f := &search{cancel: g.cancels[n], done: make(chan struct{}), offer: r.hop}
	g.wg.Go(func() {
		defer g.endBackground(n)
		l, err := g.lookFor(ctx, p, r, f)
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
	f.straight = f.straight || l == nil
	for {
		switch {
		case l == nil:
		case l.lost:
			l, err = nil, sendError(p, wire.PeerGone, nil)
		case l == f.told && f.denied != nil:
			l, err = nil, sendError(p, wire.NoRoute, f.denied)
		}
		if l == nil && f.offer != nil && !f.offer.lost {
			l, err = f.offer, nil
		}
		if l != nil && r.ended {
			l, err = nil, sendError(p, wire.PeerGone, nil)
		}
		if len(f.parked) == 0 {
			break
		}
		parked, via, ended := f.parked, r.via, r.ended
		f.parked, f.bytes = nil, 0
		way := l
		if l != nil && l.peer != p && f.offer != nil && !f.offer.lost {
			way, via = f.offer, nil // others do not go through the uplink
		}
		g.mu.Unlock()
		for _, m := range parked {
			switch {
			case l != nil:
				g.passParked(way, p, via, m)
			case !ended || m.Kind == wire.Send: // others hear of the end of p
				g.bounce(m.from, m.Envelope, reasonOf(err), err.Error())
			}
		}
		g.mu.Lock()
	}
	r.hop, r.search = l, nil
	if l == nil {
		r.passers = passers{}
	} else if l.peer == p && f.straight {
		r.detour = false
	}
	if f.guess {
		g.guesses--
	}
	if l == nil && !r.fixed && r.missing == nil && g.routes[p] == r {
		g.forgetRouteLocked(p, r)
		delete(g.askers, p)
	}
	f.link, f.err = l, err
	close(f.done)
}

// passParked sends m, which was parked until the way to p is known, over l.
func (g *Gateway) passParked(l *link, p id.Proc, via []id.Proc, m parked) {
	if m.from != nil && g.receiveEnd(m.from, &m.Envelope) {
		return // what began the tie was parked, too
	}
	if len(via) > 0 && len(m.Via) == 0 {
		m.Via, p = via, via[0]
	}
	g.passOn(m.from, l, p, m.Envelope)
}

// lookFor tries the address that is known, then asks whoever may know more:
// siblings talk directly, and through their host only if they cannot.
func (g *Gateway) lookFor(ctx context.Context, p id.Proc, r *route, f *search) (*link, error) {
	g.mu.RLock()
	addr, up, host := r.addr, g.askLocked(p), g.attached[p.Host]
	first := r.detour && up != nil && (addr != "" || f.offer != nil)
	g.mu.RUnlock()
	if host != nil && host.peer != p && g.through(host, p, r, f) {
		return host, nil
	}
	if first {
		if via := g.leads(ctx, up, p); via != nil {
			return via, nil
		}
	}
	var direct error
	if first || addr != "" {
		if own := g.straight(f); own != nil {
			return own, nil
		}
	}
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
		if own := g.straight(f); own != nil {
			return own, nil
		}
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
	if f.ending {
		return via, nil // it has another way
	}
	r.detour = true
	if len(path) > 0 || host == via { // a way of our own, unlike one that the uplink finds
		r.via = append([]id.Proc{via.peer}, path...)
	}
	return via, nil
}

// leads asks the uplink, over which p was reached the last time, whether it
// still leads there: what we have sent that way may not have arrived yet, and
// what goes straight to p would overtake it (MS-1). It returns nil if not, or if
// there is no answer in half of the time that a search has, unless it is due to a
// slow line: what we have sent is still going out, in front of the question.
func (g *Gateway) leads(ctx context.Context, up func(context.Context) (*link, error), p id.Proc) *link {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.DialTimeout/2)
	defer cancel()
	via, err := up(ctx)
	if err != nil {
		return nil
	}
	told, path, err := g.ask(ctx, via, p)
	switch st := via.sess.Status(); {
	case errors.Is(err, context.DeadlineExceeded) && st.Connected && st.Unacked > 0:
		return via
	case err != nil || told != "" || len(path) > 0:
		return nil
	}
	return via
}

// through makes the gateway of the host of p, which is attached to us, the way
// to p. It is asked for p, so that it tells us of the end of p, but not waited
// for: while its session has no connection, messages wait in it.
func (g *Gateway) through(host *link, p id.Proc, r *route, f *search) bool {
	g.mu.Lock()
	f.told = host
	g.mu.Unlock()
	err := host.sess.TrySend(&wire.Envelope{
		Kind: wire.Resolve, TTL: wire.DefaultTTL, From: g.cfg.Self.Actor(""), To: p.Actor(""),
	})
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !f.ending {
		r.via, r.detour = []id.Proc{host.peer}, false
	}
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

var errAskedLost = errors.New("the session was lost over which it was asked")

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
		return wire.Envelope{}, fmt.Errorf("%v: %w", l.peer, errAskedLost)
	case <-ctx.Done():
		return wire.Envelope{}, fmt.Errorf("%v was asked and did not answer: %w", l.peer, context.Cause(ctx))
	}
}
