// Package floor keeps a small program that makes much garbage from collecting
// it all the time.
//
// Package runtime collects when the heap has doubled, but at 4 MiB at the
// latest. A proc that is flooded with messages keeps next to nothing of them: its
// heap is some hundred KiB, 4 MiB are full again after few milliseconds, and
// half of its CPU time goes into beginning and ending collections. There is no
// setting for a higher minimum. GOGC raises it, but for large heaps as well,
// where that costs memory.
package floor

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// Size is how much a Floor adds to the heap while collections are frequent. It
// is memory that nobody touches, so it costs address space only. What it leads to is
// up to as much garbage again before the next collection, which is real.
const Size = 16 << 20

// Floor has the collector wait for Size bytes of garbage while collections
// are frequent, whatever they are of, and for no more than usual when they are
// not. The zero value does nothing until Start.
type Floor struct {
	mu      sync.Mutex // guards the following
	pace    pace
	refused bool // somebody has told the collector when to run
	ballast []byte
	next    runtime.Cleanup
	started bool
}

// Start begins to look at how often the collector runs, until Stop. Nothing comes
// of it where somebody has set GOGC or GOMEMLIMIT, or has called
// debug.SetGCPercent or SetMemoryLimit.
func (f *Floor) Start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started = true
	f.awaitLocked()
}

// Stop takes away what Start began.
func (f *Floor) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next.Stop()
	f.started, f.ballast = false, nil
}

// Raised reports whether collections wait for Size bytes of garbage now.
func (f *Floor) Raised() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ballast != nil
}

// witness is what the next collection finds to be garbage.
type witness struct{ _ *witness }

func (f *Floor) awaitLocked() {
	f.next = runtime.AddCleanup(new(witness), (*Floor).collected, f)
}

// collected is called after each collection.
func (f *Floor) collected() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.started {
		return
	}
	switch raise := f.pace.next(time.Now()); {
	case !raise:
		f.ballast, f.refused = nil, false
	case f.ballast == nil && !f.refused:
		if f.refused = !free(); !f.refused {
			f.ballast = make([]byte, Size)
		}
	}
	f.awaitLocked()
}

// free reports whether nobody has told the collector when to run. The first
// reading of metrics costs a process more than all else here.
func free() bool {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() == 100 && s[1].Value.Uint64() == math.MaxInt64
}

// pace decides whether collections are frequent.
type pace struct {
	last     time.Time
	frequent int // collections in a row that came soon after the one before
	raised   bool
}

// What is frequent, and what is rare. The collection of a small heap takes about
// 0.3 ms of CPU time.
const (
	soon = 25 * time.Millisecond
	late = time.Second
	many = 4
)

// next notes a collection and reports whether the floor is to be raised.
func (p *pace) next(now time.Time) bool {
	gap := now.Sub(p.last)
	p.last = now
	if gap < soon {
		p.frequent++
	} else {
		p.frequent = 0
	}
	p.raised = p.frequent >= many || p.raised && gap < late
	return p.raised
}
