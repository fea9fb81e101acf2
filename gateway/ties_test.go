package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// AC-10: b loses its own way to a, which leads through m, while a watches over a
// session that it has made: the watch holds, and ends with what b says.
func TestAC10WatchOutlivesTheOtherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, b := w.node("a"), w.node("m"), w.node("b")
		defer closeAll(a, m, b)
		a.Route(b.id, b.Addr())
		b.Route(m.id, m.Addr())
		b.RouteVia(a.id, m.id)
		b.reaches(m)
		if err := a.Send(t.Context(), a.envelope(wire.Watch, b, "")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.send(m, "lost") // so that b misses m, which does not come to acknowledge it
		w.net.Cut("m")
		advance(3 * time.Minute)
		down := b.envelope(wire.Down, a, "")
		down.From, down.To, down.Call, down.Method = b.id.Actor("to"), a.id.Actor("from"), 7, ""
		if err := b.Send(t.Context(), down); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := a.messages(); len(got) != 1 || got[0].Kind != wire.Down {
			t.Errorf("a got %+v, want one Down", got)
		}
		if got := b.messages(); len(got) != 2 || got[0].Kind != wire.Watch || got[1].Kind != wire.Return {
			t.Errorf("b got %+v, want the Watch, and back what was for m", got)
		}
	})
}

// AC-10: a gateway on the way loses the watched side: who watches is told, over
// the session that the watch came by.
func TestAC10PathBreaksBehindTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, b := w.node("a"), w.node("m"), w.node("b")
		defer closeAll(a, m, b)
		a.Route(m.id, m.Addr())
		a.RouteVia(b.id, m.id)
		m.Route(b.id, b.Addr())
		if err := a.Send(t.Context(), a.envelope(wire.Watch, b, "")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.net.Cut("b")
		advance(time.Minute)
		if got := a.messages(); len(got) != 1 || got[0].Kind != wire.Down || got[0].Reason != wire.PeerGone {
			t.Errorf("a got %+v, want one Down", got)
		}
		advance(3 * time.Minute)
		if got := b.messages(); len(got) != 2 || got[0].Kind != wire.Watch || got[1].Kind != wire.Down || got[1].Method != "m.x" {
			t.Errorf("b got %+v, want the link and its loss", got)
		}
		for _, n := range []*node{a, m, b} {
			if ties := n.Tables().Ties; ties != 0 {
				t.Errorf("%v has %d ties", n.id, ties)
			}
		}
	})
}

// MS-7: a sender is let go when the session is lost by which it was held back.
func TestMS7PauseEndsWithItsPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, b := w.node("a"), w.node("m"), w.node("b")
		defer closeAll(a, m, b)
		b.Route(m.id, m.Addr())
		b.RouteVia(a.id, m.id)
		m.Route(a.id, a.Addr())
		pause := b.envelope(wire.Pause, a, "")
		pause.To, pause.Call, pause.Method = a.id.Actor(""), 0, ""
		if err := b.Send(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.Close(t.Context())
		synctest.Wait()
		if got := a.messages(); len(got) != 2 || got[0].Kind != wire.Pause || got[1].Kind != wire.Resume {
			t.Errorf("a got %+v, want a Pause and a Resume", got)
		}
	})
}
