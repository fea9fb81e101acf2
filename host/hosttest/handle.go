package hosttest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/host"
)

// identityChecks are about who and where a proc is (PH-1, PH-2).
func identityChecks() []check {
	return []check{
		{name: "PH-1 the id is there at once and never changes", run: func(f *fixture) {
			h := f.start(host.ProcSpec{Name: "a"})
			p := h.ID()
			if p.Host != f.parts.Name || p.Name != "a" || p.IsZero() {
				f.Errorf("got %v", p)
			}
			for s := range h.Watch(f.ctx()) {
				if s.ID != p || h.ID() != p {
					f.Errorf("got %v and %v, want %v", s.ID, h.ID(), p)
				}
				if s.Phase == host.Ready {
					break
				}
			}
			f.kill(h)
			if h.ID() != p {
				f.Errorf("got %v after the exit, want %v", h.ID(), p)
			}
		}},
		{name: "PH-1 dropping handles changes nothing", run: func(f *fixture) {
			p := f.spawn("a").ID()
			runtime.GC()
			runtime.GC()
			h, ok := f.host.Proc("a")
			if !ok || h.ID() != p || h.Status().Phase != host.Ready {
				f.Fatalf("got %v, want %v", h, p)
			}
			if n, err := Echo.Call(f.ctx(), f.puppet(h, "p"), 7); n != 7 || err != nil {
				f.Errorf("got %v, %v", n, err)
			}
		}},
		{name: "PH-2 address and agent are there from Ready on for good", run: endpoint},
		{name: "PH-2 address and agent are absent before Ready", mute: true, run: func(f *fixture) {
			h := f.mute("a")
			f.absent(h)
			e := f.kill(h)
			f.absent(h)
			if !e.Ready.IsZero() {
				f.Errorf("got %v", e)
			}
		}},
	}
}

// waitChecks are about waiting for a proc (PH-3, PH-4).
func waitChecks() []check {
	return []check{
		{name: "PH-3 Ready is for many and consumes nothing", run: func(f *fixture) {
			h := f.start(host.ProcSpec{Name: "a"})
			want, err := h.Ready(f.ctx())
			if err != nil {
				f.Fatal(err)
			}
			f.many(20, func(ctx context.Context) {
				if got, err := h.Ready(ctx); got != want || err != nil {
					f.Errorf("got %v, %v, want %v", got, err, want)
				}
			})
		}},
		{name: "PH-3 Ready after the exit is an ExitedError", run: func(f *fixture) {
			h := f.spawn("a")
			e := f.kill(h)
			_, err := h.Ready(f.ctx())
			f.exited(err, e)
		}},
		{name: "PH-3 Ready waits while the proc is stopping", mute: true, run: func(f *fixture) {
			h := f.mute("a")
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := h.Ready(f.ctx())
				f.exited(err, f.wait(h))
			})
			over, cancel := context.WithCancel(f.ctx())
			cancel()
			h.Kill(over, "now")
			wg.Wait()
		}},
		{name: "PH-3 the end of ctx is its cause", mute: true, run: func(f *fixture) {
			h := f.mute("a")
			cause := errors.New("no time")
			ctx, cancel := context.WithCancelCause(f.ctx())
			cancel(cause)
			if _, err := h.Ready(ctx); err != cause {
				f.Errorf("got %v, want %v", err, cause)
			}
		}},
		{name: "PH-4 Wait is for many and gives all the same record", run: func(f *fixture) {
			h := f.spawn("a")
			records := make(chan host.Exit, 20)
			var wg sync.WaitGroup
			for range cap(records) {
				wg.Go(func() { records <- f.wait(h) })
			}
			want := f.kill(h)
			wg.Wait()
			close(records)
			for e := range records {
				f.same("a waiter", e, want)
			}
			f.same("a late waiter", f.wait(h), want)
			f.same("the status", h.Status().Exit, want)
		}},
		{name: "PH-4 the end of ctx is the only error", run: func(f *fixture) {
			h := f.spawn("a")
			cause := errors.New("no time")
			ctx, cancel := context.WithCancelCause(f.ctx())
			cancel(cause)
			if e, err := h.Wait(ctx); err != cause || e != (host.Exit{}) {
				f.Errorf("got %v, %v, want %v", e, err, cause)
			}
			want := f.kill(h)
			if e, err := h.Wait(ctx); err != nil || e != want { // the record is there: it costs no waiting
				f.Errorf("got %v, %v after the exit", e, err)
			}
		}},
		{name: "PH Watch begins with now and ends with the exit", run: func(f *fixture) {
			h := f.start(host.ProcSpec{Name: "a"})
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					var last host.Status
					for s := range h.Watch(f.ctx()) {
						if s.Phase < last.Phase {
							f.Errorf("%v after %v", s, last)
						}
						last = s
					}
					f.same("the last status", last.Exit, f.wait(h))
				})
			}
			f.phase(h, host.Ready)
			f.kill(h)
			wg.Wait()
			n := 0
			for s := range h.Watch(f.ctx()) {
				n++
				f.same("a late watcher", s.Exit, f.wait(h))
			}
			if n != 1 {
				f.Errorf("a late watcher sees %d statuses", n)
			}
		}},
	}
}

// endpoint watches a proc from start to end.
func endpoint(f *fixture) {
	h := f.start(host.ProcSpec{Name: "a"})
	for s := range h.Watch(f.ctx()) {
		if ready := !s.Ready.IsZero(); ready != (s.Endpoint != host.Endpoint{}) || ready != (s.Phase >= host.Ready) {
			f.Errorf("%v with endpoint %v", s, s.Endpoint)
		}
		if s.Phase == host.Ready {
			break
		}
	}
	want, err := h.Ready(f.ctx())
	if err != nil {
		f.Fatal(err)
	}
	f.present(h, want)
	e, err := h.Terminate(f.ctx(), patience, "endpoint")
	if err != nil {
		f.Fatal(err)
	}
	f.present(h, want)
	if e.Ready.Before(e.Started) || e.Ended.Before(e.Ready) {
		f.Errorf("started %v, ready %v, ended %v", e.Started, e.Ready, e.Ended)
	}
}

func (f *fixture) present(h host.ProcHandle, want host.Endpoint) {
	f.Helper()
	addr, ok := h.Addr()
	agent, ok2 := h.Agent()
	if !ok || !ok2 || addr != want.Addr || agent != want.Agent || addr == "" || h.Status().Endpoint != want {
		f.Errorf("got %v %v, %v %v, want %v", addr, ok, agent, ok2, want)
	}
}

func (f *fixture) absent(h host.ProcHandle) {
	f.Helper()
	addr, ok := h.Addr()
	agent, ok2 := h.Agent()
	if ok || ok2 || addr != "" || h.Status().Endpoint != (host.Endpoint{}) {
		f.Errorf("got %v %v, %v %v, want nothing", addr, ok, agent, ok2)
	}
}

// many does something n times at once.
func (f *fixture) many(n int, do func(ctx context.Context)) {
	ctx := f.ctx()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { do(ctx) })
	}
	wg.Wait()
}

// within checks how long something took.
func (f *fixture) within(bound time.Duration, began time.Time) {
	f.Helper()
	if took := time.Since(began); took > bound {
		f.Errorf("took %v, at most %v are allowed", took, bound)
	}
}
