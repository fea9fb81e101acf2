package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// meter counts the messages that a far side has handled. One goroutine hands
// them over; the others look.
type meter struct {
	handled atomic.Int64
	damaged atomic.Int64
	size    atomic.Int64  // of every message; negative: they are not compared
	want    atomic.Int64  // reached is told at this number
	reached chan struct{} // capacity 1
	profile *os.File      // of the CPU; nil if none is being taken
}

// tally is how many messages were handled, and how many of them were not what
// had been sent.
type tally struct {
	Handled int64 `json:"handled"`
	Damaged int64 `json:"damaged"`
}

func newMeter() *meter {
	m := &meter{reached: make(chan struct{}, 1)}
	m.size.Store(-1)
	m.want.Store(math.MaxInt64)
	return m
}

// handle is all that a far side does with a message.
func (m *meter) handle(body []byte) {
	if size := m.size.Load(); size >= 0 && !isPattern(body, int(size)) {
		m.damaged.Add(1)
	}
	if m.handled.Add(1) >= m.want.Load() {
		select {
		case m.reached <- struct{}{}:
		default:
		}
	}
}

func (m *meter) tally() tally { return tally{m.handled.Load(), m.damaged.Load()} }

// await waits for the n-th message. When none has come for the time of patience,
// those that are missing count as lost.
func (m *meter) await(ctx context.Context, n int64, patience time.Duration) tally {
	m.want.Store(n)
	defer m.want.Store(math.MaxInt64)
	for {
		before := m.handled.Load()
		if before >= n {
			return m.tally()
		}
		select {
		case <-m.reached:
		case <-time.After(patience):
			if m.handled.Load() == before {
				return m.tally()
			}
		case <-ctx.Done():
			return m.tally()
		}
	}
}

// profileTo begins a CPU profile, or ends it if path is empty.
func (m *meter) profileTo(path string) (err error) {
	if path == "" {
		pprof.StopCPUProfile()
		return m.profile.Close()
	}
	if m.profile, err = os.Create(path); err != nil {
		return err
	}
	return pprof.StartCPUProfile(m.profile)
}

// patternBytes is odd, so that blocks of a message that change places are noticed.
const patternBytes = 65537

// pattern returns the first size bytes of what messages consist of.
func pattern(size int) []byte {
	b := make([]byte, size)
	x := uint32(1)
	for i := range min(size, patternBytes) {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	for n := patternBytes; n < size; n *= 2 {
		copy(b[n:], b[:n])
	}
	return b
}

// isPattern reports whether b is pattern(size), and does not need as much memory.
func isPattern(b []byte, size int) bool {
	first := min(size, patternBytes)
	return len(b) == size && bytes.Equal(b[:first], pattern(first)) && bytes.Equal(b[first:], b[:size-first])
}
