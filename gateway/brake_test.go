package gateway_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// gate is a Local in front of a node, which can be shut: what comes then is not
// read. No Local may block; it stands for a process that does not run.
type gate struct {
	*node
	mu   sync.Mutex
	shut sync.Cond
	is   bool // shut
}

// gated puts a gate in front of n.
func gated(n *node) *gate {
	s := &gate{node: n}
	s.shut.L = &s.mu
	n.Unbind(n.id, nil)
	n.Bind(n.id, s)
	return s
}

func (s *gate) Deliver(e *wire.Envelope) {
	s.mu.Lock()
	for s.is {
		s.shut.Wait()
	}
	s.mu.Unlock()
	s.node.Deliver(e)
}

func (s *gate) set(shut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = shut
	s.shut.Broadcast()
}

// pauses counts the Pauses from p, and reports whether the last thing heard of that
// was one.
func (n *node) pauses(p id.Proc) (count int, on bool) {
	for _, e := range n.messages() {
		switch {
		case e.From.Proc != p:
		case e.Kind == wire.Pause:
			count, on = count+1, true
		case e.Kind == wire.Resume:
			on = false
		}
	}
	return count, on
}

const kilobyte = 1 << 10

// named returns a node whose links can be blocked.
func (w *network) named(name string) *node {
	return w.node(name, func(c *gateway.Config) { c.Transports = channel.Transports{"mem": w.net.Node(name)} })
}

// relayed is a network of nodes that reach each other through a host whose queues
// are small.
func relayed(t *testing.T, queue int, names ...string) (w *network, host *node, others []*node) {
	w = newNetwork(t)
	w.net.SetBuffer(1000)
	host = w.node("host", func(c *gateway.Config) { c.QueueBytes = queue })
	for _, name := range names {
		n := w.node(name)
		n.Route(host.id, host.Addr())
		host.Route(n.id, n.Addr())
		for _, other := range others {
			n.RouteVia(other.id, host.id)
			other.RouteVia(n.id, host.id)
		}
		others = append(others, n)
	}
	return w, host, others
}

// MS-7: a sender whose messages a host cannot pass on as fast as they come is
// asked to hold back, more than once, and let go later. What comes before it has
// heard of that is passed on; only one that does not listen gets something back.
func TestMS7HoldsBackWhoIsRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 128 * kilobyte
		_, host, all := relayed(t, queue, "a", "slow")
		a, slow := all[0], gated(all[1])
		defer closeAll(a, slow.node, host)
		body := string(make([]byte, kilobyte))
		slow.set(true)
		for range queue / kilobyte {
			a.send(slow.node, body)
		}
		synctest.Wait()
		heard := a.messages()
		if len(heard) != 1 || heard[0].Kind != wire.Pause || heard[0].From != slow.id.Actor("") || heard[0].To != a.id.Actor("") {
			t.Fatalf("a got %+v, want one Pause from slow", heard)
		}
		for range 16 * queue / kilobyte { // it does not listen
			a.send(slow.node, body)
		}
		advance(time.Second)
		if n, on := a.pauses(slow.id); n != 3 || !on {
			t.Errorf("a was asked %d times to hold back, want once more after each megabyte", n)
		}
		heard = a.messages()
		if last := heard[len(heard)-1]; last.Kind != wire.Return || last.Reason != wire.MailboxFull {
			t.Errorf("the last message to a is %+v, want one that comes back", last)
		}
		slow.set(false)
		advance(time.Second)
		if _, on := a.pauses(slow.id); on {
			t.Error("a was not let go")
		}
		if ties := host.Tables().Ties + a.Tables().Ties; ties != 0 {
			t.Errorf("there are %d ties", ties)
		}
	})
}

// MS-7: a sender that does not read does not keep others from hearing that they may
// go on.
func TestMS7OneDeafSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 16 * kilobyte
		_, host, all := relayed(t, queue, "x", "deaf", "z", "slow")
		x, deaf, z, slow := all[0], gated(all[1]), all[2], gated(all[3])
		defer closeAll(x, deaf.node, z, slow.node, host)
		body := string(make([]byte, kilobyte))
		deaf.send(slow.node, "a session")
		z.send(deaf.node, "a session")
		advance(time.Second)
		deaf.set(true)
		slow.set(true)
		for range 20 {
			deaf.send(slow.node, body)
		}
		advance(time.Second)
		for range 21 * queue / kilobyte { // there is no room for a Resume to deaf
			if err := z.Send(t.Context(), z.envelope(wire.Reply, deaf.node, body)); err != nil {
				t.Fatal(err)
			}
		}
		for range 400 {
			z.Send(t.Context(), z.envelope(wire.Reply, deaf.node, ""))
		}
		advance(time.Second)
		slow.set(false)
		advance(time.Second)
		slow.set(true)
		for range 20 {
			x.send(slow.node, body)
			synctest.Wait()
		}
		if _, on := x.pauses(slow.id); !on {
			t.Fatal("x was not asked to hold back")
		}
		slow.set(false)
		advance(time.Second)
		if _, on := x.pauses(slow.id); on {
			t.Error("x is held back, and nothing is queued for slow")
		}
		deaf.set(false)
		advance(time.Second)
		if n, on := deaf.pauses(slow.id); n == 0 || on {
			t.Errorf("deaf was asked %d times to hold back, and is: %v", n, on)
		}
	})
}

