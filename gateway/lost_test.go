package gateway_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// A proc that its host has lost for a while can be reached again afterwards,
// also by those who have heard of the loss: it has not ended.
func TestLostIsNotEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, a, b := family(w)
		defer closeAll(a, b, host)
		host.send(b, "hello")
		b.wants("hello")
		a.reaches(b)
		w.net.Cut(b.Addr().Address())
		advance(time.Minute)
		if len(a.ends()) == 0 {
			t.Error("a has not heard that b is lost")
		}
		w.net.Heal(b.Addr().Address())
		a.reaches(b)
	})
}

// MS-3: an answer goes back over the session that the question came by, also if
// there is a source route, which may lead nowhere.
func TestMS3AnswerGoesStraightBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b, host := w.node("a"), w.node("b"), w.node("host")
		defer closeAll(a, b, host)
		a.Route(b.id, b.Addr())
		b.Route(host.id, host.Addr())
		b.RouteVia(a.id, host.id) // who does not know a
		a.send(b, "question")
		b.wants("question")
		if err := b.Send(t.Context(), b.envelope(wire.Reply, a, "answer")); err != nil {
			t.Fatal(err)
		}
		a.wants("answer")
	})
}

// TestMistakenDialEndsNothing has somebody look for the previous life of a peer,
// at the address of the present one, with which he talks.
func TestMistakenDialEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		a.reaches(b)
		before := &node{t: t, id: b.id}
		before.id.UID++
		a.Route(before.id, b.Addr())
		if err := a.Send(t.Context(), a.envelope(wire.Call, before, "x")); !errors.Is(err, wire.NoRoute) {
			t.Errorf("got %v, want NoRoute", err)
		}
		advance(time.Second)
		if n := b.Stats().Refused; n != 1 {
			t.Errorf("b refused %d, want 1", n)
		}
		if n := w.net.Conns(); n != 2 {
			t.Errorf("%d ends of connections, want 2", n)
		}
		a.reaches(b)
		b.reaches(a)
		if len(a.ends())+len(b.ends()) > 0 {
			t.Errorf("a heard %v, b heard %v", a.ends(), b.ends())
		}
	})
}

// TestMS3ReturnToAnAttachedHost has a message from behind an attached host be
// lost with its last session: the Return goes the way that answers go.
func TestMS3ReturnToAnAttachedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		host, c := w.at("host", "host"), w.at("host", "host-c")
		laptop, child := w.behindNAT("laptop", "host")
		defer closeAll(child, laptop, c, host)
		host.Route(c.id, c.Addr())
		laptop.Attach(t.Context(), host.Addr())
		child.reaches(c)
		w.net.Cut("host-c")
		synctest.Wait()
		host.Send(t.Context(), &wire.Envelope{
			Kind: wire.Send, Call: 9, From: child.id.Actor("from"), To: c.id.Actor("to"), Method: "m.x",
		})
		host.Unroute(c.id, errors.New("it crashed"))
		advance(time.Minute)
		got := child.messages()
		if len(got) != 1 || got[0].Kind != wire.Return || got[0].Call != 9 {
			t.Errorf("the child got %+v, want a Return", got)
		}
	})
}
