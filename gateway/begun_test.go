package gateway_test

import (
	"testing"
	"testing/synctest"
)

// MS-1: somebody dials and does not hear the answer. What is sent to him does
// not wait in a session of which he knows nothing: it goes another way.
func TestMS1UnheardSessionIsNoWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.node("a"), w.node("b")
		defer closeAll(a, b)
		a.Route(b.id, b.Addr())
		b.Route(a.id, a.Addr())
		w.net.BreakAfter("b", "a", 1, false) // the answer does not come through
		a.Connect(t.Context(), b.id)
		b.send(a, "hello")
		a.wants("hello")
		b.reaches(a)
	})
}