// MS-7: who is asked twice to hold back is let go on the way on which he was asked
// first.
func TestMS7AskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := w.named("host"), w.named("a"), w.named("b")
		defer closeAll(a, b, host)
		a.Route(host.id, host.Addr())
		b.Route(host.id, host.Addr())
		host.Route(a.id, a.Addr())
		b.RouteVia(a.id, host.id)
		b.send(a, "a session")
		advance(time.Second)
		says := func(k wire.Kind) *wire.Envelope {
			return &wire.Envelope{Kind: k, TTL: wire.DefaultTTL, From: b.id.Actor("to"), To: a.id.Actor("")}
		}
		w.net.Block("host", "a")
		advance(time.Millisecond)
		if !b.TrySend(says(wire.Pause)) {
			t.Fatal("not asked")
		}
		advance(100 * time.Millisecond)
		b.Route(a.id, a.Addr())
		if err := b.Connect(t.Context(), a.id); err != nil {
			t.Fatal(err)
		}
		advance(100 * time.Millisecond)
		if !b.TrySend(says(wire.Pause)) {
			t.Error("not asked again")
		}
		if err := b.Send(t.Context(), says(wire.Pause)); err != nil { // when there is no room at once
			t.Error(err)
		}
		if err := b.Send(t.Context(), says(wire.Resume)); err != nil {
			t.Error(err)
		}
		advance(100 * time.Millisecond)
		w.net.Unblock("host", "a")
		advance(time.Minute)
		if n, on := a.pauses(b.id); n != 3 || on {
			t.Errorf("a was asked %d times, and is held back: %v", n, on)
		}
	})
}

// MS-7: the word that somebody may go on is not lost for want of room on its way.
func TestMS7ResumeThroughACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 16 * kilobyte
		_, host, all := relayed(t, queue, "a", "b", "z")
		a, b, z := gated(all[0]), all[1], all[2]
		defer closeAll(a.node, b, z, host)
		body := string(make([]byte, kilobyte))
		b.send(a.node, "a session")
		advance(time.Second)
		says := func(k wire.Kind) *wire.Envelope {
			return &wire.Envelope{Kind: k, TTL: wire.DefaultTTL, From: b.id.Actor("to"), To: a.id.Actor("")}
		}
		b.TrySend(says(wire.Pause))
		advance(time.Second)
		a.set(true)
		for range 21 * queue / kilobyte {
			z.Send(t.Context(), z.envelope(wire.Reply, a.node, body))
		}
		for range 400 {
			z.Send(t.Context(), z.envelope(wire.Reply, a.node, ""))
		}
		advance(time.Second)
		if err := b.Send(t.Context(), says(wire.Resume)); err != nil {
			t.Error(err)
		}
		advance(time.Second)
		a.set(false)
		advance(time.Minute)
		if n, on := a.pauses(b.id); n != 1 || on {
			t.Errorf("a was asked %d times, and is held back: %v", n, on)
		}
	})
}

// MS-7: much may come through a host while that is still looking for the way, and
// who sends more hears that there is no room.
func TestMS7BurstBeforeTheWayIsKnown(t *testing.T) {
	for _, c := range []struct{ size, count, arrive int }{{8, 2000, 2000}, {1 << 20, 6, 3}} {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(t)
			host, a, b := w.named("host"), w.named("a"), w.named("b")
			defer closeAll(a, b, host)
			a.Route(host.id, host.Addr())
			a.RouteVia(b.id, host.id)
			host.Route(b.id, b.Addr())
			w.net.Block("host", "b")
			body := string(make([]byte, c.size))
			for range c.count {
				a.send(b, body)
			}
			advance(time.Second)
			w.net.Unblock("host", "b")
			advance(time.Second)
			if n := len(b.messages()); n != c.arrive {
				t.Errorf("%d of %d messages of %d bytes have arrived, want %d", n, c.count, c.size, c.arrive)
			}
			back := a.messages()
			if len(back) != c.count-c.arrive || len(back) > 0 && back[0].Reason != wire.MailboxFull {
				t.Errorf("%d messages came back: %+v", len(back), back)
			}
		})
	}
}
