package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// MS-10: Close may be called again, by somebody with less patience.
func TestMS10CloseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		a.Route(b.id, b.Addr())
		a.reaches(b)
		w.net.SetDelay(time.Second)
		w.net.Block("", "")
		first := make(chan error, 1)
		go func() { first <- a.Close(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := a.Close(ctx); err == nil || time.Since(start) != 100*time.Millisecond {
			t.Errorf("the second Close returned %v after %v, want an error after 100ms", err, time.Since(start))
		}
		if err := <-first; err != nil {
			t.Errorf("the first one: %v", err)
		}
		w.net.Unblock("", "")
		closeAll(b, a)
	})
}

// MS-4, MS-14: to attach to whom we talk with already costs nobody a call.
func TestMS14AttachOverALivingSession(t *testing.T) {
	for name, join := range map[string]func(*node, *node) error{
		"attach": func(a, b *node) error { _, err := a.Attach(a.t.Context(), b.Addr()); return err },
		"join":   func(a, b *node) error { _, err := a.Join(a.t.Context(), b.Addr()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				host := w.at("host", "host")
				laptop, child := w.behindNAT("laptop", "host")
				defer closeAll(child, laptop, host)
				laptop.Route(host.id, host.Addr())
				if err := laptop.Send(t.Context(), laptop.envelope(wire.Call, host, "x")); err != nil {
					t.Fatal(err)
				}
				advance(time.Second)
				if err := join(laptop, host); err != nil {
					t.Fatal(err)
				}
				advance(time.Second)
				if len(laptop.ends())+len(host.ends()) > 0 {
					t.Errorf("the laptop heard %v, the host heard %v", laptop.ends(), host.ends())
				}
				advance(time.Hour)
				if n := w.net.Conns(); n != 2 {
					t.Errorf("%d ends of connections, want one session that is kept", n)
				}
				if name == "attach" {
					host.got = nil
					host.reaches(child)
				}
			})
		})
	}
}

// MS-14: a session that is at its end while we attach is no way to attach: a new
// one follows it.
func TestMS14AttachWhileASessionEnds(t *testing.T) {
	const idle = time.Minute
	for after := idle; after < idle+800*time.Millisecond; after += 50 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(t)
			host := w.at("host", "host")
			laptop := w.node("laptop", func(c *gateway.Config) { c.Self.Host, c.Timing.IdleTimeout = "laptop", idle })
			defer closeAll(laptop, host)
			laptop.Route(host.id, host.Addr())
			w.net.SetDelay(100 * time.Millisecond)
			if err := laptop.Connect(t.Context(), host.id); err != nil {
				t.Fatal(err)
			}
			advance(after)
			if _, err := laptop.Attach(t.Context(), host.Addr()); err != nil {
				t.Errorf("%v after the last use: %v", after, err)
			}
			host.reaches(laptop)
			if n := w.net.Conns(); n != 2 {
				t.Errorf("%v after the last use: %d ends of connections, want one session", after, n)
			}
		})
	}
}

// TestCountsOfReturns has a message come back whose sender nobody knows.
func TestCountsOfReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a := w.at("host", "host"), w.at("host", "host-a")
		defer closeAll(host, a)
		host.Route(a.id, a.Addr())
		host.send(a, "x")
		advance(time.Second)
		w.net.Cut("host-a")
		before := host.Stats()
		stranger := host.id
		stranger.Name, stranger.UID = "stranger", 99
		if err := host.Send(t.Context(), &wire.Envelope{Kind: wire.Send, From: stranger.Actor("x"), To: a.id.Actor("y")}); err != nil {
			t.Fatal(err)
		}
		advance(10 * time.Second)
		after := host.Stats()
		if after.Returned != before.Returned || after.Dropped != before.Dropped+1 {
			t.Errorf("counts went from %+v to %+v, want one message dropped", before, after)
		}
	})
}

// TestEndIsToldOnce has a local proc end, of which both who ran it and who
// followed it tell.
func TestEndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a := w.node("a")
		defer closeAll(a)
		p := id.Proc{Host: "h", Name: "p", UID: id.NewUID()}
		if err := a.Bind(p, &node{t: t, id: p, changed: make(chan struct{}, 1)}); err != nil {
			t.Fatal(err)
		}
		a.Unbind(p, errors.New("stopped"))
		a.Unroute(p, errors.New("exited"))
		if got := a.ends(); len(got) != 1 || got[0].cause.Error() != "stopped" {
			t.Errorf("a heard %v, want one end", got)
		}
		err := a.Send(t.Context(), &wire.Envelope{Kind: wire.Call, From: a.id.Actor("x"), To: p.Actor("y")})
		if err == nil || !strings.Contains(err.Error(), "exited") {
			t.Errorf("a later call: %v", err)
		}
	})
}

// TestEndsOfManyProcs binds and ends procs in turn: each hears of every end
// while it lives.
func TestEndsOfManyProcs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a := w.node("a")
		defer closeAll(a)
		var living []*node
		for range 20 {
			p := id.Proc{Host: "h", Name: "p", UID: id.NewUID()}
			n := &node{t: t, id: p, changed: make(chan struct{}, 1)}
			if err := a.Bind(p, n); err != nil {
				t.Fatal(err)
			}
			living = append(living, n)
		}
		for len(living) > 0 {
			ended := living[0]
			living = living[1:]
			a.Unbind(ended.id, errors.New("stopped"))
			for _, n := range append(living, a) {
				if got := n.ends(); len(got) == 0 || got[len(got)-1].p != ended.id {
					t.Fatalf("%v heard %v, want the end of %v", n.id, got, ended.id)
				}
			}
		}
	})
}

// MS-10: of two sessions with a peer that was started again, the one that is left
// over goes, later than the other. One that has begun since stays.
func TestMS10LeftOverSessionGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		w.net.SetDelay(time.Millisecond)
		on := func(name string) func(*gateway.Config) {
			return func(c *gateway.Config) { c.Transports = channel.Transports{"mem": w.net.Node(name)} }
		}
		a, before := w.node("a", on("a")), w.node("b", on("b"))
		a.Route(before.id, before.Addr())
		before.Route(a.id, a.Addr())
		go before.send(a, "x")
		a.send(before, "x")
		advance(time.Second)
		if n := a.Tables().Sessions; n != 2 {
			t.Fatalf("%d sessions, want one from each side", n)
		}
		w.net.Node("b").Kill()
		b := w.node("b", on("b"), func(c *gateway.Config) { c.Self = before.id })
		defer closeAll(a, before, b)
		advance(time.Second) // it is found out
		synctest.Wait()
		a.got, a.gone = nil, nil
		a.reaches(b)
		advance(twinBound + time.Second)
		a.reaches(b)
		if ends, n := a.ends(), a.Tables().Sessions; len(ends) > 0 || n != 1 || a.Sessions()[0].Lost != nil {
			t.Errorf("a heard %v, and has %d sessions, want the last one: %+v", ends, n, a.Sessions())
		}
	})
}

// twinBound is the gateway's.
const twinBound = 10 * time.Second
