package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// TestIdleSessionsRest has a session that nobody uses go away on both sides,
// and nobody believe that the peer is gone.
func TestIdleSessionsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		b.Route(a.id, a.Addr())
		for _, way := range [][2]*node{{a, b}, {b, a}, {a, b}} {
			way[0].reaches(way[1])
			if n := w.net.Conns(); n != 2 {
				t.Errorf("%d ends of connections, want 2", n)
			}
			advance(time.Hour)
			if n := w.net.Conns(); n != 0 {
				t.Errorf("%d ends of connections after an idle hour", n)
			}
		}
		if len(a.ends())+len(b.ends()) > 0 {
			t.Errorf("a heard %v, b heard %v", a.ends(), b.ends())
		}
	})
}

// TestWatchKeepsTheSession has the session stay while somebody watches, and
// rest when nobody does any more (AC-10).
func TestWatchKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b, c := w.node("a"), w.node("b"), w.node("c")
		defer closeAll(a, b, c)
		a.Route(b.id, b.Addr())
		a.Route(c.id, c.Addr())
		for _, to := range []*node{b, c} {
			for _, call := range []uint64{1, 2} {
				e := a.envelope(wire.Watch, to, "")
				e.Call = call
				if err := a.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		}
		advance(time.Hour)
		if n := w.net.Conns(); n != 4 {
			t.Errorf("%d ends of connections, want 4", n)
		}
		for _, call := range []uint64{1, 2} { // one ends by its own, one by the end of b's actor
			e := a.envelope(wire.Unwatch, b, "")
			if e.Call = call; call == 2 {
				e = b.envelope(wire.Down, a, "")
				e.From, e.To, e.Call, e.Method = b.id.Actor("to"), a.id.Actor("from"), call, ""
				b.Send(t.Context(), e)
			} else {
				a.Send(t.Context(), e)
			}
		}
		advance(time.Hour)
		if n := w.net.Conns(); n != 2 {
			t.Errorf("%d ends of connections, want 2: only c is watched", n)
		}
		w.net.Cut("c")
		advance(time.Minute)
		if ends := a.ends(); len(ends) != 1 || ends[0].p != c.id {
			t.Errorf("a heard %v, want the end of c", ends)
		}
	})
}

// AC-10: a watch that cannot be delivered ends at once.
func TestWatchOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, p := w.node("a"), w.node("m"), w.node("p")
		defer closeAll(a, m, p)
		a.Route(m.id, m.Addr())
		a.RouteVia(p.id, m.id)
		if err := a.Send(t.Context(), a.envelope(wire.Watch, p, "")); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		got := a.messages()
		if len(got) != 1 || got[0].Kind != wire.Down || got[0].Reason != wire.NoRoute || got[0].Call != 7 {
			t.Errorf("got %+v, want a Down", got)
		}
		advance(time.Hour)
		if n := w.net.Conns(); n != 0 {
			t.Errorf("%d ends of connections: a watch was not forgotten", n)
		}
	})
}
