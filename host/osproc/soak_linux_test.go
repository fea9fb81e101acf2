package osproc_test

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
)

// TestReal1000SpawnsLeakNothing lives through many procs with one manager, a
// few at a time, and compares what this process holds before and after: lives
// that each left a goroutine, a descriptor or 512 bytes would show (PH-14).
func TestReal1000SpawnsLeakNothing(t *testing.T) {
	n := 1000
	if testing.Short() || shadowed() { // the whole thousand runs without the detector
		n = 200
	}
	warm := n * 3 / 10
	b := newBench(t)
	b.lives(warm)
	before := b.takeStock()
	b.lives(n - warm)
	after := b.settled(before)
	t.Logf("after %d lives: %+v, after %d: %+v (race %v)", warm, before, n, after, shadowed())
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors || after.threads > before.threads+8 {
		buf := make([]byte, 1<<20)
		t.Errorf("holds %+v, before %+v\n%s", after, before, buf[:runtime.Stack(buf, true)])
	}
	if grown := after.rss - before.rss; !shadowed() && grown > 8<<20+(n-warm)<<12 {
		t.Errorf("%d bytes more after %d lives than after %d", grown, n, warm)
	}
	if grown := after.heap - before.heap; grown > 1<<20+(n-warm)<<9 {
		t.Errorf("%d bytes of heap more after %d lives than after %d", grown, n, warm)
	}
	b.empty()
}

// shadowed reports whether the race detector keeps memory of its own, which
// grows with what was ever touched.
func shadowed() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// lives spawns n procs, eight at a time, calls each and ends it in one of
// several ways.
func (b *bench) lives(n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.parts.Local.Context(b.Context()), time.Duration(n)*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := i; k < n; k += 8 {
				b.life(ctx, k)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func (b *bench) life(ctx context.Context, k int) {
	h, err := b.host.Spawn(ctx, host.ProcSpec{Name: "life-" + strconv.Itoa(k)})
	if err != nil {
		b.Error(err)
		return
	}
	m, err := misfitType.Spawn(ctx, h.ID(), "misfit", actor.None{})
	if err != nil {
		b.Error(err)
		return
	}
	switch k % 3 {
	case 0:
		_, err = h.Terminate(ctx, patience, "end of a life")
	case 1:
		_, err = h.Kill(ctx, "end of a life")
	default:
		err = do.Send(ctx, m, []string{"exit", "3"})
		if e, waitErr := h.Wait(ctx); waitErr != nil || e.Code != 3 {
			b.Errorf("got %v, %v, want exit 3", e, waitErr)
		}
	}
	if err != nil {
		b.Error(err)
	}
}

// stock is what this process holds.
type stock struct {
	goroutines, descriptors, threads, rss, heap int
}

func (b *bench) takeStock() stock {
	b.Helper()
	debug.FreeOSMemory() // what could be given back is none of our holding
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		b.Fatal(err)
	}
	return stock{
		goroutines:  runtime.NumGoroutine(),
		descriptors: b.entries("/proc/self/fd"),
		threads:     b.entries("/proc/self/task"),
		rss:         pages * os.Getpagesize(),
		heap:        int(mem.HeapAlloc),
	}
}

func (b *bench) entries(dir string) int {
	b.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	return len(list)
}

// settled takes stock when no more is held than before. What was waited for is
// counted until the scheduler has put it away: for that much it yields. The count
// of goroutines that has ended the wait holds: NumGoroutine counts too many while
// one CPU hands dead ones to another.
func (b *bench) settled(before stock) stock {
	b.Helper()
	goroutines := runtime.NumGoroutine()
	for end := time.Now().Add(patience); time.Now().Before(end); goroutines = runtime.NumGoroutine() {
		if goroutines <= before.goroutines && b.entries("/proc/self/fd") <= before.descriptors {
			break
		}
		runtime.Gosched()
	}
	now := b.takeStock()
	now.goroutines = goroutines
	return now
}
