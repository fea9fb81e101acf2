package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// TestEveryMessageHasAnOutcome cuts connections at random while messages flow
// both ways: what Send takes is delivered or comes back, each at most once and
// in order, and only what is marked in doubt may do both (MS-1, MS-3).
func TestEveryMessageHasAnOutcome(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			w := newNetwork(t)
			w.net.SetDelay(time.Duration(rnd.IntN(3)) * time.Millisecond)
			w.net.SetBuffer(200 + rnd.IntN(2000))
			host, a, b := w.node("host"), w.node("a"), w.node("b")
			for _, pair := range [][2]*node{{a, b}, {b, a}, {host, a}, {a, host}} {
				pair[0].Route(pair[1].id, pair[1].Addr())
			}
			accepted := map[*node][]uint64{}
			var mu sync.Mutex // guards accepted
			var wg sync.WaitGroup
			for _, pair := range [][2]*node{{a, b}, {b, a}, {host, a}} {
				wg.Go(func() {
					for i := range uint64(100) {
						e := pair[0].envelope(wire.Send, pair[1], "x")
						e.Call = i + 1
						if pair[0].Send(t.Context(), e) == nil {
							mu.Lock()
							accepted[pair[0]] = append(accepted[pair[0]], i+1)
							mu.Unlock()
						}
						if i%10 == 9 {
							advance(time.Millisecond)
						}
					}
				})
			}
			for range 5 {
				advance(time.Duration(rnd.IntN(4000)) * time.Microsecond)
				name := []string{"a", "b", "host"}[rnd.IntN(3)]
				w.net.Cut(name)
				advance(time.Duration(rnd.IntN(1000)) * time.Microsecond)
				w.net.Heal(name)
			}
			wg.Wait()
			advance(10 * time.Second)
			checkOutcomes(t, accepted[a], from(a, b), a)
			checkOutcomes(t, accepted[b], from(b, a), b)
			checkOutcomes(t, accepted[host], from(host, a), host)
			closeAll(a, b, host)
		})
	}
}

// from returns the numbers of the messages that came to n from sender.
func from(sender, n *node) []uint64 {
	var calls []uint64
	for _, e := range n.messages() {
		if e.Kind == wire.Send && e.From.Proc == sender.id {
			calls = append(calls, e.Call)
		}
	}
	return calls
}

func checkOutcomes(t *testing.T, accepted, delivered []uint64, sender *node) {
	t.Helper()
	outcome := make(map[uint64]int)
	for _, n := range delivered {
		outcome[n]++
	}
	if !slices.IsSorted(delivered) {
		t.Errorf("%v: out of order: %v", sender.id.Name, delivered)
	}
	for _, e := range sender.messages() {
		if e.Kind == wire.Return && (e.Code != gateway.InDoubt || outcome[e.Call] == 0) {
			outcome[e.Call]++
		}
	}
	for _, n := range accepted {
		if outcome[n] != 1 {
			t.Errorf("%v: message %d has %d outcomes", sender.id.Name, n, outcome[n])
		}
		delete(outcome, n)
	}
	if len(outcome) > 0 {
		t.Errorf("%v: outcomes of messages that were refused: %v", sender.id.Name, outcome)
	}
}

// stuck is a node whose Deliver blocks, which no Local may do, to stand for a
// peer that does not read.
type stuck struct{ release chan struct{} }

func (s stuck) Deliver(*wire.Envelope) { <-s.release }
func (stuck) Gone(id.Proc, error)      {}
func (stuck) Cut(id.Proc, error)       {}

// MS-7.
func TestSlowPeerBlocksOnlyItsSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		small := func(c *gateway.Config) { c.QueueBytes = 10 << 10 }
		w.net.SetBuffer(1000)
		host, a, fast := w.node("host", small), w.node("a", small), w.node("fast")
		slow := w.node("slow")
		defer closeAll(a, fast, slow, host)
		release := make(chan struct{})
		slow.Unbind(slow.id, nil)
		slow.Bind(slow.id, stuck{release})
		a.Route(host.id, host.Addr())
		for _, n := range []*node{fast, slow} {
			host.Route(n.id, n.Addr())
			a.RouteVia(n.id, host.id)
		}
		big := string(make([]byte, 1000))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		for err == nil {
			err = host.Send(ctx, host.envelope(wire.Send, slow, big))
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		a.send(slow, big)
		a.send(fast, "quick")
		fast.wants("quick")
		close(release)
	})
}

// MS-8.
func TestOversizeIsRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b", func(c *gateway.Config) { c.Limits.MaxFrame = 1000 })
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		if err := a.Send(t.Context(), a.envelope(wire.Send, b, string(make([]byte, 2000)))); !errors.Is(err, wire.TooLarge) {
			t.Errorf("got %v, want TooLarge", err)
		}
		a.send(b, "fits")
		b.wants("fits")
	})
}

// MS-8.
func TestGarbageCostsOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		a.send(b, "before")
		for i := range 100 {
			c, err := w.net.Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write(fmt.Appendf(nil, "%0*d", i, 0))
		}
		a.send(b, "after")
		b.wants("before", "after")
		advance(10 * time.Second) // until those that said too little are given up
		if s := b.Stats(); s.Refused != 100 || w.net.Conns() != 102 {
			t.Errorf("refused %d, %d ends of connections are open", s.Refused, w.net.Conns())
		}
	})
}

