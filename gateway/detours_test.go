package gateway

import (
	"testing"

	"github.com/hyperactor/hyperactor/id"
)

// TestManyDetoursEnd has the ways to more procs end than are remembered each:
// whoever comes may be one of them.
func TestManyDetoursEnd(t *testing.T) {
	g := New(Config{})
	proc := func(uid uint64) id.Proc { return id.Proc{Host: "h", Name: "p", UID: uid} }
	for i := range uint64(maxDetours) {
		g.forgetRouteLocked(proc(i), &route{detour: true})
	}
	if g.newRouteLocked(proc(maxDetours)).detour || !g.newRouteLocked(proc(0)).detour {
		t.Error("it is not known any more who was reached through the uplink")
	}
	if g.newRouteLocked(proc(0)).detour {
		t.Error("what a route knows is remembered besides")
	}
	g.forgetRouteLocked(proc(maxDetours), &route{detour: true})
	g.forgetRouteLocked(proc(0), &route{detour: true})
	if n := len(g.detours.procs); n > 0 || !g.newRouteLocked(proc(maxDetours+1)).detour {
		t.Errorf("%d are remembered, want that it may be anybody", n)
	}
}
