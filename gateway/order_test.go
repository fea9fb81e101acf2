package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/internal/memnet"
)

// patience is for how long the sessions of detour wait for a connection.
const patience = time.Second

// detour is a hub, and c, whose messages to p go through the hub although c
// could dial p meanwhile.
func detour(w *network) (hub, p, c *node) {
	hub, p, c = w.far("hub"), w.far("p"), w.far("c")
	hub.Route(p.id, p.Addr())
	c.Uplink(hub.id, hub.Addr())
	w.net.Refuse("c", "p", true)
	c.send(p, "0")
	p.wants("0")
	w.net.Refuse("c", "p", false)
	advance(patience) // until all is acknowledged
	return hub, p, c
}

// far returns a node on a machine of its own.
func (w *network) far(name string) *node {
	w.t.Helper()
	return w.node(name, func(c *gateway.Config) {
		c.Transports, c.Timing.ResumeFor = channel.Transports{"mem": w.net.Node(name)}, patience
	})
}

// lose costs a and b the session that they have.
func (w *network) lose(a, b string) {
	w.net.Block(a, b)
	w.net.Block(b, a)
	w.net.Reset(a, b)
	advance(patience + 100*time.Millisecond)
	w.net.Restore()
}

// MS-1, MS-2: c sends a message through the hub while the news is on its way
// that the hub has lost p. The next one goes behind it, although c can dial p
// again.
func TestMS1StraightAfterThrough(t *testing.T) {
	for name, known := range map[string]bool{"the hub says where p is": false, "c knows where p is": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				hub, p, c := detour(w)
				defer closeAll(c, p, hub)
				if known {
					w.net.Refuse("c", "p", true)
					c.Route(p.id, p.Addr())
				}
				w.net.SetLink("hub", "c", memnet.Link{Delay: 200 * time.Millisecond})
				w.lose("hub", "p")
				w.net.SetLink("hub", "p", memnet.Link{Delay: 500 * time.Millisecond})
				c.send(p, "1")
				synctest.Wait()
				if len(c.ends()) > 0 {
					t.Fatal("c has heard of the loss too early")
				}
				advance(200 * time.Millisecond)
				if len(c.ends()) == 0 {
					t.Fatal("c has not heard of the loss")
				}
				c.send(p, "2")
				advance(5 * time.Second)
				p.wants("1", "2")
			})
		})
	}
}

// MS-1, MS-2: c loses its session with the hub, where a message waits that c has
// sent. The next one goes behind it, although c can dial p again.
func TestMS1StraightAfterANewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		hub, p, c := detour(w)
		defer closeAll(c, p, hub)
		w.net.SetLink("hub", "p", memnet.Link{Delay: 3 * patience})
		c.send(p, "1")
		synctest.Wait()
		w.lose("hub", "c")
		c.send(p, "2")
		advance(5 * patience)
		p.wants("1", "2")
	})
}

// TestStraightWhenAllHasArrived has c lose its session with the hub: as nothing
// that it has sent that way is left, it goes straight to p.
func TestStraightWhenAllHasArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		hub, p, c := detour(w)
		defer closeAll(c, p, hub)
		c.send(p, "1")
		advance(patience)
		before := hub.Stats().Relayed
		w.lose("hub", "c")
		c.send(p, "2")
		p.wants("1", "2")
		if n := hub.Stats().Relayed - before; n > 0 {
			t.Errorf("the hub has relayed %d messages", n)
		}
	})
}
