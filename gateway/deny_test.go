package gateway

import (
	"context"
	"errors"
	"testing"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// A peer says that a proc is reached through it, and that it is not, before the
// search that has asked has ended: no way is left.
func TestDeniedBeforeTheSearchEnds(t *testing.T) {
	g := New(Config{})
	defer g.Close(context.Background())
	p, l := id.Proc{Host: "h", Name: "p", UID: 1}, newLink()
	l.peer = id.Proc{Host: "h", Name: "up", UID: 2}
	r, f := &route{}, &search{done: make(chan struct{})}
	r.search, g.routes[p], g.uplink, g.asks[7] = f, r, l.peer, &ask{of: l, answer: make(chan wire.Envelope, 1)}
	g.answered(l, wire.Envelope{Kind: wire.Resolved, Call: 7, From: p.Actor("")})
	g.heardGone(l, wire.Envelope{Kind: wire.Gone, Reason: wire.NoRoute, From: p.Actor(""), Body: []byte("lost")})
	g.endSearch(p, r, f, l, nil)
	if f.link != nil || !errors.Is(f.err, wire.NoRoute) || g.routes[p] != nil {
		t.Errorf("the search ends with %v, %v and the route %v", f.link, f.err, g.routes[p])
	}
}