// MS-6.
func TestRestartOnTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, b := w.node("host"), w.node("b")
		defer closeAll(host)
		host.RouteSupervised(b.id, b.Addr())
		host.send(b, "one")
		b.wants("one")
		closeAll(b)
		host.Unroute(b.id, errors.New("exit 0"))
		again := w.node("b")
		defer closeAll(again)
		host.RouteSupervised(again.id, again.Addr())
		host.send(again, "two")
		again.wants("two")
		host.Route(b.id, again.Addr()) // somebody who did not hear of it
		err := host.Send(t.Context(), host.envelope(wire.Send, b, "stale"))
		if !errors.Is(err, wire.NoRoute) {
			t.Errorf("a message for the one before: %v", err)
		}
		again.wants()
	})
}

func TestCloseReturnsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		w.net.SetDelay(time.Millisecond)
		host, a, b := family(w)
		for i := range 20 {
			a.send(b, fmt.Sprint(i))
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := a.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := len(b.messages()); got != 20 {
			t.Errorf("%d of 20 messages arrived before Close returned", got)
		}
		if err := a.Send(t.Context(), a.envelope(wire.Send, b, "late")); !errors.Is(err, wire.ShuttingDown) {
			t.Errorf("send after Close: %v", err)
		}
		if _, err := a.Listen(t.Context(), "mem:z"); !errors.Is(err, wire.ShuttingDown) {
			t.Errorf("listen after Close: %v", err)
		}
		advance(time.Second)
		if g := b.ends(); len(g) != 1 || g[0].p != a.id {
			t.Errorf("b heard %v, want the end of a", g)
		}
		closeAll(b, host)
		if n := w.net.Conns(); n != 0 {
			t.Errorf("%d ends of connections are left", n)
		}
	})
}

func TestUnbindTellsWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		extra := &node{t: t, id: id.Proc{Host: "h", Name: "extra", UID: 1}, changed: make(chan struct{}, 1)}
		if err := host.Bind(extra.id, extra); err != nil {
			t.Fatal(err)
		}
		if err := host.Bind(extra.id, extra); err == nil {
			t.Error("bound twice")
		}
		a.send(extra, "hello") // through the host: the proc lives there
		extra.wants("hello")
		host.Unbind(extra.id, errors.New("over"))
		synctest.Wait()
		if len(a.ends()) != 1 || len(b.ends()) != 0 || len(host.ends()) != 1 {
			t.Errorf("a heard %v, b %v, host %v", a.ends(), b.ends(), host.ends())
		}
		err := a.Send(t.Context(), a.envelope(wire.Send, extra, "late"))
		if !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
	})
}

// MS-7.
func TestSendEndsWithCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		l, err := w.net.Listen(t.Context(), "silent")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a.Route(b.id, "mem:silent")
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		start := time.Now()
		if err := a.Send(ctx, a.envelope(wire.Call, b, "x")); !errors.Is(err, cause) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if err := a.Send(t.Context(), a.envelope(wire.Call, b, "x")); !errors.Is(err, wire.NoRoute) || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

// TestRealFamily is a host and two children over real sockets, all talking at
// once.
func TestRealFamily(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "gw")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			var nodes []*node
			for _, name := range []string{"host", "a", "b"} {
				n := realNode(t, network, dir, name)
				if len(nodes) > 0 {
					n.Uplink(nodes[0].id, nodes[0].Addr())
					nodes[0].RouteSupervised(n.id, n.Addr())
				}
				nodes = append(nodes, n)
			}
			const rounds = 2000
			var wg sync.WaitGroup
			for _, sender := range nodes {
				for _, to := range nodes {
					wg.Go(func() {
						for i := range uint64(rounds) {
							e := sender.envelope([]wire.Kind{wire.Send, wire.Call}[i%2], to, "payload")
							e.Call = i + 1
							if err := sender.Send(t.Context(), e); err != nil {
								t.Errorf("send: %v", err)
							}
						}
					})
				}
			}
			wg.Wait()
			for _, n := range nodes {
				for len(n.messages()) < len(nodes)*rounds {
					<-n.changed
				}
			}
			for _, n := range nodes[1:] {
				if err := n.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err := nodes[0].Close(t.Context()); err != nil {
				t.Error(err)
			}
			for _, n := range nodes {
				checkStreams(t, n, rounds)
			}
		})
	}
}

func checkStreams(t *testing.T, n *node, rounds uint64) {
	next := map[id.Proc]uint64{}
	for _, e := range n.messages() {
		if e.Kind == wire.Return {
			t.Errorf("returned: %v", e.Reason)
		}
		if next[e.From.Proc]++; e.Call != next[e.From.Proc] {
			t.Fatalf("%v got %d from %v, want %d", n.id.Name, e.Call, e.From.Proc.Name, next[e.From.Proc])
		}
	}
	for p, count := range next {
		if count != rounds {
			t.Errorf("%v got %d messages from %v", n.id.Name, count, p.Name)
		}
	}
	if len(next) != 3 {
		t.Errorf("%v heard from %d procs", n.id.Name, len(next))
	}
}

func realNode(t *testing.T, network, dir, name string) *node {
	t.Helper()
	p, err := id.NewProc("h", name)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, id: p, changed: make(chan struct{}, 1), Gateway: gateway.New(gateway.Config{
		Self: p, Token: []byte("secret"), Transports: channel.System(channel.SystemConfig{}),
	})}
	n.Bind(p, n)
	addr := channel.Addr("tcp:127.0.0.1:0")
	if network == "unix" {
		addr = channel.Addr("unix:" + filepath.Join(dir, name))
	}
	if _, err := n.Listen(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	return n
}
