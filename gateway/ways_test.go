package gateway

import (
	"testing"

	"github.com/hyperactor/hyperactor/id"
)

func TestWaysHoldAsLongAsTheTables(t *testing.T) {
	var mu tableLock
	var w ways
	a, b := id.Proc{Host: "h", Name: "a", UID: 1}, id.Proc{Host: "h", Name: "b", UID: 1 + uint64(len(w))} // at one place
	toA, toB := newLink(), newLink()
	find := func(p id.Proc) *link { return w.find(&p, mu.version.Load()) }
	remember := func(p id.Proc, l *link) {
		mu.RLock()
		defer mu.RUnlock()
		w.remember(p, l, mu.version.Load())
	}
	changes := 0
	change := func() {
		mu.Lock()
		defer mu.Unlock()
		changes++
	}
	if find(a) != nil {
		t.Error("a way out of nothing")
	}
	remember(a, toA)
	remember(b, toB)
	if find(a) != toA || find(b) != nil {
		t.Error("of two at one place the first must stay")
	}
	change()
	if find(a) != nil {
		t.Error("a way outlived a change of the tables")
	}
	remember(a, toA)
	if find(a) != toA {
		t.Error("a way is not found again")
	}
	change()
	remember(b, toB)
	if find(b) != toB || find(a) != nil {
		t.Error("after a change another proc may take the place")
	}
	w.forget(toA)
	if find(b) != toB {
		t.Error("the wrong session was forgotten")
	}
	w.forget(toB)
	if w.place(b.UID).Load() != nil {
		t.Error("an ended session is kept alive")
	}
}
