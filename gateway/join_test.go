package gateway_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// certified is a transport whose connections prove who the peer is: what it is
// called at its address, and the whole of its host unless it is alone.
type certified struct {
	*memnet.Network
	alone id.Proc // whose certificate speaks for itself only
}

func (c certified) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := c.Network.Dial(ctx, address)
	return proof{conn, c.alone}, err
}

func (c certified) Listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := c.Network.Listen(ctx, address)
	return certifiedListener{l, c.alone}, err
}

type certifiedListener struct {
	net.Listener
	alone id.Proc
}

func (l certifiedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return proof{conn, l.alone}, nil
}

// proof takes everybody for who he says he is, but alone for nobody else.
type proof struct {
	net.Conn
	alone id.Proc
}

func (c proof) VerifyPeer(p id.Proc) error {
	if p != c.alone && p.Host == c.alone.Host {
		return errors.New("the certificate says something else")
	}
	return nil
}

// guestID is a proc that has a certificate of its own.
var guestID = id.Proc{Host: "other", Name: "guest", UID: 9}

// secured lets a node also speak to those who can prove who they are, and listen
// for them.
func (w *network) secured(c *gateway.Config) {
	c.Transports["sec"] = certified{w.net, guestID}
}

// front has a node listen for those who can prove who they are.
func (n *node) front() channel.Addr {
	n.t.Helper()
	addr, err := n.Listen(n.t.Context(), channel.Addr("sec:"+n.id.Name+"-front"))
	if err != nil {
		n.t.Fatal(err)
	}
	return addr
}

// twoHosts are a host with a child, and a host that knows nobody else with a
// child that is the guest.
func twoHosts(w *network) (host, child, other, guest *node) {
	w.t.Helper()
	host = w.node("host", w.secured, func(c *gateway.Config) { c.Self.Host = "host" })
	child = w.at("host", "host-child")
	host.RouteSupervised(child.id, child.Addr())
	child.Uplink(host.id, host.Addr())
	other = w.at("other", "other")
	guest = w.node("other-guest", w.secured, func(c *gateway.Config) { c.Self = guestID })
	other.RouteSupervised(guest.id, guest.Addr())
	guest.Uplink(other.id, other.Addr())
	return host, child, other, guest
}

// A proc that has joined a host reaches the procs of that host, and they it.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, child, other, guest := twoHosts(w)
		defer closeAll(guest, other, child, host)
		front := host.front()
		if err := guest.Send(t.Context(), guest.envelope(wire.Call, child, "x")); !errors.Is(err, wire.NoRoute) {
			t.Errorf("there is a way before: %v", err)
		}
		joined := make(chan error, 3)
		for range cap(joined) {
			go func() {
				p, err := guest.Join(t.Context(), front)
				if err == nil && p != host.id {
					err = errors.New("it is " + p.String())
				}
				joined <- err
			}()
		}
		for range cap(joined) {
			if err := <-joined; err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := host.Tables().Sessions; n != 1 {
			t.Errorf("the host has %d sessions, want one", n)
		}
		for _, n := range []*node{host, child} {
			guest.reaches(n)
			n.reaches(guest)
		}
		guest.reaches(other)
		advance(time.Hour)
		if got := guest.Tables().Joins; got != 1 {
			t.Errorf("after an hour: %d joined", got)
		}
		host.Unroute(child.id, errors.New("it crashed"))
		advance(time.Second)
		if ends := guest.ends(); len(ends) != 1 || ends[0].p != child.id || !strings.Contains(ends[0].cause.Error(), "it crashed") {
			t.Errorf("the guest heard %v, want the end of the child", ends)
		}
	})
}

// A session that is lost for good is not made again until somebody asks for it.
func TestJoinAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, child, other, guest := twoHosts(w)
		defer closeAll(guest, other, child)
		front := host.front()
		if _, err := guest.Join(t.Context(), front); err != nil {
			t.Fatal(err)
		}
		guest.reaches(host)
		closeAll(host)
		advance(time.Hour)
		if tables := guest.Tables(); tables.Joins != 0 || tables.Attached != 0 {
			t.Errorf("what is left: %+v", tables)
		}
		if _, err := guest.Join(t.Context(), front); err == nil {
			t.Error("joined a host that is gone")
		}
		again := w.node("host", w.secured, func(c *gateway.Config) { c.Self.Host = "host" })
		defer closeAll(again)
		if _, err := guest.Join(t.Context(), again.front()); err != nil {
			t.Fatal(err)
		}
		guest.reaches(again)
	})
}

