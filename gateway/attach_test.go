package gateway_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// island is a transport that reaches only those whose names begin with it, and
// the shore.
type island struct {
	*memnet.Network
	name  string
	shore []string
}

func (i island) Dial(ctx context.Context, address string) (net.Conn, error) {
	if !strings.HasPrefix(address, i.name) && !slices.Contains(i.shore, address) {
		return nil, errors.New("nobody can dial " + address)
	}
	return i.Network.Dial(ctx, address)
}

// at makes a node one of a host, which can dial that host's nodes and the shore.
func (w *network) at(host, name string, shore ...string) *node {
	w.t.Helper()
	return w.node(name, func(c *gateway.Config) {
		c.Self.Host = host
		c.Transports = channel.Transports{"mem": island{w.net, host, shore}}
	})
}

// behindNAT returns a node of a host of its own that nobody can dial, which can
// dial the shore, with a child that only it knows.
func (w *network) behindNAT(name, shore string) (main, child *node) {
	w.t.Helper()
	main, child = w.at(name, name, shore), w.at(name, name+"-child")
	main.RouteSupervised(child.id, child.Addr())
	child.Uplink(main.id, main.Addr())
	return main, child
}

// reaches requires that a message arrives.
func (from *node) reaches(to *node) {
	from.t.Helper()
	from.send(to, "hi")
	advance(time.Second)
	if got := to.messages(); len(got) != 1 {
		from.t.Errorf("%v to %v: %d messages arrived", from.id, to.id, len(got))
	}
	if got := from.messages(); len(got) != 0 {
		from.t.Errorf("%v to %v: came back: %v %s", from.id, to.id, got[0].Reason, got[0].Body)
	}
	from.got, to.got = nil, nil
}

// MS-14.
func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a := w.at("host", "host"), w.at("host", "host-a")
		host.RouteSupervised(a.id, a.Addr())
		a.Uplink(host.id, host.Addr())
		laptop, child := w.behindNAT("laptop", "host")
		other, otherChild := w.behindNAT("other", "host")
		members := []*node{child, laptop, otherChild, other, a, host}
		defer closeAll(members...)
		for _, n := range []*node{laptop, other} {
			if p, err := n.Attach(t.Context(), host.Addr()); err != nil || p != host.id {
				t.Fatalf("attach: %v, %v", p, err)
			}
		}
		for _, from := range members {
			for _, to := range members {
				if from != to {
					from.reaches(to)
				}
			}
		}
		if _, err := laptop.Attach(t.Context(), host.Addr()); !errors.Is(err, gateway.ErrAttached) {
			t.Errorf("a second time: %v", err)
		}
	})
}

// TestAttachedEnds has those who talked with a proc of an attached host hear of
// its end, and of the host's.
func TestAttachedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host := w.at("host", "host")
		laptop, child := w.behindNAT("laptop", "host")
		other, otherChild := w.behindNAT("other", "host")
		defer closeAll(child, laptop, otherChild, other, host)
		laptop.Attach(t.Context(), host.Addr())
		other.Attach(t.Context(), host.Addr())
		for _, n := range []*node{host, other, otherChild} {
			n.reaches(child)
			n.reaches(laptop)
		}
		laptop.Unroute(child.id, errors.New("it crashed"))
		advance(time.Second)
		for _, n := range []*node{host, other, otherChild} {
			ends := n.ends()
			if len(ends) != 1 || ends[0].p != child.id || !strings.Contains(ends[0].cause.Error(), "it crashed") {
				t.Errorf("%v heard %v, want the end of the child", n.id, ends)
			}
			if err := n.Send(t.Context(), n.envelope(wire.Call, child, "late")); !errors.Is(err, wire.NoRoute) && len(n.messages()) == 0 {
				t.Errorf("%v calls the dead: %v", n.id, err)
			}
			n.gone, n.got = nil, nil
		}
		laptop.Close(t.Context())
		advance(time.Second)
		for _, n := range []*node{host, other, otherChild} {
			if ends := n.ends(); len(ends) != 1 || ends[0].p != laptop.id {
				t.Errorf("%v heard %v, want the end of the laptop", n.id, ends)
			}
		}
	})
}

