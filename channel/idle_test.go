package channel_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// TestRealIdleSessionsAreSmall has sessions that said something and have
// nothing to say now: one goroutine each, and under 16 KiB.
func TestRealIdleSessionsAreSmall(t *testing.T) {
	const n = 200
	var hub channel.Hub
	var got sync.WaitGroup
	memory := func() (bytes uint64, goroutines int) {
		var m runtime.MemStats
		for range 3 { // what is pooled goes with the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
	}
	bytes, goroutines := memory()
	for range n {
		got.Add(20)
		near, far := realPair(t, "unix")
		a, b := sessions(t, near, far, func(*channel.Session, *wire.Envelope) { got.Done() }, func(*channel.Session, *wire.Envelope) { got.Done() },
			func(c *channel.Config) { c.Hub = &hub; c.AckDelay = 1 })
		for i := range uint64(10) {
			a.Send(t.Context(), message(wire.Send, i, "there"))
			b.Send(t.Context(), message(wire.Send, i, "back"))
		}
	}
	got.Wait()
	bytesAfter, goroutinesAfter := memory()
	if each := (int64(bytesAfter) - int64(bytes)) / (2 * n); each > 16<<10 {
		t.Errorf("%d bytes an idle session, want at most 16 KiB", each)
	} else {
		t.Logf("%d bytes an idle session", each)
	}
	if each := float64(goroutinesAfter-goroutines) / (2 * n); each > 1.1 {
		t.Errorf("%.2f goroutines an idle session, want one", each)
	}
}
