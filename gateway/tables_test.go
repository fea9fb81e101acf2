package gateway_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// AC-10: a watch ends with its Down, also if that comes over another session
// than the watch went: nothing keeps the first one any more.
func TestWatchAnsweredAnotherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, b := w.node("a"), w.node("m"), w.node("b")
		defer closeAll(a, m, b)
		a.Route(m.id, m.Addr())
		a.RouteVia(b.id, m.id)
		m.Route(b.id, b.Addr())
		b.Route(a.id, a.Addr())
		if err := a.Send(t.Context(), a.envelope(wire.Watch, b, "")); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		if n := a.Tables().Watches; n != 1 {
			t.Errorf("a has %d watches, want 1", n)
		}
		down := b.envelope(wire.Down, a, "")
		down.From, down.To, down.Call = b.id.Actor("to"), a.id.Actor("from"), 7
		if err := b.Send(t.Context(), down); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		if n := a.Tables().Watches; n != 0 {
			t.Errorf("a has %d watches after the answer", n)
		}
	})
}

// MS-4: who is reached through a proc that has ended is told as lost, also if
// the end was known before the session broke.
func TestEndOfAProcOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, b := w.node("a"), w.node("m"), w.node("b")
		defer closeAll(a, m, b)
		a.Route(m.id, m.Addr())
		a.RouteVia(b.id, m.id)
		m.Route(b.id, b.Addr())
		a.send(b, "hello")
		b.wants("hello")
		a.Unroute(m.id, errors.New("it has ended"))
		synctest.Wait()
		told := false
		for _, e := range a.ends() {
			told = told || e.p == b.id
		}
		if !told {
			t.Errorf("a heard %v, want that b is lost, too", a.ends())
		}
		if n := a.Tables(); n.Sessions != 0 || n.Background != 0 || n.Searches != 0 {
			t.Errorf("a still has %+v", n)
		}
	})
}
