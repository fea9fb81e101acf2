package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// MS-15: only who was asked can answer. Numbers of questions are easy to guess.
func TestMS15AnswerOfAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		up, a, stranger, c := w.node("up"), w.node("a"), w.node("stranger"), w.node("c")
		defer closeAll(a, stranger, c, up)
		a.Uplink(up.id, up.Addr())
		up.Route(c.id, c.Addr())
		stranger.Route(a.id, a.Addr())
		stranger.reaches(a)
		if err := a.Connect(t.Context(), up.id); err != nil {
			t.Fatal(err)
		}
		w.net.SetDelay(100 * time.Millisecond)
		for call := range uint64(100) {
			stranger.Send(t.Context(), &wire.Envelope{Kind: wire.Resolved, Call: call, From: c.id.Actor(""), To: a.id.Actor("")})
		}
		a.send(c, "hello") // the answers of the stranger come before that of up
		advance(time.Second)
		c.wants("hello")
	})
}

// TestManyMadeUpNames has a stranger send to ever new names of an attached host,
// whose session takes no more: what that costs is bounded.
func TestManyMadeUpNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host := w.node("host", func(c *gateway.Config) {
			c.Self.Host, c.QueueBytes, c.DialTimeout = "host", 32<<10, time.Hour
			c.Transports = channel.Transports{"mem": w.net.Node("H")}
		})
		laptop := w.node("laptop", func(c *gateway.Config) {
			c.Self.Host, c.Transports = "laptop", channel.Transports{"mem": w.net.Node("L")}
		})
		stranger := w.node("stranger")
		defer closeAll(stranger, laptop, host)
		if _, err := laptop.Attach(t.Context(), host.Addr()); err != nil {
			t.Fatal(err)
		}
		stranger.Uplink(host.id, host.Addr())
		stranger.Connect(t.Context(), host.id)
		advance(time.Second)
		w.net.SetLink("H", "L", memnet.Link{Delay: time.Millisecond})
		w.net.Block("H", "L")
		for i := range uint64(6000) {
			e := stranger.envelope(wire.Send, laptop, "x")
			e.To.Proc.UID += i + 1
			stranger.RouteVia(e.To.Proc, host.id)
			if err := stranger.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := host.Tables(); n.Searches > 4096 || n.Background > 4096 {
			t.Errorf("%+v for names that were made up, want at most 4096 searches", n)
		}
		w.net.Unblock("H", "L")
	})
}

// A cause is as long as whoever tells it likes, and is remembered.
func TestLongCausesAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		a.reaches(b)
		host.Unroute(b.id, fmt.Errorf("it says %s", strings.Repeat("é", 1<<20)))
		advance(time.Second)
		ends := a.ends()
		if len(ends) != 1 || ends[0].p != b.id {
			t.Fatalf("a heard of %d ends, want that of b", len(ends))
		}
		if text := ends[0].cause.Error(); len(text) > 2000 || !strings.Contains(text, "it says éé") {
			t.Errorf("a heard %d bytes: %.100s", len(text), text)
		}
	})
}
