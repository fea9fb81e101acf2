package torture

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// waitRows is about those who wait.
func waitRows() []row {
	return []row{
		{number: 40, name: "1000 waiters", with: everyKind,
			done:  "1000 calls of Wait before, during and after the end of a proc, a third of them with a ctx that is cancelled",
			holds: "the same exit for all, the cause for those who gave up (PH-4)",
			run:   thousandWaiters},
		{number: 41, name: "first waiter gives up", with: everyKind,
			done:  "the ctx of the first Wait and of the first Terminate ends",
			holds: "the proc goes on, or goes on to stop; the next waiter gets the exit (PH-13)",
			run:   firstGivesUp},
		{number: 42, name: "handle dropped", with: everyKind,
			done:  "the handle of a proc is forgotten, the collector runs; then the proc exits",
			holds: "the proc is followed nevertheless: its name is free, its exit is seen (PH-1)",
			run:   droppedHandle},
	}
}

func thousandWaiters(f *fixture) {
	rt := f.host()
	h, v := f.spawn(rt, "a")
	cancelled, cancel := context.WithCancelCause(f.ctx(rt))
	exits := make(chan launch.Exit, 2000)
	var early, wg sync.WaitGroup
	for i := range 600 {
		if i%3 == 0 {
			early.Go(func() {
				if _, err := h.Wait(cancelled); !errors.Is(err, errGivenUp) {
					f.Errorf("got %v", err)
				}
			})
			continue
		}
		wg.Go(func() { exits <- f.exit(rt, h) })
	}
	cancel(errGivenUp)
	early.Wait()
	f.no(do.Send(f.ctx(rt), v, []string{"exit", "8"}))
	for range 400 {
		wg.Go(func() { exits <- f.exit(rt, h) })
	}
	wg.Wait()
	close(exits)
	want := f.exit(rt, h)
	n := 0
	for e := range exits {
		n++
		f.want(e == want && e.Code == 8, "one exit", shown(e))
	}
	f.want(n == 800, "all who waited have it", n)
	if e, err := h.Wait(cancelled); err != nil || e != want {
		f.Errorf("after the end: %v, %v", e, err)
	}
}

func firstGivesUp(f *fixture) {
	rt := f.host()
	h, v := f.spawn(rt, "a")
	ctx, cancel := context.WithCancelCause(f.ctx(rt))
	cancel(errGivenUp)
	_, err := h.Wait(ctx)
	f.want(errors.Is(err, errGivenUp), "the cause", err)
	_, err = do.Call(f.ctx(rt), v, []string{"pid"})
	f.no(err)
	_, err = do.Call(f.ctx(rt), v, []string{"deaf"})
	f.no(err)
	_, err = h.Terminate(ctx, 200*time.Millisecond, "go")
	f.want(errors.Is(err, errGivenUp), "the cause", err)
	e := f.exit(rt, h)
	f.want(killed(e) && strings.Contains(e.Cause, "200ms"), "the stop goes on", shown(e))
}

func droppedHandle(f *fixture) {
	rt := f.host()
	victims := func() []actor.Ref[victim] {
		_, v := f.spawn(rt, "a")
		return []actor.Ref[victim]{v}
	}()
	for range 3 {
		runtime.GC()
	}
	f.no(do.Send(f.ctx(rt), victims[0], []string{"exit", "1"}))
	for { // the name is free at the terminal transition (PM-2)
		h, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{Name: "a"})
		if err == nil {
			_, err = h.Kill(f.ctx(rt), "enough")
			f.no(err)
			return
		}
		if !errors.Is(err, host.ErrProcExists) {
			f.Fatal(err)
		}
		for _, p := range rt.Host().Procs() {
			f.exit(rt, p)
		}
	}
}
