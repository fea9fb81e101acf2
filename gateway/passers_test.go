package gateway

import (
	"testing"

	"github.com/hyperactor/hyperactor/id"
)

// TestManyPassersLeave has more peers leave than are remembered each: whoever
// comes may be one of them, until all has arrived.
func TestManyPassersLeave(t *testing.T) {
	var s passers
	peer := func(uid uint64) *link {
		l := newLink()
		l.peer = id.Proc{Host: "h", Name: "p", UID: uid}
		return l
	}
	stranger := peer(1)
	for i := range uint64(maxLeft + 1) {
		l := peer(2 + i)
		s.leave(l) // it did not pass
		if s.any(l) || s.any(stranger) {
			t.Fatalf("after %d have left, somebody counts who did not pass", i)
		}
		s.enter(l)
		if !s.any(l) {
			t.Fatal("who passes does not count")
		}
		s.leave(l)
		if again := peer(2 + i); !s.any(again) {
			t.Fatal("who has left does not count any more")
		}
	}
	if !s.any(stranger) || len(s.left.procs) > 0 {
		t.Errorf("%d are remembered, want that it may be anybody", len(s.left.procs))
	}
	s.arrived(stranger)
	if s.any(stranger) || s.any(peer(2)) {
		t.Error("somebody counts although all has arrived")
	}
}
