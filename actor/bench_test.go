package actor_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

func benchProc(b *testing.B) (*actor.Proc, context.Context) {
	b.Helper()
	name, err := id.NewProc("bench", "proc")
	if err != nil {
		b.Fatal(err)
	}
	p, err := actor.NewProc(actor.Config{ID: name})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Stop(context.Background(), time.Minute) })
	return p, p.Context(b.Context())
}

func spawnCounter(b *testing.B, ctx context.Context, p *actor.Proc) actor.Ref[*counter] {
	b.Helper()
	ref, err := counterType.Spawn(ctx, p.ID(), "", counterParams{})
	if err != nil {
		b.Fatal(err)
	}
	return ref
}

func BenchmarkSend(b *testing.B) {
	p, ctx := benchProc(b)
	ref := spawnCounter(b, ctx, p)
	b.ReportAllocs()
	for b.Loop() {
		if err := add.Send(ctx, ref, 1); err != nil {
			b.Fatal(err)
		}
	}
}

type small struct{ n int }

func BenchmarkSendChannel(b *testing.B) {
	ch := make(chan small, 1024)
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for s := range ch {
			n += s.n
		}
	})
	for b.Loop() {
		ch <- small{1}
	}
	close(ch)
	wg.Wait()
}

func BenchmarkCall(b *testing.B) {
	p, ctx := benchProc(b)
	ref := spawnCounter(b, ctx, p)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := add.Call(ctx, ref, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCallChannels(b *testing.B) {
	req, resp := make(chan small), make(chan small)
	go func() {
		for s := range req {
			resp <- s
		}
	}()
	for b.Loop() {
		req <- small{1}
		<-resp
	}
	close(req)
}

func BenchmarkSpawn(b *testing.B) {
	p, ctx := benchProc(b)
	b.ReportAllocs()
	for b.Loop() {
		spawnCounter(b, ctx, p)
	}
}

// BenchmarkIdle reports what an idle actor costs, with its name and the user's
// value of 8 bytes.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		p, ctx := benchProc(b)
		before, goroutines := heap(), runtime.NumGoroutine()
		const n = 200_000
		for range n {
			spawnCounter(b, ctx, p)
		}
		runtime.Gosched()
		b.ReportMetric(float64(heap()-before)/n, "B/actor")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/actor")
		p.Stop(context.Background(), time.Minute)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
