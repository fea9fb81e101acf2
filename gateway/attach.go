package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// ErrAttached is what Attach returns if the gateway has an uplink.
var ErrAttached = errors.New("the gateway has an uplink already")

// Attach joins the procs that whoever listens at addr knows, as a full member
// (MS-14): that peer becomes the uplink, and is told that the procs of our host
// are reached over the session that we have made; so nobody needs to be able to
// dial us. It returns who the peer is.
//
// ctx bounds the call. If it fails once there is a session, that stays for those
// who use it, as long as they do. Otherwise the session is kept from then on:
// when it is lost for good, the gateway attaches anew, until it is closed, and
// meanwhile messages to what only the peer knows fail with NoRoute.
func (g *Gateway) Attach(ctx context.Context, addr channel.Addr) (id.Proc, error) {
	g.mu.Lock()
	if !g.uplink.IsZero() || g.attaching {
		g.mu.Unlock()
		return id.Proc{}, fmt.Errorf("attach to %s: %w", addr, ErrAttached)
	}
	g.attaching = true
	g.mu.Unlock()
	l, err := g.join(ctx, addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attaching = false
	if err == nil && !g.goLocked(func() { g.stay(addr, l) }) {
		err = wire.ShuttingDown
	}
	if err != nil {
		return id.Proc{}, fmt.Errorf("attach to %s: %w", addr, err)
	}
	return l.peer, nil
}

// join makes a session with whoever listens at addr, and has it route for us.
func (g *Gateway) join(ctx context.Context, addr channel.Addr) (*link, error) {
	g.mu.Lock()
	closing := g.closing
	if !closing {
		g.wg.Add(1) // Close waits for what dial starts
	}
	g.mu.Unlock()
	if closing {
		return nil, wire.ShuttingDown
	}
	defer g.wg.Done()
	for l := g.dialedTo(addr); l != nil; l = g.dialedTo(addr) {
		err := g.askToRoute(ctx, l)
		switch {
		case err == nil:
			return l, nil
		case !errors.Is(err, channel.ErrClosed) && !errors.Is(err, errAskedLost):
			return nil, err
		}
		select { // a new session is to come after this one (MS-1)
		case <-l.down:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	l, err := g.dial(ctx, id.Proc{}, addr)
	if err != nil {
		return nil, err
	}
	return l, g.askToRoute(ctx, l)
}

// askToRoute makes the peer of l our uplink and the way to the procs of our host.
func (g *Gateway) askToRoute(ctx context.Context, l *link) error {
	release := l.sess.Keep()      // for good
	before := g.setUplink(l.peer) // already now: what comes first may want an answer
	e, err := g.request(ctx, l, &wire.Envelope{Kind: wire.Attach, To: l.peer.Actor("")})
	if err == nil && e.Reason != 0 {
		err = fmt.Errorf("%v: %w: %s", l.peer, e.Reason, e.Body)
	}
	if err != nil {
		g.setUplink(before)
		release()
	}
	return err
}

// dialedTo returns a living session that we have made with whoever listens at
// addr, or nil. A second one would look as if we had lost the first.
func (g *Gateway) dialedTo(addr channel.Addr) *link {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for l := range g.links {
		if l.addr == addr && l.up && !l.lost && !l.ended {
			return l
		}
	}
	return nil
}

// setUplink makes p the uplink and returns which it was before.
func (g *Gateway) setUplink(p id.Proc) (before id.Proc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.uplink = g.uplink, p
	return before
}

// Waits between attempts to attach anew: they double, with jitter, so that all
// that were attached to a host do not come back at the same moment.
const (
	firstRejoin = 100 * time.Millisecond
	lastRejoin  = 10 * time.Second
)

// stay attaches anew whenever l, or what comes after it, is lost.
func (g *Gateway) stay(addr channel.Addr, l *link) {
	for {
		select {
		case <-l.down:
		case <-g.quit:
			return
		}
		if l = g.rejoin(addr); l == nil {
			return
		}
		g.cfg.Log.Info("attached anew", "addr", addr, "host", l.peer)
	}
}

// rejoin returns nil if the gateway is closed.
func (g *Gateway) rejoin(addr channel.Addr) *link {
	for wait := firstRejoin; ; wait = min(2*wait, lastRejoin) {
		if !g.pause(wait/2 + rand.N(wait)) {
			return nil
		}
		g.mu.Lock()
		ctx, n := g.backgroundLocked(g.cfg.DialTimeout)
		g.mu.Unlock()
		l, err := g.join(ctx, addr)
		g.endBackground(n)
		if err == nil {
			return l
		}
		g.cfg.Log.Warn("cannot attach", "addr", addr, "err", err)
	}
}

// attach is the other side of Attach: what is for the procs of the host of l's
// peer goes over l from now on.
func (g *Gateway) attach(l *link, e wire.Envelope) {
	answer := wire.Envelope{
		Kind: wire.Attached, TTL: wire.DefaultTTL, Call: e.Call,
		From: g.cfg.Self.Actor(""), To: e.From,
	}
	g.mu.Lock()
	switch {
	case e.From.Proc != l.peer:
		answer.Reason, answer.Body = wire.Malformed, []byte("only the peer itself can attach")
	case l.alone:
		answer.Reason, answer.Body = wire.Malformed, fmt.Appendf(nil, "the certificate of %v does not speak for its host", l.peer)
	case l.peer.Host == g.cfg.Self.Host:
		answer.Reason, answer.Body = wire.Malformed, fmt.Appendf(nil, "this is host %s, too", l.peer.Host)
	case !l.lost:
		g.attached[l.peer.Host] = l
	}
	g.mu.Unlock()
	l.sess.TrySend(&answer)
}

// detachLocked forgets what attach or Join has noted of l.
func (g *Gateway) detachLocked(l *link) {
	if g.attached[l.peer.Host] == l {
		delete(g.attached, l.peer.Host)
	}
	maps.DeleteFunc(g.joins, func(_ channel.Addr, j *join) bool { return j.link == l })
}
