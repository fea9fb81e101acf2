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
	switch e.Kind {
	case wire.Watch:
		g.mu.Lock()
		defer g.mu.Unlock()
		if l.watches == nil {
			l.watches = make(map[watch]struct{})
		}
		l.watches[watch{e.From, e.To, e.Call}] = struct{}{}
		if len(l.watches) == 1 {
			l.sess.Keep(true)
		}
	case wire.Unwatch:
		g.endWatch(l, watch{e.From, e.To, e.Call})
	}
}

// endWatch forgets a watch over l, if there is one.
func (g *Gateway) endWatch(l *link, w watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := l.watches[w]; !ok {
		return
	}
	delete(l.watches, w)
	if len(l.watches) == 0 {
		l.sess.Keep(false)
	}
}
