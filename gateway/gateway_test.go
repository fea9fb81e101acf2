package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// node is a gateway with one proc, which keeps what it gets and answers calls.
type node struct {
	t  *testing.T
	id id.Proc
	*gateway.Gateway

	mu      sync.Mutex // guards the following
	got     []wire.Envelope
	gone    []goneProc
	changed chan struct{}
}

type goneProc struct {
	p     id.Proc
	cause error
}

func (n *node) Deliver(e *wire.Envelope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, *e)
	n.signal()
}

func (n *node) Gone(p id.Proc, cause error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = append(n.gone, goneProc{p, cause})
	n.signal()
}

// Cut is noted like an end: the tests know which it is.
func (n *node) Cut(p id.Proc, cause error) { n.Gone(p, cause) }

func (n *node) signal() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// messages returns what came so far.
func (n *node) messages() []wire.Envelope {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got
}

func (n *node) ends() []goneProc {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

func (n *node) envelope(kind wire.Kind, to *node, body string) *wire.Envelope {
	return &wire.Envelope{Kind: kind, Call: 7, From: n.id.Actor("from"), To: to.id.Actor("to"), Method: "m.x", Body: []byte(body)}
}

// send sends and requires that it is accepted.
func (n *node) send(to *node, body string) {
	n.t.Helper()
	if err := n.Send(n.t.Context(), n.envelope(wire.Send, to, body)); err != nil {
		n.t.Errorf("%v sends %q to %v: %v", n.id, body, to.id, err)
	}
}

// wants requires that exactly these bodies came since the last time.
func (n *node) wants(bodies ...string) {
	n.t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	var got []string
	for _, e := range n.got {
		got = append(got, string(e.Body))
	}
	if fmt.Sprint(got) != fmt.Sprint(bodies) {
		n.t.Errorf("%v got %q, want %q", n.id.Name, got, bodies)
	}
	n.got = nil
}

// advance lets d of the bubble's time pass.
func advance(d time.Duration) { <-time.After(d) }

type network struct {
	t     *testing.T
	net   *memnet.Network
	token string
}

// oneMachine is a network whose peers count as being on one machine: who cannot
// be reached any more is dead, and no session waits for it.
type oneMachine struct{ *memnet.Network }

func (oneMachine) Local() bool { return true }

func newNetwork(t *testing.T) *network { return &network{t, memnet.New(), "secret"} }

// node returns a node that listens under its own name.
func (w *network) node(name string, change ...func(*gateway.Config)) *node {
	w.t.Helper()
	p, err := id.NewProc("h", name)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := gateway.Config{Self: p, Token: []byte(w.token), Transports: channel.Transports{"mem": oneMachine{w.net}}}
	for _, f := range change {
		f(&cfg)
	}
	p = cfg.Self
	n := &node{t: w.t, id: p, Gateway: gateway.New(cfg), changed: make(chan struct{}, 1)}
	if err := n.Bind(p, n); err != nil {
		w.t.Fatal(err)
	}
	if _, err := n.Listen(w.t.Context(), channel.Addr("mem:"+name)); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func closeAll(nodes ...*node) {
	for _, n := range nodes {
		n.Close(context.Background())
	}
}

// family is a host and two children that know only the host.
func family(w *network) (host, a, b *node) {
	host, a, b = w.node("host"), w.node("a"), w.node("b")
	for _, child := range []*node{a, b} {
		host.RouteSupervised(child.id, child.Addr())
		child.Uplink(host.id, host.Addr())
	}
	return host, a, b
}

func TestTwoGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		a.send(b, "one")
		a.send(b, "two")
		b.wants("one", "two")
		b.send(a, "back") // over the session that a made
		a.wants("back")
		if n := w.net.Conns(); n != 2 {
			t.Errorf("%d ends of connections, want 2: one session", n)
		}
		a.send(a, "self")
		a.wants("self")
	})
}

func TestNoRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		err := a.Send(t.Context(), a.envelope(wire.Call, b, "x"))
		if !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
		a.Route(b.id, "mem:nowhere")
		err = a.Send(t.Context(), a.envelope(wire.Call, b, "x"))
		if !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
		a.Route(b.id, "pigeon:b")
		if err := a.Connect(t.Context(), b.id); !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
	})
}

// MS-13.
func TestSiblingsTalkDirectly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		a.send(b, "hello")
		b.wants("hello")
		b.send(a, "hi")
		a.wants("hi")
		if s := host.Stats(); s.Relayed != 0 {
			t.Errorf("the host relayed %d messages between siblings", s.Relayed)
		}
	})
}

// MS-13.
func TestRelayWhenDirectIsImpossible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		host.send(b, "first") // the host has its session before the cut
		b.wants("first")
		w.net.Cut("b")
		w.net.Heal("b") // and loses it: it has to dial again
		synctest.Wait()
		a.Route(b.id, "mem:blocked")
		for i := range 20 {
			a.send(b, fmt.Sprint(i))
		}
		b.wants("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19")
	})
}

func TestRelayBetweenIsolatedSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host := w.node("host")
		isolated := func(name, other string) *node {
			n := w.node(name, func(c *gateway.Config) {
				c.Transports = channel.Transports{"mem": denying{w.net, other}}
			})
			host.RouteSupervised(n.id, n.Addr())
			n.Uplink(host.id, host.Addr())
			return n
		}
		a, b := isolated("a", "b"), isolated("b", "a")
		defer closeAll(a, b, host)
		for i := range 5 {
			a.send(b, fmt.Sprint(i))
		}
		b.wants("0", "1", "2", "3", "4")
		b.send(a, "back")
		a.wants("back")
		if s := host.Stats(); s.Relayed != 6 {
			t.Errorf("relayed %d, want 6", s.Relayed)
		}
		host.Unroute(b.id, errors.New("exit 3"))
		synctest.Wait()
		if g := a.ends(); len(g) != 1 || g[0].p != b.id || !errors.Is(g[0].cause, wire.PeerGone) {
			t.Errorf("a heard %v, want the end of b", g)
		}
		err := a.Send(t.Context(), a.envelope(wire.Call, b, "late"))
		if !errors.Is(err, wire.NoRoute) {
			t.Errorf("send to the dead: %v, want NoRoute", err)
		}
	})
}

type denying struct {
	*memnet.Network
	deny string
}

func (d denying) Dial(ctx context.Context, address string) (net.Conn, error) {
	if address == d.deny {
		return nil, errors.New("blocked")
	}
	return d.Network.Dial(ctx, address)
}

// MS-12.
func TestLoopOfRoutesExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		x, y, z, p := w.node("x"), w.node("y"), w.node("z"), w.node("p")
		defer closeAll(x, y, z, p)
		for _, hop := range [][2]*node{{x, y}, {y, z}, {z, x}} {
			hop[0].Route(hop[1].id, hop[1].Addr())
			hop[0].RouteVia(p.id, hop[1].id)
		}
		x.send(p, "round")
		synctest.Wait()
		got := x.messages()
		if len(got) != 1 || got[0].Kind != wire.Return || got[0].Reason != wire.Expired || got[0].From != p.id.Actor("to") || got[0].Call != 7 {
			t.Errorf("got %+v, want one Return with Expired", got)
		}
	})
}

// MS-13.
func TestSourceRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, m, n, b := w.node("a"), w.node("m"), w.node("n"), w.node("b")
		defer closeAll(a, m, n, b)
		a.Route(m.id, m.Addr())
		m.Route(n.id, n.Addr())
		n.Route(b.id, b.Addr())
		a.RouteVia(b.id, m.id, n.id)
		a.send(b, "x")
		synctest.Wait()
		got := b.messages()
		if len(got) != 1 || got[0].Via != nil || got[0].TTL != wire.DefaultTTL-2 {
			t.Errorf("got %+v, want one message with its route peeled and two hops less", got)
		}
		stray := a.envelope(wire.Send, b, "stray")
		stray.Via = []id.Proc{m.id, b.id}
		if err := a.Send(t.Context(), stray); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := a.messages(); len(got) != 1 || got[0].Reason != wire.NoRoute {
			t.Errorf("got %+v, want a Return with NoRoute", got)
		}
	})
}

// MS-4.
func TestDeathWithCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, host)
		a.send(b, "x")
		host.send(b, "y")
		advance(time.Second) // until it is acknowledged
		w.net.Cut("b")
		synctest.Wait()
		if len(a.ends())+len(host.ends()) != 0 {
			t.Fatalf("gone before anybody knew the cause: %v %v", a.ends(), host.ends())
		}
		cause := errors.New("exit 3")
		var late sync.WaitGroup
		late.Go(func() {
			err := host.Send(t.Context(), host.envelope(wire.Call, b, "late"))
			if !errors.Is(err, wire.PeerGone) || !errors.Is(err, cause) {
				t.Errorf("a call between death and its report: %v", err)
			}
		})
		synctest.Wait()
		host.Unroute(b.id, cause)
		late.Wait()
		synctest.Wait()
		if g := host.ends(); len(g) != 1 || g[0] != (goneProc{b.id, cause}) {
			t.Errorf("host heard %v", g)
		}
		if g := a.ends(); len(g) != 1 || g[0].p != b.id || !errors.Is(g[0].cause, wire.PeerGone) || !strings.Contains(g[0].cause.Error(), "exit 3") {
			t.Errorf("a heard %v", g)
		}
		closeAll(b)
	})
}

func TestDeathThatNobodyExplains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		host.send(b, "y")
		advance(time.Second) // until it is acknowledged
		start := time.Now()
		w.net.Cut("b")
		<-host.changed
		if g := host.ends(); len(g) != 1 || !errors.Is(g[0].cause, wire.PeerGone) || time.Since(start) != 2*time.Second {
			t.Errorf("host heard %v after %v", g, time.Since(start))
		}
		w.net.Heal("b")
		host.send(b, "again")
		b.wants("y", "again")
	})
}

// MS-2.
func TestSimultaneousDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		w.net.SetDelay(time.Millisecond)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		b.Route(a.id, a.Addr())
		var wg sync.WaitGroup
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
		}
		for _, pair := range [][2]*node{{a, b}, {b, a}} {
			wg.Go(func() {
				for _, s := range want {
					pair[0].send(pair[1], s)
				}
			})
		}
		wg.Wait()
		advance(time.Second)
		a.wants(want...)
		b.wants(want...)
	})
}

// MS-15.
func TestRefusedHellos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a := w.node("a")
		w.token = "wrong"
		b := w.node("b")
		defer closeAll(a, b)
		b.Route(a.id, a.Addr())
		if err := b.Connect(t.Context(), a.id); !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
		twin := gateway.New(gateway.Config{Self: a.id, Token: []byte("secret"), Transports: channel.Transports{"mem": w.net}})
		defer twin.Close(context.Background())
		twin.Route(b.id, a.Addr())
		if err := twin.Connect(t.Context(), b.id); !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
		synctest.Wait()
		if s := a.Stats(); s.Refused != 2 {
			t.Errorf("refused %d, want 2", s.Refused)
		}
	})
}
