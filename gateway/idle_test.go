package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/wire"
)

// MS-4, MS-5: a call that crosses the end of its session for being idle is
// handled, and its answer finds a way: nobody is gone.
func TestMS4CallCrossesAnIdleEnd(t *testing.T) {
	for name, back := range map[string]bool{"of the dialer": false, "of the other side": true} {
		const idle = time.Minute
		for after := idle - 300*time.Millisecond; after < idle+800*time.Millisecond; after += 25 * time.Millisecond {
			t.Run(name+" after "+after.String(), func(t *testing.T) { testCallAfter(t, idle, after, back) })
		}
	}
}

// testCallAfter calls, the dialer or the other side if back is set, when nothing
// was said for that long, and answers later.
func testCallAfter(t *testing.T, idle, after time.Duration, back bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		rests := func(c *gateway.Config) { c.Timing.IdleTimeout = idle }
		a, b := w.node("a", rests), w.node("b", rests)
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		w.net.SetDelay(100 * time.Millisecond)
		if err := a.Connect(t.Context(), b.id); err != nil {
			t.Fatal(err)
		}
		advance(after)
		if back {
			a, b = b, a
			a.Route(b.id, b.Addr())
		}
		for _, kind := range []wire.Kind{wire.Call, wire.Send} {
			if err := a.Send(t.Context(), a.envelope(kind, b, "x")); err != nil {
				t.Fatal(err)
			}
		}
		advance(time.Second)
		if err := b.Send(t.Context(), b.envelope(wire.Reply, a, "answer")); err != nil {
			t.Errorf("the answer: %v", err)
		}
		advance(time.Second)
		if got := b.messages(); len(got) != 2 {
			t.Errorf("b got %d messages, want 2", len(got))
		}
		if got := a.messages(); len(got) != 1 || got[0].Kind != wire.Reply {
			t.Errorf("a got %+v, want the answer alone", got)
		}
		if len(a.ends())+len(b.ends()) > 0 {
			t.Errorf("a heard %v, b heard %v", a.ends(), b.ends())
		}
	})
}

// MS-11: two procs that dial each other at the same time have two sessions, and
// what is asked over one is answered over the other. Both go when nobody uses
// them.
func TestMS11BothDialAndRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		rests := func(c *gateway.Config) { c.Timing.IdleTimeout = time.Minute }
		a, b := w.node("a", rests), w.node("b", rests)
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		b.Route(a.id, a.Addr())
		w.net.SetDelay(100 * time.Millisecond)
		go a.Connect(t.Context(), b.id)
		b.connects(a)
		if n := len(a.Sessions()); n != 2 {
			t.Fatalf("%d sessions, want 2", n)
		}
		for range 3 {
			for _, ask := range [][2]*node{{a, b}, {b, a}} {
				if err := ask[0].Send(t.Context(), ask[0].envelope(wire.Call, ask[1], "x")); err != nil {
					t.Fatal(err)
				}
				advance(time.Second)
				if err := ask[1].Send(t.Context(), ask[1].envelope(wire.Reply, ask[0], "answer")); err != nil {
					t.Fatal(err)
				}
				advance(time.Second)
			}
		}
		advance(3 * time.Minute)
		if n := len(a.Sessions()) + len(b.Sessions()); n != 0 {
			t.Errorf("%d ends of sessions are left", n)
		}
	})
}
