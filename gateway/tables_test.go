package gateway_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/id"
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
		if n := a.Tables().Ties; n != 1 {
			t.Errorf("a has %d watches, want 1", n)
		}
		down := b.envelope(wire.Down, a, "")
		down.From, down.To, down.Call, down.Method = b.id.Actor("to"), a.id.Actor("from"), 7, ""
		if err := b.Send(t.Context(), down); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		for _, n := range []*node{a, m, b} {
			if ties := n.Tables().Ties; ties != 0 {
				t.Errorf("%v has %d watches after the answer", n.id, ties)
			}
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

// TestAskersOfTheRested has peers come, be asked for, rest and end: nobody is
// told of that, and nothing stays behind.
func TestAskersOfTheRested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		m, b := w.node("m"), w.node("b")
		defer closeAll(m, b)
		b.Route(m.id, m.Addr())
		if err := b.Send(t.Context(), b.envelope(wire.Watch, m, "")); err != nil { // keeps the session
			t.Fatal(err)
		}
		synctest.Wait()
		m.got = nil
		for i := range 5 {
			c := w.node(fmt.Sprint("c", i))
			c.Route(m.id, m.Addr())
			c.reaches(m)
			b.RouteVia(c.id, m.id)
			b.reaches(c)
			advance(time.Hour)
			closeAll(c)
			advance(time.Second)
		}
		if n := m.Tables(); n.Askers != 0 || n.Routes != 1 {
			t.Errorf("m has %+v, want no askers, and a route to b", n)
		}
	})
}

// TestRoutesToTheUnknown has messages go to procs of an attached host that it
// does not know.
func TestRoutesToTheUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host := w.at("host", "host")
		laptop, child := w.behindNAT("laptop", "host")
		defer closeAll(child, laptop, host)
		if _, err := laptop.Attach(t.Context(), host.Addr()); err != nil {
			t.Fatal(err)
		}
		refused := 0 // at once: the answer came before the search had ended
		for range 100 {
			unknown := &node{t: t, id: child.id}
			unknown.id.UID = id.NewUID()
			if host.Send(t.Context(), host.envelope(wire.Send, unknown, "x")) != nil {
				refused++
			}
		}
		advance(time.Second)
		if n := host.Tables(); n.Routes != 1 {
			t.Errorf("%d routes, want that to the laptop", n.Routes)
		}
		if n := len(host.messages()); n+refused != 100 {
			t.Errorf("%d of 100 came back, and %d were refused", n, refused)
		}
	})
}
