package gateway

import (
	"errors"
	"fmt"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// receive handles one envelope that came over l. It never blocks: the next one
// waits behind it.
func (g *Gateway) receive(l *link, e *wire.Envelope) {
	l.arrival.flush()
	switch e.Kind {
	case wire.Resolve:
		g.resolve(l, *e)
		return
	case wire.Attach:
		g.attach(l, *e)
		return
	case wire.Resolved, wire.Attached:
		g.answered(l, *e)
		return
	case wire.Gone:
		g.heardGone(l, *e)
		return
	}
	if !l.speaksFor(e.From.Proc) {
		g.disown(l, *e)
		return
	}
	if e.Kind > wire.Return && g.receiveEnd(l, e) {
		return
	}
	for len(e.Via) > 0 && g.isLocal(e.Via[0]) {
		e.Via = e.Via[1:]
	}
	if len(e.Via) == 0 {
		e.Via = nil
		if local := g.localFor(l, e.To.Proc); local != nil {
			g.openTie(e, path{in: l})
			local.Deliver(e)
			return
		}
	}
	g.relay(l, *e)
}

// take is receive for a small Send, if its proc is here and takes it.
func (g *Gateway) take(l *link, e *wire.Envelope) bool {
	if len(e.Via) > 0 || !l.speaksFor(e.From.Proc) {
		return false
	}
	a := &l.arrival
	if a.version != g.mu.version.Load() || a.to.UID != e.To.Proc.UID {
		g.localFor(l, e.To.Proc)
	}
	return a.inlet != nil && a.inlet.Take(e)
}

// relay passes on what is addressed to somebody else, if we have a way of our
// own: never through the uplink, and never back (MS-13). What is our own to
// say, a Return, has no from.
func (g *Gateway) relay(from *link, e wire.Envelope) {
	if e.TTL <= 1 {
		g.bounce(from, e, wire.Expired, "too many hops")
		return
	}
	e.TTL--
	g.mu.Lock()
	to := nextProc(&e)
	r := g.routes[to]
	if r != nil && len(r.via) > 0 && len(e.Via) == 0 {
		e.Via = r.via
		to = e.Via[0]
		r = g.routes[to]
	}
	if r != nil && to == e.To.Proc && from != nil {
		g.noteAskerLocked(to, from)
		if e.Kind == wire.Send || e.Kind == wire.Call {
			r.passers.enter(from)
		}
	}
	if r != nil && r.hop == nil && r.addr != "" || r == nil && g.attached[to.Host] != nil {
		switch kept, full := g.parkLocked(to, parked{e, from}); {
		case kept:
			g.mu.Unlock()
			return
		case full:
			g.mu.Unlock()
			g.bounce(from, e, wire.MailboxFull, fmt.Sprintf("%v is still looking for a way to %v, and too much waits for it", g.cfg.Self, to))
			return
		}
	}
	var l *link
	if r != nil {
		l = r.hop
	}
	ended := g.ends.causes[to]
	g.mu.Unlock()
	if r == nil && ended != nil && from != nil { // a call or a watch is to end with the cause
		g.tell(audience{peers: []*link{from}}, to, wire.PeerGone, ended)
	}
	g.passOn(from, l, to, e)
}

// parkingRoom returns how many messages may be parked while the way to one proc is
// being found, and of how many bytes, or one that is larger. Nobody vouches for a
// guess: its name may be made up.
func parkingRoom(guess bool) (messages, bytes int) {
	if guess {
		return 1 << 8, 1 << 20
	}
	return 1 << 16, 4 << 20
}

// parked is a message of somebody else that waits for a search.
type parked struct {
	wire.Envelope
	from *link // nil if it is our own to say
}

// maxGuesses bounds the searches under way that messages of others have begun
// for procs that nobody vouches for.
const maxGuesses = 4096

// parkLocked keeps m until the search for p has ended, and begins one if there
// is none. If m is not kept, full says that there is a search, and no room.
func (g *Gateway) parkLocked(p id.Proc, m parked) (kept, full bool) {
	guess := g.routes[p] == nil
	if guess && g.guesses >= maxGuesses {
		return false, false
	}
	_, f, err := g.searchLocked(p)
	if err != nil || f == nil {
		return false, false
	}
	size := m.Size()
	messages, bytes := parkingRoom(guess || f.guess)
	if len(f.parked) >= messages || f.bytes > 0 && f.bytes+size > bytes {
		return false, true
	}
	if guess {
		f.guess = true
		g.guesses++
	}
	f.parked = append(f.parked, m)
	f.bytes += size
	return true, false
}

// passOn sends e, which came over from, over l, which should lead to p.
func (g *Gateway) passOn(from, l *link, p id.Proc, e wire.Envelope) {
	if l == nil || l == from || l.peer != p {
		g.bounce(from, e, wire.NoRoute, fmt.Sprintf("%v has no way to %v", g.cfg.Self, p))
		return
	}
	if !g.openTie(&e, path{in: from, out: l}) {
		return // who began it knows of the loss
	}
	g.holdBack(from, l, &e)
	err := l.sess.TrySend(&e)
	switch {
	case err == nil && from == nil:
		g.stats.returned.Add(1)
		return
	case err == nil:
		g.stats.relayed.Add(1)
		return
	}
	if e.Kind == wire.Resume && errors.Is(err, wire.MailboxFull) {
		g.sendSurely(l, &e)
		return
	}
	g.closeTie(&e)
	reason, _ := errors.AsType[wire.Reason](err)
	if errors.Is(err, channel.ErrClosed) {
		reason = wire.PeerGone
		if e.Kind != wire.Send && e.To.Proc == p && g.endComes(l) && g.willHear(e.From.Proc, p) {
			return // it ends when the end of p is known
		}
	}
	g.bounce(from, e, reason, err.Error())
}

// endComes reports whether somebody will tell why the peer of l, whose session
// is at its end, has ended.
func (g *Gateway) endComes(l *link) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	r := g.routes[l.peer]
	return l.ended || r != nil && r.supervised && (r.hop == l || r.missing != nil)
}

