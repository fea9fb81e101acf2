package hyperactor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/examples/counter/counter"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/internal/versus"
)

func startRuntime(b *testing.B, keeper hyperactor.Keeper) (*hyperactor.Runtime, context.Context) {
	b.Helper()
	cfg := testConfig()
	cfg.Keeper = keeper
	rt, err := hyperactor.Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := rt.Close(); err != nil {
			b.Error(err)
		}
	})
	return rt, rt.Context(context.Background())
}

func mustSpawn(b *testing.B, ctx context.Context, rt *hyperactor.Runtime, name string) host.ProcHandle {
	b.Helper()
	h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: name})
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// BenchmarkRealCall compares a Call to an actor in a child process with 64
// bytes to and fro over a unix socket, both processes on one CPU.
func BenchmarkRealCall(b *testing.B) {
	pin(b)
	rt, ctx := startRuntime(b, hyperactor.WithKeeper)
	h := mustSpawn(b, ctx, rt, "worker")
	ref, err := counter.Type.Spawn(ctx, h.ID(), "c", counter.Params{})
	if err != nil {
		b.Fatal(err)
	}
	conn := bareEcho(b)
	var v versus.Pair
	var buf [64]byte
	const batch = 500
	for b.Loop() {
		v.Add(func() time.Duration {
			return versus.Time(func() {
				for range batch {
					if _, err := counter.Add.Call(ctx, ref, 1); err != nil {
						b.Fatal(err)
					}
				}
			}) / batch
		}, func() time.Duration {
			return versus.Time(func() {
				for range batch {
					if _, err := conn.Write(buf[:]); err != nil {
						b.Fatal(err)
					}
					if _, err := conn.Read(buf[:]); err != nil {
						b.Fatal(err)
					}
				}
			}) / batch
		})
	}
	v.Report(b)
}

// BenchmarkRealSpawn compares the spawn of children, from the call to Ready of
// all, with fork, exec and one byte over a pipe of the same binary.
func BenchmarkRealSpawn(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprint("children=", n), func(b *testing.B) {
			rt, ctx := startRuntime(b, hyperactor.WithKeeper)
			var v versus.Pair
			for b.Loop() {
				v.Add(func() time.Duration { return spawnMany(b, ctx, rt, n) }, func() time.Duration { return bareMany(b, n) })
			}
			v.Report(b)
		})
	}
}

func spawnMany(b *testing.B, ctx context.Context, rt *hyperactor.Runtime, n int) time.Duration {
	procs := make([]host.ProcHandle, n)
	d := versus.Time(func() {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { procs[i] = mustSpawn(b, ctx, rt, fmt.Sprint("w", i)) })
		}
		wg.Wait()
	})
	for _, h := range procs {
		if _, err := h.Kill(ctx, "measured"); err != nil {
			b.Fatal(err)
		}
	}
	return d
}

func bareMany(b *testing.B, n int) time.Duration {
	procs := make([]*bareChild, n)
	d := versus.Time(func() {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { procs[i] = startBare(b, "byte") })
		}
		wg.Wait()
	})
	for _, c := range procs {
		c.kill()
	}
	return d
}

// BenchmarkRealKill compares Kill, which returns what Wait does, with SIGKILL
// and wait of the same binary.
func BenchmarkRealKill(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) { benchKill(b, way.keeper) })
	}
}

// BenchmarkRealKillKernel compares how long the kernel needs to end our child and a
// bare one: from SIGKILL until the pidfd says so, to whoever asks. It is the
// part of BenchmarkRealKill that no launcher can make shorter.
func BenchmarkRealKillKernel(b *testing.B) {
	rt, ctx := startRuntime(b, hyperactor.NoKeeper)
	var v versus.Pair
	for b.Loop() {
		h := mustSpawn(b, ctx, rt, "worker")
		c := startBare(b, "byte")
		v.Add(func() time.Duration { return killAndPoll(b, h.Status().PID) }, func() time.Duration { return killAndPoll(b, c.cmd.Process.Pid) })
		h.Wait(ctx)
		c.cmd.Wait()
	}
	v.Report(b)
}

func killAndPoll(b *testing.B, pid int) time.Duration {
	b.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	return versus.Time(func() {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			b.Fatal(err)
		}
		for err = unix.EINTR; err == unix.EINTR; {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		}
	})
}

func benchKill(b *testing.B, keeper hyperactor.Keeper) {
	rt, ctx := startRuntime(b, keeper)
	var v versus.Pair
	for b.Loop() {
		h := mustSpawn(b, ctx, rt, "worker")
		c := startBare(b, "byte")
		v.Add(func() time.Duration {
			return versus.Time(func() {
				if _, err := h.Kill(ctx, "measured"); err != nil {
					b.Fatal(err)
				}
			})
		}, func() time.Duration { return versus.Time(c.kill) })
	}
	v.Report(b)
}

// BenchmarkRealChildMemory compares the memory of idle children with that of
// the same binary without anything of ours, when there are several of each.
func BenchmarkRealChildMemory(b *testing.B) {
	rt, ctx := startRuntime(b, hyperactor.WithKeeper)
	for b.Loop() {
		const n = 8
		var ours, bare int
		var procs []host.ProcHandle
		var bares []*bareChild
		for i := range n {
			procs = append(procs, mustSpawn(b, ctx, rt, fmt.Sprint("w", i)))
			bares = append(bares, startBare(b, "byte"))
		}
		for i := range n {
			ours += pss(b, procs[i].Status().PID)
			bare += pss(b, bares[i].cmd.Process.Pid)
		}
		b.ReportMetric(float64(ours)/n, "KiB/ours")
		b.ReportMetric(float64(bare)/n, "KiB/bare")
		b.ReportMetric(float64(ours)/float64(bare), "ratio")
		for i := range n {
			procs[i].Kill(ctx, "measured")
			bares[i].kill()
		}
	}
}
