package gateway

import (
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// resolve answers where a proc is.
func (g *Gateway) resolve(l *link, e wire.Envelope) {
	p := e.To.Proc
	answer := wire.Envelope{
		Kind: wire.Resolved, TTL: wire.DefaultTTL, Call: e.Call,
		From: p.Actor(""), To: e.From,
	}
	g.mu.Lock()
	_, direct := g.whereLocked(p, l)
	r := g.routes[p]
	waits := direct && r != nil && r.search != nil && r.passedLocked(l)
	later := (waits || !direct && g.looksForLocked(p, l, e.TTL)) && g.answerLaterLocked(p, l, answer, direct)
	if !later {
		g.sayWhereLocked(&answer, l, direct, false)
	}
	g.mu.Unlock()
	if !later {
		l.sess.TrySend(&answer)
	}
}

// looksForLocked reports whether we look for p, to which we have no way of our
// own, on behalf of the peer of l, whose question may go ttl hops.
func (g *Gateway) looksForLocked(p id.Proc, l *link, ttl uint8) bool {
	return ttl > 1 && l.peer != g.uplink && g.attached[p.Host] != l
}

// maxForwards bounds the questions of others that we look into at a time.
const maxForwards = 256

// answerLaterLocked looks for p where we would look ourselves, and answers then.
// It reports false if there is nowhere to look.
func (g *Gateway) answerLaterLocked(p id.Proc, l *link, answer wire.Envelope, direct bool) bool {
	if g.forwards >= maxForwards || g.closing {
		return false
	}
	_, f, err := g.searchLocked(p)
	if err != nil {
		return false
	}
	g.forwards++
	g.wg.Go(func() {
		if f != nil {
			<-f.done
		}
		g.mu.Lock()
		g.forwards--
		g.sayWhereLocked(&answer, l, direct, true)
		g.mu.Unlock()
		l.sess.TrySend(&answer)
	})
	return true
}

// sayWhereLocked puts into answer how the peer of l reaches the proc: directly
// if that is asked for and overtakes nothing, or else through us, if it may know
// of a path.
func (g *Gateway) sayWhereLocked(answer *wire.Envelope, l *link, direct, path bool) {
	p := answer.From.Proc
	addr, ok := g.whereLocked(p, l)
	r := g.routes[p]
	switch {
	case direct && ok && r != nil && r.passedLocked(l):
		// through us, behind what has gone that way
	case direct && ok:
		answer.Body = []byte(addr)
	case path:
		answer.Via = g.pathLocked(p)
		ok = answer.Via != nil
	default:
		ok = false
	}
	if !ok {
		answer.Reason = wire.NoRoute
		return
	}
	g.noteAskerLocked(p, l)
}

// pathLocked returns the gateways that messages to p pass after ours, or nil
// if there is no way.
func (g *Gateway) pathLocked(p id.Proc) []id.Proc {
	r := g.routes[p]
	switch {
	case r == nil || r.hop == nil || len(r.via) >= wire.MaxVia-1:
		return nil
	case len(r.via) > 0:
		return r.via
	}
	return []id.Proc{r.hop.peer}
}

// whereLocked returns the address of a proc to which we have a way of our own,
// for the peer of asker. It is "" if the way is through us: the proc is here,
// or its address is good for nothing where the peer is.
func (g *Gateway) whereLocked(p id.Proc, asker *link) (channel.Addr, bool) {
	if _, ok := g.locals[p]; ok {
		return "", true
	}
	r := g.routes[p]
	var addr channel.Addr
	switch {
	case r == nil:
		return "", false
	case r.fixed:
		addr = r.addr
	case r.hop != nil && r.hop.peer == p:
		addr = channel.Addr(r.hop.sess.Peer().Addr)
	default:
		return "", false
	}
	if asker.peer.Host != p.Host && addr.Network() == "unix" {
		addr = "" // a path on another machine
	}
	return addr, true
}
