package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// route is what we know of one proc elsewhere. Gateway.mu guards it. It lives
// while somebody vouches for it (fixed) or a session leads there, so routes do
// not grow with the procs that ever were.
type route struct {
	fixed      bool         // made by Route, RouteVia or Uplink
	addr       channel.Addr // where the proc listens; "" if nobody said
	supervised bool         // somebody will tell us why the proc ended
	via        []id.Proc
	detour     bool  // it was last reached through the uplink, where something of ours may be
	hop        *link // what messages take; nil if there is nothing yet; see overtakesLocked
	search     *search
	passers    passers
	missing    chan struct{} // not nil: the proc is lost, GoneBound runs; closed when that is over
	ended      bool          // taken off the table for good
	cause      error         // why it ended; may be nil
}

// Route says that p listens at addr. It is dialed when a message needs it.
func (g *Gateway) Route(p id.Proc, addr channel.Addr) {
	g.setRoute(p, func(r *route) { r.addr, r.via = addr, nil })
}

// RouteSupervised is Route for a proc whose end somebody follows and will
// report by Unroute. When the session with p is lost, calls wait for that
// report, GoneBound at most, so that they end with the real cause.
func (g *Gateway) RouteSupervised(p id.Proc, addr channel.Addr) {
	g.setRoute(p, func(r *route) { r.addr, r.via, r.supervised = addr, nil, true })
}

// RouteVia says that p is reached through the gateways of the procs via, the
// nearest first (MS-13). Without any it does nothing.
func (g *Gateway) RouteVia(p id.Proc, via ...id.Proc) {
	if len(via) > 0 {
		g.setRoute(p, func(r *route) { r.via = slices.Clone(via) })
	}
}

// Uplink says that p, which listens at addr, knows the procs that we do not.
func (g *Gateway) Uplink(p id.Proc, addr channel.Addr) {
	g.Route(p, addr)
	g.mu.Lock()
	g.uplink = p
	g.mu.Unlock()
}

func (g *Gateway) setRoute(p id.Proc, set func(*route)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.routes[p]
	if r == nil {
		r = g.newRouteLocked(p)
		g.routes[p] = r
	}
	r.fixed = true
	set(r)
}

// Unroute says that p has ended, of cause. What p said before is still
// delivered; then its sessions are closed, and all local procs and the peers
// that asked for p or sent to it through us learn that it is gone.
func (g *Gateway) Unroute(p id.Proc, cause error) {
	g.mu.Lock()
	r := g.routes[p]
	_, local := g.locals[p]
	known := r != nil || local || len(g.peers[p]) > 0 || len(g.askers[p]) > 0 || g.paths.any(p)
	delete(g.detours.procs, p)
	if r != nil {
		delete(g.routes, p)
		r.ended, r.cause = true, cause
		r.foundLocked()
		if r.search != nil {
			r.search.cancel()
		}
	}
	links := slices.Clone(g.peers[p])
	for _, l := range links {
		l.ended = true
	}
	g.ends.add(p, cause)
	g.mu.Unlock()
	if !known {
		return // all were told by Unbind, by an earlier end, or have never met p
	}
	g.drain(links, cause)
	g.mu.Lock()
	told := g.toTellLocked(p)
	g.mu.Unlock()
	g.tell(told, p, wire.PeerGone, cause)
}

// foundLocked ends the time in which the proc counts as lost. It reports
// whether it was lost.
func (r *route) foundLocked() bool {
	if r.missing == nil {
		return false
	}
	close(r.missing)
	r.missing = nil
	return true
}

// lost is called when the session of l has ended: the procs behind it are
// gone, at once or, if somebody may know more, after GoneBound.
func (g *Gateway) lost(l *link, err error) {
	g.mu.Lock()
	l.lost = true
	g.detachLocked(l)
	for p, who := range g.askers {
		if delete(who, l); len(who) == 0 {
			delete(g.askers, p)
		}
	}
	for _, other := range g.peers[l.peer] {
		if other.up && !other.lost && !other.over && !l.over {
			other.over = true
			g.goLocked(func() { g.closeSoon(other) })
		}
	}
	next := g.routes[l.peer]
	chosen := next == nil || next.hop == l // there is no route to one that Unroute has ended
	var gone []id.Proc
	for p, r := range g.routes {
		r.leaveLocked(l)
		behind := r.hop == l
		if behind {
			r.passers = passers{} // what was on its way comes back
			g.leaveHopLocked(p, r)
		}
		if chosen && len(r.via) > 0 && r.via[0] == l.peer {
			behind = true
		}
		if behind && (r.hop != nil || !g.awaitLocked(p, r, err)) {
			gone = append(gone, p)
		}
	}
	g.mu.Unlock()
	for _, p := range gone {
		g.gone(p, err)
	}
}

// rested is called when the session of l has ended because nobody used it: the
// next message makes a new one, and nobody is gone.
func (g *Gateway) rested(l *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.lost = true
	g.detachLocked(l)
	for p, who := range g.askers {
		if delete(who, l); len(who) == 0 {
			delete(g.askers, p)
		}
	}
	for p, r := range g.routes {
		r.leaveLocked(l)
		if r.hop != l {
			continue
		}
		if g.leaveHopLocked(p, r); r.hop == nil && !r.fixed && r.search == nil {
			g.forgetRouteLocked(p, r)
			delete(g.askers, p)
		}
	}
}

