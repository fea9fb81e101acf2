package gateway_test

import (
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
