package floor

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestPace tells the times between collections and what follows.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		gaps []time.Duration
		want bool
	}{
		{"one after another", []time.Duration{3 * ms, 3 * ms, 3 * ms, 3 * ms}, true},
		{"not yet", []time.Duration{3 * ms, 3 * ms, 3 * ms}, false},
		{"with a rest", []time.Duration{3 * ms, 3 * ms, 30 * ms, 3 * ms, 3 * ms}, false},
		{"less often, once it is raised", []time.Duration{3 * ms, 3 * ms, 3 * ms, 3 * ms, 30 * ms, 900 * ms}, true},
		{"over", []time.Duration{3 * ms, 3 * ms, 3 * ms, 3 * ms, 30 * ms, time.Second}, false},
		{"again", []time.Duration{3 * ms, 3 * ms, 3 * ms, 3 * ms, time.Minute, 3 * ms, 3 * ms, 3 * ms, 3 * ms}, true},
	} {
		var p pace
		now := time.Now()
		got := p.next(now)
		for _, gap := range c.gaps {
			now = now.Add(gap)
			got = p.next(now)
		}
		if got != c.want {
			t.Errorf("%s: raised %v", c.name, got)
		}
	}
}

var sink []byte

// garbage makes n MiB of garbage in small pieces, as fast as it can.
func garbage(n int) {
	for range n << 10 {
		sink = make([]byte, 1<<10)
	}
}

// TestFewerCollections has a floor under a program that makes nothing but
// garbage. Without one there would be a collection for every 4 MiB of it.
func TestFewerCollections(t *testing.T) {
	var f Floor
	f.Start()
	defer f.Stop()
	const mib = 1024
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	garbage(mib)
	runtime.ReadMemStats(&after)
	if !f.Raised() {
		t.Error("the floor was not raised")
	}
	if n := after.NumGC - before.NumGC; n > mib/4/2 {
		t.Errorf("%d collections of %d MiB", n, mib)
	}
	f.Stop()
	if f.Raised() {
		t.Error("raised after Stop")
	}
}

func TestUsersSettings(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(99))
	var f Floor
	f.Start()
	defer f.Stop()
	garbage(512)
	if f.Raised() {
		t.Error("raised although there is a setting")
	}
}