// InDoubt is the Code of a Return whose message was perhaps handled (MS-5): the
// session ended after it was written and before it was acknowledged, or its
// handler had begun.
const InDoubt = "in doubt"

// bounce sends a message that cannot be delivered back to its sender. It
// leaves over from, or by our own ways if from is nil. Answers have nobody who
// waits for their outcome: they are dropped.
func (g *Gateway) bounce(from *link, e wire.Envelope, reason wire.Reason, detail string) {
	g.giveBack(from, e, reason, "", detail)
}

// disown sends back what the peer of l, whose certificate speaks for itself
// only, says in the name of somebody else (MS-15). It goes over l and nowhere
// else: who is named there did not send it.
func (g *Gateway) disown(l *link, e wire.Envelope) {
	back := returnOf(e, wire.Malformed, "", fmt.Sprintf("the certificate of %v does not speak for %v", l.peer, e.From.Proc))
	if !e.Kind.Returns() || l.sess.TrySend(&back) != nil {
		g.stats.dropped.Add(1)
		return
	}
	g.stats.returned.Add(1)
}

// returnOf returns what tells the sender of e that it cannot be delivered.
func returnOf(e wire.Envelope, reason wire.Reason, code, detail string) wire.Envelope {
	back := wire.Envelope{
		Kind: wire.Return, TTL: wire.DefaultTTL, Reason: reason, Call: e.Call,
		To: e.From, From: e.To, Method: e.Method, Code: code, Trace: e.Trace, Body: []byte(detail),
	}
	if e.Kind == wire.Watch { // a Down with a Method would be from who has made a link
		back.Kind, back.Method, back.Code = wire.Down, "", ""
	}
	return back
}

// giveBack is bounce with a Code.
func (g *Gateway) giveBack(from *link, e wire.Envelope, reason wire.Reason, code, detail string) {
	if !e.Kind.Returns() || e.From.Proc.IsZero() {
		g.stats.dropped.Add(1)
		return
	}
	back := returnOf(e, reason, code, detail)
	g.mu.RLock()
	local := g.locals[back.To.Proc]
	if r := g.routes[back.To.Proc]; from == nil && r != nil && len(r.via) == 0 {
		from = r.hop
	}
	g.mu.RUnlock()
	switch {
	case local != nil:
		local.Deliver(&back)
	case from == nil || from.sess.TrySend(&back) != nil:
		g.relay(nil, back) // which counts it
		return
	}
	g.stats.returned.Add(1)
}

// answered hands an answer to whoever asked.
func (g *Gateway) answered(l *link, e wire.Envelope) {
	g.mu.Lock()
	a := g.asks[e.Call]
	asked := a != nil && a.of == l
	if asked {
		delete(g.asks, e.Call)
		if r := g.routes[e.From.Proc]; r != nil && r.search != nil && e.Reason == 0 {
			r.search.told = l
		}
	}
	g.mu.Unlock()
	switch {
	case asked:
		a.answer <- e // the only one: the ask is off the table
	case e.Call == 0 && e.Reason == wire.NoRoute:
		g.notThere(l, e.From.Proc)
	}
}

// notThere is told that the gateway of an attached host, which was asked while
// messages were on their way through it already, does not know p.
func (g *Gateway) notThere(l *link, p id.Proc) {
	g.mu.Lock()
	r := g.routes[p]
	err := fmt.Errorf("says %v", l.peer)
	through := r != nil && r.hop == l && l.peer != p // also if somebody else of that host has attached since
	if through {
		g.leaveHopLocked(p, r)
	}
	r.deny(l, err)
	g.mu.Unlock()
	if through {
		g.gone(p, sendError(p, wire.NoRoute, err))
	}
}

// heardGone believes a peer that says that a proc has ended, or that it does
// not reach it any more, if the peer is the one to know: our uplink, or the way
// to the proc. One that was only lost may come back.
func (g *Gateway) heardGone(l *link, e wire.Envelope) {
	p, cause := e.From.Proc, g.hear(&e)
	g.mu.Lock()
	r := g.routes[p]
	_, local := g.locals[p]
	through := r != nil && (r.hop == l || len(r.via) > 0 && r.via[0] == l.peer)
	if p.IsZero() || local || l.peer != g.uplink && l.peer != p && g.attached[p.Host] != l && !through {
		g.mu.Unlock()
		g.stats.dropped.Add(1)
		return
	}
	tell := func() { g.Unroute(p, sendError(p, wire.PeerGone, cause)) }
	if e.Reason == wire.NoRoute {
		tell = func() { g.gone(p, cause) }
		if r != nil && r.hop != nil && r.hop != l {
			tell = func() {} // we have another way
		} else if r != nil && r.hop != nil {
			g.leaveHopLocked(p, r)
		}
		r.deny(l, cause)
	}
	if len(g.peers[p]) > 0 { // what it said itself comes first, and may have to be waited for
		g.goLocked(tell)
		tell = func() {}
	}
	g.mu.Unlock()
	tell() // now: what comes next over l is later than the end
}

// deny notes that the peer of l is not the way that a search has just found.
func (r *route) deny(l *link, err error) {
	if r != nil && r.search != nil && r.search.told == l {
		r.search.denied = err
	}
}
