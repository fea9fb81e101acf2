package gateway

import (
	"context"
	"slices"
	"sync"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// tie is a watch, a link or a pause between actors in different processes:
// something that from has begun. A watch or link may be ended by either of the
// two, a pause by from alone.
//
// A tie depends on the sessions that what began it went over, hop by hop, and on
// no others: what ends it goes the same path, and when one of them is lost, both
// its ends are told, from where the path has broken (AC-10, MS-7). Which way
// else one of the two has to the other, or has lost, does not matter.
type tie struct {
	from, to id.Actor
	call     uint64
	pause    bool
}

// path is where a tie passes a gateway.
type path struct {
	in, out *link  // towards from and to; nil if that is a local proc
	method  string // of the Watch: it tells a link from a watch
}

// begunBy returns the tie that e begins.
func begunBy(e *wire.Envelope) (t tie, ok bool) {
	switch e.Kind {
	case wire.Watch:
		return tie{from: e.From, to: e.To, call: e.Call}, true
	case wire.Pause:
		return tie{from: e.From, to: e.To, pause: true}, true
	}
	return t, false
}

// endedBy returns the tie that e ends, and whether that comes from the one who
// began it.
func endedBy(e *wire.Envelope) (t tie, forward, ok bool) {
	switch {
	case e.Kind == wire.Resume:
		return tie{from: e.From, to: e.To, pause: true}, true, true
	case e.Kind == wire.Unwatch, e.Kind == wire.Down && e.Method != "": // a link whose maker has failed
		return tie{from: e.From, to: e.To, call: e.Call}, true, true
	case e.Kind == wire.Down:
		return tie{from: e.To, to: e.From, call: e.Call}, false, true
	}
	return t, false, false
}

// lostFrom is what to is told when the path has broken in front of it.
func (t tie) lostFrom(p path, why string) wire.Envelope {
	e := wire.Envelope{Kind: wire.Unwatch, TTL: wire.DefaultTTL, From: t.from, To: t.to, Call: t.call}
	switch {
	case t.pause:
		e.Kind = wire.Resume
	case p.method != "":
		e.Kind, e.Method, e.Reason, e.Body = wire.Down, p.method, wire.PeerGone, []byte(why)
	}
	return e
}

// lostTo is what from is told when the path has broken behind it.
func (t tie) lostTo(why string) wire.Envelope {
	return wire.Envelope{
		Kind: wire.Down, TTL: wire.DefaultTTL, From: t.to, To: t.from, Call: t.call,
		Reason: wire.PeerGone, Body: []byte(why),
	}
}

// paths are the ties that pass a gateway. While a session is the way of a watch,
// it is kept: who watches is told by it, or by its loss.
type paths struct {
	mu  sync.Mutex // guards the following, and the sessions' ties, watches and broken
	all map[tie]path
	of  map[id.Proc]map[tie]struct{} // those with actors of a proc
}

// open notes the path of t. It reports false if from is lost already.
func (s *paths) open(t tie, p path) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(t)
	if p.in != nil && p.in.broken {
		return false
	}
	if s.all == nil {
		s.all, s.of = make(map[tie]path), make(map[id.Proc]map[tie]struct{})
	}
	s.all[t] = p
	for _, end := range [...]id.Proc{t.from.Proc, t.to.Proc} {
		if s.of[end] == nil {
			s.of[end] = make(map[tie]struct{})
		}
		s.of[end][t] = struct{}{}
	}
	for _, l := range [...]*link{p.in, p.out} {
		if l != nil && l.ties == nil {
			l.ties = make(map[tie]struct{})
		}
		if l != nil {
			l.ties[t] = struct{}{}
		}
	}
	if p.out != nil && !t.pause {
		if p.out.watches++; p.out.watches == 1 {
			p.out.unwatch = p.out.sess.Keep()
		}
	}
	return true
}

// find returns the path of t, if there is one.
func (s *paths) find(t tie) (path, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.all[t]
	return p, ok
}

// close forgets t. It reports false if there is none.
func (s *paths) close(t tie) (path, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeLocked(t)
}

func (s *paths) closeLocked(t tie) (path, bool) {
	p, ok := s.all[t]
	if !ok {
		return p, false
	}
	delete(s.all, t)
	for _, end := range [...]id.Proc{t.from.Proc, t.to.Proc} {
		if delete(s.of[end], t); len(s.of[end]) == 0 {
			delete(s.of, end)
		}
	}
	for _, l := range [...]*link{p.in, p.out} {
		if l != nil {
			delete(l.ties, t)
		}
	}
	if p.out != nil && !t.pause {
		if p.out.watches--; p.out.watches == 0 {
			p.out.unwatch()
		}
	}
	return p, true
}

// any reports whether there are ties with actors of p.
func (s *paths) any(p id.Proc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.of[p]) > 0
}

func (s *paths) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// openTie notes the tie that e begins, if it does. It reports false if who began
// it is lost already.
func (g *Gateway) openTie(e *wire.Envelope, p path) bool {
	if e.Kind != wire.Watch && e.Kind != wire.Pause {
		return true
	}
	t, _ := begunBy(e)
	p.method = e.Method
	return g.paths.open(t, p)
}

// pausedOver returns the session that the same Pause has taken before, if e is one:
// the Resume goes there alone.
func (g *Gateway) pausedOver(e *wire.Envelope) *link {
	if e.Kind != wire.Pause {
		return nil
	}
	t, _ := begunBy(e)
	p, _ := g.paths.find(t)
	return p.out
}