// hasty is a proc that takes what it can without an envelope of its own.
type hasty struct {
	*node
	took int // the goroutine that reads from the only session owns it
}

func (h *hasty) Inlet() gateway.Inlet     { return h }
func (h *hasty) Take(*wire.Envelope) bool { h.took++; return true }
func (h *hasty) Flush()                   {}

// MS-15: who has a certificate of its own speaks for itself only.
func TestAloneIsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, child, other, guest := twoHosts(w)
		defer closeAll(guest, other, child, host)
		front := host.front()
		if _, err := guest.Join(t.Context(), front); err != nil {
			t.Fatal(err)
		}
		for _, from := range []*node{other, host, child} {
			for _, kind := range []wire.Kind{wire.Send, wire.Call, wire.Reply, wire.Return, wire.Watch, wire.Down} {
				before := host.Stats()
				e := guest.envelope(kind, child, "a lie")
				e.From.Proc = from.id
				if err := guest.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				after := host.Stats()
				if n := after.Returned + after.Dropped - before.Returned - before.Dropped; n != 1 {
					t.Errorf("a %v in the name of %v: %+v, before %+v", kind, from.id, after, before)
				}
			}
		}
		for _, n := range []*node{host, child} {
			if got := n.messages(); len(got) != 0 {
				t.Errorf("%v got %+v", n.id, got)
			}
		}
		free := gateway.New(gateway.Config{Self: guestID, Transports: channel.Transports{"sec": certified{w.net, guestID}}}) // without an uplink
		defer free.Close(t.Context())
		if _, err := free.Attach(t.Context(), front); err == nil || !strings.Contains(err.Error(), "does not speak for its host") {
			t.Errorf("it attaches its host: %v", err)
		}
		if n := host.Tables().Attached; n != 0 {
			t.Errorf("%d hosts are attached", n)
		}
	})
}

// MS-15: also what a proc takes without an envelope of its own.
func TestAloneIsNobodyElseInHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, child, other, guest := twoHosts(w)
		defer closeAll(guest, other, child, host)
		host.Unbind(host.id, nil)
		h := &hasty{node: host}
		if err := host.Bind(host.id, h); err != nil {
			t.Fatal(err)
		}
		if _, err := guest.Join(t.Context(), host.front()); err != nil {
			t.Fatal(err)
		}
		for _, from := range []id.Proc{guest.id, other.id} { // the first one finds the way in
			for range 2 {
				e := guest.envelope(wire.Send, host, "x")
				e.From.Proc = from
				if err := guest.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		if got := h.messages(); h.took != 2 || len(got) != 0 {
			t.Errorf("%d were taken and %d delivered, want the two of the guest itself", h.took, len(got))
		}
	})
}

// A proc that listens can be joined, and is the way to itself only.
func TestJoinOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, child, other, guest := twoHosts(w)
		defer closeAll(guest, other, child, host)
		if p, err := host.Join(t.Context(), guest.front()); err != nil || p != guest.id {
			t.Fatalf("join: %v, %v", p, err)
		}
		child.reaches(guest)
		guest.reaches(host)
		if n := host.Tables().Attached; n != 0 {
			t.Errorf("%d hosts are reached through a proc", n)
		}
		if err := host.Send(t.Context(), host.envelope(wire.Call, other, "x")); !errors.Is(err, wire.NoRoute) {
			t.Errorf("to the host of the proc: %v", err)
		}
	})
}

func TestJoinRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, child, other, guest := twoHosts(w)
		silent, err := w.net.Listen(t.Context(), "silent")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if _, err := guest.Join(ctx, "mem:silent"); !errors.Is(err, cause) {
			t.Errorf("at one that says nothing: %v", err)
		}
		if _, err := guest.Join(t.Context(), "mem:nowhere"); err == nil || !strings.Contains(err.Error(), "join mem:nowhere: ") {
			t.Errorf("nowhere: %v", err)
		}
		closeAll(guest, other, child, host)
		if _, err := guest.Join(t.Context(), "sec:host-front"); !errors.Is(err, wire.ShuttingDown) {
			t.Errorf("after Close: %v", err)
		}
		if n := guest.Tables().Joins; n != 0 {
			t.Errorf("%d joins are left", n)
		}
	})
}