// TestAttachesAnew has the host die and come back as another.
func TestAttachesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host := w.at("host", "host")
		laptop, child := w.behindNAT("laptop", "host")
		laptop.Attach(t.Context(), host.Addr())
		host.reaches(child)
		host.Close(t.Context())
		advance(time.Second)
		if err := child.Send(t.Context(), child.envelope(wire.Call, host, "x")); !errors.Is(err, wire.NoRoute) {
			t.Errorf("to a host that is gone: %v", err)
		}
		host = w.at("host", "host")
		defer closeAll(child, laptop, host)
		advance(time.Minute)
		laptop.reaches(host)
		host.reaches(child)
		child.reaches(host)
	})
}

func TestAttachRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, sibling := w.at("host", "host"), w.at("host", "host2")
		stranger := w.node("x", func(c *gateway.Config) { c.Token = []byte("another") })
		defer closeAll(sibling, stranger, host)
		for n, want := range map[*node]string{sibling: "this is host host, too", stranger: "refused"} {
			if _, err := n.Attach(t.Context(), host.Addr()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v attaches: %v, want %q", n.id, err, want)
			}
		}
		if _, err := sibling.Attach(t.Context(), "mem:host-nowhere"); err == nil {
			t.Error("attached to nowhere")
		}
		host.Close(t.Context())
	})
}

// MS-14: a program that is started again attaches while the one before is still
// being closed, and somebody has looked for it with that one already.
func TestMS14AttachedWhileTheLastOneEnds(t *testing.T) {
	for name, end := range map[string]func(*network, *node){
		"it is asked late": func(w *network, _ *node) { w.net.Unblock("", "old") },
		"it is not asked":  func(_ *network, old *node) { old.Close(old.t.Context()) },
		"it is heard first": func(w *network, old *node) {
			w.net.Unblock("", "old")
			advance(time.Second)
			old.Close(old.t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				host := w.at("host", "host")
				old := w.node("laptop-1", func(c *gateway.Config) {
					c.Self.Host = "laptop"
					c.Transports = channel.Transports{"mem": w.net.Node("old")}
				})
				again := w.at("laptop", "laptop-2", "host")
				defer closeAll(old, again, host)
				if _, err := old.Attach(t.Context(), host.Addr()); err != nil {
					t.Fatal(err)
				}
				w.net.Block("", "old")
				advance(time.Millisecond)
				host.send(again, "early")
				if _, err := again.Attach(t.Context(), host.Addr()); err != nil {
					t.Fatal(err)
				}
				end(w, old)
				advance(time.Second)
				synctest.Wait()
				host.got, again.got = nil, nil
				host.reaches(again)
				again.reaches(host)
			})
		})
	}
}

// MS-1, MS-14: an Attach that is given up takes nothing from those who have sent
// over its session meanwhile; another one goes on with it.
func TestMS14AttachGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host := w.at("host", "host")
		laptop := w.node("laptop", func(c *gateway.Config) {
			c.Self.Host = "laptop"
			c.Transports = channel.Transports{"mem": w.net.Node("laptop")}
		})
		defer closeAll(laptop, host)
		w.net.SetLink("", "laptop", memnet.Link{Delay: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		time.AfterFunc(1500*time.Millisecond, func() { w.net.Block("laptop", "") }) // the host's hello is on its way
		time.AfterFunc(3*time.Second, func() { laptop.send(host, "hi") })
		if _, err := laptop.Attach(ctx, host.Addr()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("attach: %v", err)
		}
		if err := laptop.Send(t.Context(), laptop.envelope(wire.Call, host, "x")); err != nil {
			t.Errorf("over the session that is there: %v", err)
		}
		w.net.Unblock("laptop", "")
		w.net.SetLink("", "laptop", memnet.Link{})
		if _, err := laptop.Attach(t.Context(), host.Addr()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if got := host.messages(); len(got) != 2 || len(laptop.messages()) > 0 {
			t.Errorf("%d messages arrived, %v came back, want all", len(got), laptop.messages())
		}
		if n := laptop.Tables().Sessions; n != 1 {
			t.Errorf("%d sessions, want the first", n)
		}
		host.got, laptop.got = nil, nil
		host.reaches(laptop)
	})
}
