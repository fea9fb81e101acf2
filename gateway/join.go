package gateway

import (
	"context"
	"fmt"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// join is a host that Join has reached, or is about to. Everybody who wants to
// join it waits for the same one.
type join struct {
	done chan struct{} // closed when the following are set
	peer id.Proc
	err  error
	link *link // Gateway.mu guards it
}

// Join makes a session of our own with the gateway that listens at addr: what
// we send to procs of its host goes over that, and not over our uplink, unless
// it has a way already. Unlike Attach it says nothing there of other procs than
// our own, and we keep our uplink. A peer whose certificate speaks for a single
// proc is the way to that proc only. It returns who the peer is.
//
// ctx bounds the call, DialTimeout the attempt. While the session lasts, another
// Join of addr returns at once. It lasts over breaks of the network as any
// session does, and does not go away when idle; when it is lost for good, because
// the peer has ended say, it is not made again: Join is to be called again.
func (g *Gateway) Join(ctx context.Context, addr channel.Addr) (id.Proc, error) {
	g.mu.Lock()
	j := g.joins[addr]
	if j == nil {
		j = &join{done: make(chan struct{})}
		if !g.goLocked(func() { g.meet(addr, j) }) {
			g.mu.Unlock()
			return id.Proc{}, fmt.Errorf("join %s: %w", addr, wire.ShuttingDown)
		}
		g.joins[addr] = j
	}
	g.mu.Unlock()
	select {
	case <-j.done:
	case <-ctx.Done():
		return id.Proc{}, fmt.Errorf("join %s: %w", addr, context.Cause(ctx))
	}
	if j.err != nil {
		return id.Proc{}, fmt.Errorf("join %s: %w", addr, j.err)
	}
	return j.peer, nil
}

// meet makes the session that j waits for.
func (g *Gateway) meet(addr channel.Addr, j *join) {
	defer close(j.done)
	g.mu.Lock()
	ctx, n := g.backgroundLocked(g.cfg.DialTimeout)
	g.mu.Unlock()
	l := g.dialedTo(addr)
	var err error
	if l == nil {
		l, err = g.dial(ctx, id.Proc{}, addr)
	}
	g.endBackground(n)
	if err == nil {
		l.sess.Keep() // for good
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil && l.lost {
		err = sendError(l.peer, wire.PeerGone, nil)
	}
	if j.err = err; err != nil {
		delete(g.joins, addr)
		return
	}
	j.peer, j.link = l.peer, l
	if !l.alone && l.peer.Host != g.cfg.Self.Host && g.attached[l.peer.Host] == nil {
		g.attached[l.peer.Host] = l
	}
}
