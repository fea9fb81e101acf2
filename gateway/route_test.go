package gateway_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// MS-13.
func TestNeverSentBackWhereItCameFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		x, y, p := w.node("x"), w.node("y"), w.node("p")
		defer closeAll(x, y, p)
		x.Route(y.id, y.Addr())
		x.RouteVia(p.id, y.id)
		y.RouteVia(p.id, x.id)
		x.send(p, "there and back")
		synctest.Wait()
		got := x.messages()
		if len(got) != 1 || got[0].Kind != wire.Return || got[0].Reason != wire.NoRoute {
			t.Errorf("got %+v, want one Return with NoRoute", got)
		}
		if s := x.Stats(); s.Relayed+y.Stats().Relayed != 0 {
			t.Error("it was relayed")
		}
	})
}

// MS-13.
func TestMissIsNotSentToTheUplink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		top, mid, a, p := w.node("top"), w.node("mid"), w.node("a"), w.node("p")
		defer closeAll(top, mid, a, p)
		top.Route(p.id, p.Addr())
		mid.Uplink(top.id, top.Addr())
		mid.send(p, "mid knows the way, but not as its own")
		a.Route(mid.id, mid.Addr())
		a.RouteVia(p.id, mid.id)
		a.send(p, "stray")
		synctest.Wait()
		got := a.messages()
		// mid has a session with p itself by now, which is a way of its own.
		if len(got) != 0 || len(p.messages()) != 2 {
			t.Errorf("a got %+v, p %d messages", got, len(p.messages()))
		}
		advance(time.Second) // until all is acknowledged
		w.net.Cut("p")
		advance(2 * time.Second) // until the session is given up
		w.net.Heal("p")
		advance(10 * time.Second)
		a.send(p, "stray")
		advance(10 * time.Second)
		if got := a.messages(); len(got) != 1 || got[0].Reason != wire.NoRoute {
			t.Errorf("a got %+v, want one Return with NoRoute", got)
		}
	})
}

func TestUplinkIsNoWayOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		top, a, p := w.node("top"), w.node("a"), w.node("p")
		mid := w.node("mid", func(c *gateway.Config) {
			c.Transports = channel.Transports{"mem": denying{w.net, "p"}}
		})
		defer closeAll(top, mid, a, p)
		top.Route(p.id, p.Addr())
		mid.Uplink(top.id, top.Addr())
		mid.send(p, "through top")
		p.wants("through top")
		a.Route(mid.id, mid.Addr())
		a.RouteVia(p.id, mid.id)
		a.send(p, "stray")
		p.wants()
		if got := a.messages(); len(got) != 1 || got[0].Reason != wire.NoRoute {
			t.Errorf("a got %+v, want one Return with NoRoute", got)
		}
	})
}

// TestOldSessionIsReadToItsEnd has a peer that connects again while what it
// said before is still on its way: order holds (MS-1).
func TestOldSessionIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		b := w.node("b")
		defer closeAll(b)
		p := id.Proc{Host: "h", Name: "peer", UID: 1}
		var wg sync.WaitGroup
		dial := func() *channel.Session {
			s, err := channel.Dial(t.Context(), w.net, "b", channel.Config{
				Hello: wire.Hello{Peer: p, Token: []byte("secret")}, Handle: func(*channel.Session, *wire.Envelope) {},
			})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { s.Run() })
			return s
		}
		send := func(s *channel.Session, body string) {
			s.Send(t.Context(), &wire.Envelope{Kind: wire.Send, TTL: 8, From: p.Actor("x"), To: b.id.Actor("y"), Method: "m", Body: []byte(body)})
			synctest.Wait()
		}
		w.net.SetDelay(20 * time.Millisecond)
		s := dial()
		send(s, "first")
		s.Abort(errors.New("test"))
		w.net.SetDelay(0)
		s = dial()
		send(s, "second")
		advance(time.Second)
		b.wants("first", "second")
		s.Abort(errors.New("test"))
		wg.Wait()
	})
}

func TestProcsBehindALostGatewayAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, p := w.node("a"), w.node("m"), w.node("p")
		defer closeAll(a, m, p)
		a.Route(m.id, m.Addr())
		a.RouteVia(p.id, m.id)
		m.Route(p.id, p.Addr())
		a.send(p, "x")
		p.wants("x")
		advance(time.Second)
		w.net.Cut("m")
		synctest.Wait()
		gone := map[id.Proc]bool{}
		for _, g := range a.ends() {
			gone[g.p] = errors.Is(g.cause, wire.PeerGone)
		}
		if len(a.ends()) != 2 || !gone[m.id] || !gone[p.id] {
			t.Errorf("a heard %v, want m and p", a.ends())
		}
	})
}

// TestClientThatDoesNotListen attaches through the host and is reachable both
// ways, also for those who never heard of it (MS-14 builds on that).
func TestClientThatDoesNotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		p := id.Proc{Host: "far", Name: "client", UID: 1}
		client := &node{t: t, id: p, changed: make(chan struct{}, 1), Gateway: gateway.New(gateway.Config{
			Self: p, Token: []byte("secret"), Transports: channel.Transports{"mem": w.net},
		})}
		client.Bind(p, client)
		client.Uplink(host.id, host.Addr())
		defer closeAll(client, a, b, host)
		client.send(host, "attach")
		host.wants("attach")
		b.send(client, "hello") // b never met it
		client.wants("hello")
		client.send(b, "hi")
		b.wants("hi")
		if s := host.Stats(); s.Relayed != 1 {
			t.Errorf("the host relayed %d messages, want only the one to the client", s.Relayed)
		}
		client.Close(t.Context())
		advance(time.Second)
		if len(b.ends()) == 0 || b.ends()[0].p != p {
			t.Errorf("b heard %v, want the end of the client", b.ends())
		}
		if err := b.Send(t.Context(), b.envelope(wire.Send, client, "late")); !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
	})
}

// MS-2.
func TestParkedMessagesStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		w.net.SetDelay(5 * time.Millisecond)
		a, m, p := w.node("a"), w.node("m"), w.node("p")
		defer closeAll(a, m, p)
		a.Route(m.id, m.Addr())
		a.RouteVia(p.id, m.id)
		m.Route(p.id, p.Addr()) // not connected yet
		for _, s := range []string{"1", "2", "3"} {
			a.send(p, s)
			advance(3 * time.Millisecond)
		}
		advance(time.Second)
		p.wants("1", "2", "3")
		m.Route(p.id, "mem:nowhere")
		w.net.Cut("p")
		advance(time.Second) // until the session is given up
		a.send(p, "4")
		advance(time.Second)
		if got := a.messages(); len(got) != 1 || got[0].Reason != wire.NoRoute || got[0].Kind != wire.Return {
			t.Errorf("a got %+v, want a Return", got)
		}
	})
}

func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		if err := host.Connect(t.Context(), a.id); err != nil {
			t.Error(err)
		}
		if err := host.Connect(t.Context(), host.id); err != nil {
			t.Errorf("to itself: %v", err)
		}
		w.net.Cut("b")
		if err := host.Connect(t.Context(), b.id); !errors.Is(err, wire.NoRoute) {
			t.Errorf("to b, which is cut off: %v", err)
		}
	})
}