// leaveHopLocked ends the way to p that messages have taken. If it led through
// another gateway, and p has made a session of its own with us since, that is the
// way from now on. What the uplink has may arrive yet, and comes first: see
// overtakesLocked.
func (g *Gateway) leaveHopLocked(p id.Proc, r *route) {
	l := r.hop
	r.hop = nil
	if l.peer == p {
		return
	}
	for _, own := range g.peers[p] {
		if own.up && !own.lost && !own.ended {
			r.hop = own
			if !r.fixed {
				r.via = nil
			}
			return
		}
	}
}

// twinBound bounds how long a session that is left over goes on to say what is
// queued, over a bad network perhaps.
const twinBound = 10 * time.Second

// closeSoon closes a session that is left over when the other one with the
// same peer was lost: both sides begin afresh, with one.
func (g *Gateway) closeSoon(l *link) {
	ctx, cancel := context.WithTimeout(context.Background(), twinBound)
	defer cancel()
	l.sess.Close(ctx)
}

// awaitLocked lets the calls to p wait for whoever knows its end, if there is
// somebody.
func (g *Gateway) awaitLocked(p id.Proc, r *route, err error) bool {
	if !r.supervised || r.missing != nil {
		return false
	}
	found := make(chan struct{})
	ok := g.goLocked(func() {
		t := time.NewTimer(g.cfg.GoneBound)
		defer t.Stop()
		select {
		case <-found:
			return
		case <-t.C:
		case <-g.quit:
		}
		if g.stillMissing(p, found) {
			g.gone(p, err)
		}
	})
	if ok {
		r.missing = found
	}
	return ok
}

func (g *Gateway) stillMissing(p id.Proc, found chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.routes[p]
	return r != nil && r.missing == found && r.foundLocked()
}

// settle is called when p is back before anybody said that it has ended: what
// waited for the old session will get no answer.
func (g *Gateway) settle(p id.Proc) {
	g.mu.Lock()
	r := g.routes[p]
	missing := r != nil && r.foundLocked()
	g.mu.Unlock()
	if missing {
		g.gone(p, errors.New("the session was lost, the proc is back"))
	}
}

// gone forgets p, unless somebody vouches for it, and tells that it cannot be
// reached.
func (g *Gateway) gone(p id.Proc, err error) {
	g.mu.Lock()
	if r := g.routes[p]; r != nil && !r.fixed && r.hop == nil && r.search == nil {
		g.forgetRouteLocked(p, r)
	}
	told := g.toTellLocked(p)
	g.mu.Unlock()
	g.tell(told, p, wire.NoRoute, sendError(p, wire.PeerGone, err))
}

// audience is who learns that a proc is gone.
type audience struct {
	locals []Local // of the gateway, not to be changed; the proc itself may be among them
	peers  []*link
}

// toTellLocked returns who must learn that p is gone, and forgets who asked.
func (g *Gateway) toTellLocked(p id.Proc) audience {
	if g.everybody == nil {
		g.everybody = slices.Collect(maps.Values(g.locals))
	}
	a := audience{locals: g.everybody}
	for l := range g.askers[p] {
		a.peers = append(a.peers, l)
	}
	delete(g.askers, p)
	return a
}

// tell tells the audience that p has ended (PeerGone), or that we do not reach
// it (NoRoute): perhaps it lives, and can be reached later.
func (g *Gateway) tell(a audience, p id.Proc, how wire.Reason, cause error) {
	if cause == nil {
		cause = sendError(p, wire.PeerGone, nil)
	}
	for _, l := range a.locals {
		if how == wire.PeerGone {
			l.Gone(p, cause)
		} else {
			l.Cut(p, cause)
		}
	}
	g.tellPeers(a.peers, p, how, cause)
	if how == wire.PeerGone {
		g.endTies(p, cause, a.peers)
	} else {
		g.giveUpTies(p, cause)
	}
}

func (g *Gateway) tellPeers(peers []*link, p id.Proc, how wire.Reason, cause error) {
	if len(peers) == 0 {
		return
	}
	e := wire.Envelope{Kind: wire.Gone, TTL: wire.DefaultTTL, From: p.Actor(""), Reason: how}
	g.say(&e, cause)
	for _, l := range peers {
		e.To = l.peer.Actor("")
		l.sess.TrySend(&e)
	}
}

// noteAskerLocked remembers that l is to be told when p ends.
func (g *Gateway) noteAskerLocked(p id.Proc, l *link) {
	if g.askers[p] == nil {
		g.askers[p] = make(map[*link]struct{})
	}
	g.askers[p][l] = struct{}{}
}

// Connect makes sure that there is a session with p itself.
func (g *Gateway) Connect(ctx context.Context, p id.Proc) error {
	if g.isLocal(p) {
		return nil
	}
	if g.hasOwn(p) {
		return nil
	}
	l, err := g.reach(ctx, p)
	if err == nil && l.peer != p {
		err = sendError(p, wire.NoRoute, errors.New("it can only be reached through "+l.peer.String()))
	}
	return err
}

// hasOwn reports whether the way to p is a session with p itself.
func (g *Gateway) hasOwn(p id.Proc) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	r := g.routes[p]
	return r != nil && r.hop != nil && r.hop.peer == p
}

// ends remembers why the last procs have ended, for those who call them later.
type ends struct {
	causes map[id.Proc]error
	order  []id.Proc // a ring of at most maxEnds
	next   int
}

// maxEnds bounds the memory of ends.
const maxEnds = 256

func (e *ends) add(p id.Proc, cause error) {
	if cause == nil || e.causes[p] != nil {
		return
	}
	if len(e.order) < maxEnds {
		e.order = append(e.order, p)
	} else {
		delete(e.causes, e.order[e.next])
		e.order[e.next] = p
		e.next = (e.next + 1) % maxEnds
	}
	e.causes[p] = cause
}
