package gateway

import (
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// watch is a Watch that went over a link and has no Down yet. While a link has
// one, its session is kept: whoever watches is told by it, or by its loss
// (AC-10).
type watch struct {
	from, to id.Actor
	call     uint64
}

// noteSent notes a Watch or Unwatch that is about to go over l.
func (g *Gateway) noteSent(l *link, e *wire.Envelope) {
	w := watch{e.From, e.To, e.Call}
	switch e.Kind {
	case wire.Watch:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.endWatchLocked(w)
		g.watches[w] = l
		l.watches++
		if l.watches == 1 {
			l.sess.Keep(true)
		}
	case wire.Unwatch:
		g.endWatch(w)
	}
}

// endWatch forgets a watch, if there is one. What ends it may have come another
// way than it went.
func (g *Gateway) endWatch(w watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endWatchLocked(w)
}

func (g *Gateway) endWatchLocked(w watch) {
	l := g.watches[w]
	if l == nil {
		return
	}
	delete(g.watches, w)
	l.watches--
	if l.watches == 0 {
		l.sess.Keep(false)
	}
}

// endWatchesOverLocked forgets the watches over a link that has ended: whoever
// watches is told of the loss.
func (g *Gateway) endWatchesOverLocked(l *link) {
	for w, over := range g.watches {
		if over == l {
			delete(g.watches, w)
		}
	}
}

// endWatchesOfLocked forgets the watches of and by p, which is gone: whoever
// watches it makes the Down itself.
func (g *Gateway) endWatchesOfLocked(p id.Proc) {
	for w := range g.watches {
		if w.to.Proc == p || w.from.Proc == p {
			g.endWatchLocked(w)
		}
	}
}
