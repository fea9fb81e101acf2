package actor_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/versus"
)

func benchProc(b testing.TB) (*actor.Proc, context.Context) {
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

func spawnCounter(b testing.TB, ctx context.Context, p *actor.Proc) actor.Ref[*counter] {
	b.Helper()
	ref, err := counterType.Spawn(ctx, p.ID(), "", counterParams{})
	if err != nil {
		b.Fatal(err)
	}
	return ref
}

type small struct{ n int }

const sendBatch = 100_000

// send times messages from one sender to one actor, until the last is handled.
func send(b *testing.B, ctx context.Context, ref actor.Ref[*counter], n int) time.Duration {
	return versus.Time(func() {
		for range n {
			if err := add.Send(ctx, ref, 1); err != nil {
				b.Error(err)
				return
			}
		}
		if _, err := add.Call(ctx, ref, 1); err != nil {
			b.Error(err)
		}
	}) / time.Duration(n)
}

// sendBare does the same with a buffered channel.
func sendBare(n int) time.Duration {
	ch, done := make(chan small, 1024), make(chan int)
	go func() {
		sum := 0
		for s := range ch {
			sum += s.n
		}
		done <- sum
	}()
	return versus.Time(func() {
		for range n {
			ch <- small{1}
		}
		close(ch)
		<-done
	}) / time.Duration(n)
}

// BenchmarkSend compares a Send within a proc with a buffered channel.
func BenchmarkSend(b *testing.B) {
	p, ctx := benchProc(b)
	ref := spawnCounter(b, ctx, p)
	var v versus.Pair
	for b.Loop() {
		v.Add(func() time.Duration { return send(b, ctx, ref, sendBatch) }, func() time.Duration { return sendBare(sendBatch) })
	}
	v.Report(b)
}

// BenchmarkSendAllocs counts allocations of a Send.
func BenchmarkSendAllocs(b *testing.B) {
	p, ctx := benchProc(b)
	ref := spawnCounter(b, ctx, p)
	b.ReportAllocs()
	for b.Loop() {
		if err := add.Send(ctx, ref, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSend100 has 100 senders with an actor, or a channel, each.
func BenchmarkSend100(b *testing.B) {
	const pairs, each = 100, 10_000
	p, ctx := benchProc(b)
	var refs []actor.Ref[*counter]
	var ctxs []context.Context
	for range pairs {
		refs = append(refs, spawnCounter(b, ctx, p))
		ctxs = append(ctxs, p.Context(b.Context()))
	}
	var v versus.Pair
	for b.Loop() {
		v.Add(func() time.Duration {
			return together(pairs, func(i int) { send(b, ctxs[i], refs[i], each) }) / (pairs * each)
		}, func() time.Duration {
			return together(pairs, func(int) { sendBare(each) }) / (pairs * each)
		})
	}
	v.Report(b)
}

func together(n int, f func(i int)) time.Duration {
	return versus.Time(func() {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { f(i) })
		}
		wg.Wait()
	})
}

// asked is a request over a channel with the channel for its reply.
type asked struct {
	n     int
	reply chan int
}

// BenchmarkCall compares a Call within a proc, whose ctx can end, with a round
// trip over two Go channels: one for requests and, as each caller needs its own,
// one made for the reply. The other baselines keep the reply channel (reused),
// and end with a ctx as a Call does (ctx).
func BenchmarkCall(b *testing.B) {
	p, ctx := benchProc(b)
	ref := spawnCounter(b, ctx, p)
	ch := make(chan asked, 1024)
	defer close(ch)
	go func() {
		for a := range ch {
			a.reply <- a.n
		}
	}()
	kept := make(chan int, 1)
	for _, base := range []struct {
		name string
		ask  func()
	}{
		{"channels", func() { r := make(chan int, 1); ch <- asked{1, r}; <-r }},
		{"channels-ctx", func() {
			r := make(chan int, 1)
			select {
			case ch <- asked{1, r}:
			case <-ctx.Done():
			}
			select {
			case <-r:
			case <-ctx.Done():
			}
		}},
		{"channels-reused", func() { ch <- asked{1, kept}; <-kept }},
	} {
		b.Run(base.name, func(b *testing.B) {
			var v versus.Pair
			const batch = 20_000
			for b.Loop() {
				v.Add(func() time.Duration {
					return versus.Each(batch, func() {
						if _, err := add.Call(ctx, ref, 1); err != nil {
							b.Fatal(err)
						}
					})
				}, func() time.Duration { return versus.Each(batch, base.ask) })
			}
			v.Report(b)
		})
	}
}

// BenchmarkSpawn spawns actors, and waits until each was made.
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
		const n = 100_000
		for range n {
			spawnCounter(b, ctx, p)
		}
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
