package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// late is a hub that has lost p while a message from c to p, "1", is on its way to
// the hub, as c has heard. c cannot dial p, but p can dial c.
func late(w *network, meanwhile func(p, c *node)) (hub, p, c *node) {
	w.t.Helper()
	hub, p, c = detour(w)
	p.Route(c.id, c.Addr())
	w.net.Refuse("c", "p", true)
	w.net.SetLink("c", "hub", memnet.Link{Delay: patience})
	time.AfterFunc(patience/2, func() { meanwhile(p, c) })
	time.AfterFunc(patience-time.Millisecond, func() { c.send(p, "1") })
	w.lose("hub", "p")
	w.net.Refuse("c", "p", true)
	synctest.Wait()
	if len(c.ends()) == 0 {
		w.t.Fatal("c has not heard of the loss")
	}
	return hub, p, c
}

// connects makes a session with to that both know of.
func (n *node) connects(to *node) {
	n.t.Helper()
	if err := n.Connect(n.t.Context(), to.id); err != nil {
		n.t.Error(err)
	}
	synctest.Wait()
}

// MS-1, MS-2: p makes a session with c, which has sent a message through the hub
// that is on its way still. What c says next goes behind it. What c answers does
// not wait.
func TestMS1StraightOverAnAcceptedSession(t *testing.T) {
	nothing := func(_, _ *node) {}
	connects := func(p, c *node) { p.connects(c) }
	says := func(p, c *node) {
		go c.send(p, "2")
		synctest.Wait()
	}
	for name, steps := range map[string][3]func(p, c *node){
		"made before the way through the hub ends": {connects, says, nothing},
		"made when there is no way":                {nothing, connects, says},
		"made while c asks the hub":                {nothing, says, connects},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				hub, p, c := late(w, steps[0])
				defer closeAll(c, p, hub)
				steps[1](p, c)
				steps[2](p, c)
				if err := c.Send(t.Context(), c.envelope(wire.Reply, p, "answer")); err != nil {
					t.Error(err)
				}
				p.wants("answer")
				advance(5 * patience)
				p.wants("1", "2")
			})
		})
	}
}

// MS-1, MS-2: the line to the hub is so slow that c gets no answer from there in
// time. Found by a seed of the simulation.
func TestMS1NotPastASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		hub, p, c := late(w, func(_, c *node) { w.net.SetLink("c", "hub", memnet.Link{Delay: 4 * patience}) })
		defer closeAll(c, p, hub)
		p.connects(c)
		c.send(p, "2")
		advance(10 * patience)
		p.wants("1", "2")
	})
}

// TestStraightWhileTheHubSearches has the hub look for p in vain, and answer
// nobody meanwhile: c does not take that for a slow line, and goes straight to p.
func TestStraightWhileTheHubSearches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		hub, p, c := late(w, func(_, _ *node) {})
		defer closeAll(c, p, hub)
		w.net.SetLink("c", "hub", memnet.Link{})
		w.net.Block("hub", "p")
		w.net.Block("p", "hub")
		p.connects(c)
		for _, body := range []string{"2", "3"} {
			c.send(p, body)
			advance(20 * patience)
			p.wants(body)
		}
		w.net.Restore()
	})
}

// TestStraightWithoutTheHub has the hub end, through which c has sent to p before:
// c goes over the session that p has made, as there is nobody to be asked.
func TestStraightWithoutTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		hub, p, c := late(w, func(_, _ *node) {})
		defer closeAll(c, p)
		advance(5 * patience)
		p.wants("1")
		closeAll(hub)
		p.connects(c)
		for _, body := range []string{"2", "3"} {
			c.send(p, body)
			p.wants(body)
		}
	})
}