// closeTie forgets the tie that e was to begin, if it was, and was not sent. It
// reports false if who began it was told meanwhile that it is lost.
func (g *Gateway) closeTie(e *wire.Envelope) bool {
	if e.Kind != wire.Watch && e.Kind != wire.Pause {
		return true
	}
	t, _ := begunBy(e)
	_, open := g.paths.close(t)
	return open || t.pause
}

// notice is what one end of a tie is told: over a session, or here.
type notice struct {
	over *link // nil if the end is here
	e    wire.Envelope
}

// notify tells the ends of ties.
func (g *Gateway) notify(all []notice) {
	for _, n := range all {
		if n.over != nil {
			g.sendSurely(n.over, &n.e)
			continue
		}
		g.mu.RLock()
		local := g.locals[n.e.To.Proc]
		g.mu.RUnlock()
		if local != nil {
			local.Deliver(&n.e)
		}
	}
}

// breakTies ends the ties that went over l, which has ended because of err.
// Those with a proc whose end somebody is about to report wait for that.
func (g *Gateway) breakTies(l *link, err error) {
	var told []notice
	g.mu.RLock()
	s := &g.paths
	s.mu.Lock()
	l.broken = true
	for t := range l.ties {
		p := s.all[t]
		r := g.routes[t.to.Proc]
		awaited := l.ended && l.peer == t.to.Proc || r != nil && r.missing != nil
		switch {
		case p.in == l:
			s.closeLocked(t)
			told = append(told, notice{p.out, t.lostFrom(p, err.Error())})
		case p.out == l && !awaited:
			s.closeLocked(t)
			told = t.tellFrom(told, p, err)
		}
	}
	s.mu.Unlock()
	g.mu.RUnlock()
	g.notify(told)
}

// tellFrom adds to told what from is told when the path has broken behind it.
func (t tie) tellFrom(told []notice, p path, err error) []notice {
	if t.pause {
		return told // whoever asked for it may be gone or not
	}
	return append(told, notice{p.in, t.lostTo(err.Error())})
}

// giveUpTies ends the ties with actors of p that have waited for news of it:
// there is none, because of err.
func (g *Gateway) giveUpTies(p id.Proc, err error) {
	var told []notice
	s := &g.paths
	s.mu.Lock()
	for t := range s.of[p] {
		if path := s.all[t]; t.to.Proc == p && path.out != nil && path.out.broken {
			s.closeLocked(t)
			told = t.tellFrom(told, path, err)
		}
	}
	s.mu.Unlock()
	g.notify(told)
}

// endTies ends all ties with p, which has ended of cause. Who lives here is told
// of that otherwise, and so are the peers in told.
func (g *Gateway) endTies(p id.Proc, cause error, told []*link) {
	if s := &g.paths; s.any(p) {
		g.notify(s.endAll(p, cause, told))
	}
}

// endAll forgets the ties with p and returns who has to be told.
func (s *paths) endAll(p id.Proc, cause error, told []*link) (rest []notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.of[p] {
		path := s.all[t]
		switch {
		case t.from.Proc == p:
			s.closeLocked(t)
			if path.out != nil {
				rest = append(rest, notice{path.out, t.lostFrom(path, cause.Error())})
			}
		case t.to.Proc == p:
			s.closeLocked(t)
			if path.in != nil && !slices.Contains(told, path.in) {
				rest = t.tellFrom(rest, path, cause)
			}
		}
	}
	return rest
}

// sendEnd sends what ends a tie, and comes from a local proc, where the tie went.
// It reports false if e does not, or if the tie is one between procs of ours.
//
// The end of an actor goes the way that its messages go, behind them, if their
// session is with the same peer or with the watcher himself: it is not lost
// without a loss of the path, or comes back then.
func (g *Gateway) sendEnd(ctx context.Context, e *wire.Envelope) bool {
	t, forward, ok := endedBy(e)
	if !ok || g.isLocal(e.To.Proc) {
		return false
	}
	if forward {
		p, ok := g.paths.close(t)
		if ok && p.out != nil {
			p.out.sess.Send(ctx, e) // or the loss of the session says it
		}
		return ok
	}
	p, ok := g.paths.find(t)
	if !ok || p.in == nil {
		return false // the watcher was told of the loss of the path
	}
	usual := e
	if l, _ := g.look(&usual); l != nil && l != p.in && (l.peer == p.in.peer || l.peer == e.To.Proc) && l.sess.Send(ctx, usual) == nil {
		return true // the watcher's side ends the tie
	}
	g.paths.close(t)
	p.in.sess.Send(ctx, e)
	return true
}

// receiveEnd passes on what ends a tie, and came over l. It reports false if it
// is to be delivered here, or if the tie does not pass here.
func (g *Gateway) receiveEnd(l *link, e *wire.Envelope) bool {
	t, forward, ok := endedBy(e)
	if !ok {
		return false
	}
	p, ok := g.paths.find(t)
	if !ok {
		return false
	}
	next := p.in
	if forward {
		if p.in != l {
			return true // it is older than the tie
		}
		next = p.out
	} else if p.out != l { // it came another way: the path is still there
		g.notify([]notice{{p.out, t.lostFrom(path{}, "")}})
	}
	g.paths.close(t)
	if next == nil {
		return false
	}
	if e.TTL--; e.TTL > 0 {
		onward := *e
		onward.Via = nil
		g.sendSurely(next, &onward)
	}
	return true
}

// backAlong is told that e, a Watch or a Down, was lost with l. That the path of a
// Watch is broken is told by breakTies; a Down that took another way than its
// path takes the path.
func (g *Gateway) backAlong(l *link, e wire.Envelope) {
	t, forward, ok := endedBy(&e)
	if !ok || forward {
		return
	}
	if p, ok := g.paths.close(t); ok && p.in != nil && p.in != l {
		g.notify([]notice{{p.in, e}})
	}
}
