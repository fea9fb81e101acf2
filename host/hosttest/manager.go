package hosttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/wire"
)

// spawnChecks are about spawning and names (PM-1, PM-2, PM-3).
func spawnChecks() []check {
	return []check{
		{name: "PM-1 a bad name is refused", run: func(f *fixture) {
			for _, name := range []string{"", "a b", "a/b"} {
				if h, err := f.parts.Manager.Spawn(f.ctx(), host.ProcSpec{Name: name}); err == nil {
					f.Errorf("%q: got %v", name, h.ID())
				}
			}
			if procs := f.parts.Manager.Procs(); len(procs) > 0 {
				f.Errorf("procs are left: %v", procs)
			}
		}},
		{name: "PM-1 a spawn whose ctx is over leaves nothing, or a proc that is ready", run: func(f *fixture) {
			cause := errors.New("no time")
			over, cancel := context.WithCancelCause(f.ctx())
			cancel(cause)
			for range 10 {
				h, err := f.host.Spawn(over, host.ProcSpec{Name: "a"})
				if err == nil && h.Status().Phase == host.Ready {
					f.kill(h) // it was faster
				} else if !errors.Is(err, cause) {
					f.Errorf("got %v, want %v", err, cause)
				}
			}
			f.spawn("a")
		}},
		{name: "PM-1 a spawn that fails says how, and leaves nothing", mute: true, run: func(f *fixture) {
			s := f.Mute(host.ProcSpec{Name: "a"})
			s.ReadyTimeout = 100 * time.Millisecond
			_, err := f.host.Spawn(f.ctx(), s)
			failed, ok := errors.AsType[*host.SpawnError](err)
			if !ok || failed.Name != "a" || failed.Exit.Kind != launch.Failed || failed.Spent == (host.Spent{}) || !errors.Is(err, host.ErrReadyTimeout) {
				f.Errorf("got %v", err)
			}
			f.spawn("a") // the name is free
		}},
		{name: "PM-1 a spawn that is given up leaves nothing", mute: true, run: givenUp},
		{name: "PM-2 names are unique among the living", run: func(f *fixture) {
			h := f.spawn("a")
			if _, err := f.parts.Manager.Spawn(f.ctx(), host.ProcSpec{Name: "a"}); !errors.Is(err, host.ErrProcExists) {
				f.Errorf("got %v, want %v", err, host.ErrProcExists)
			}
			if s := h.Status(); s.Phase != host.Ready {
				f.Errorf("the first one is now %v", s)
			}
		}},
		{name: "PM-2 a name is free when the exit is seen", run: func(f *fixture) {
			for range 5 {
				h := f.spawn("a")
				p := h.ID()
				var wg sync.WaitGroup
				wg.Go(func() { h.Kill(f.ctx(), "make room") })
				for s := range h.Watch(f.ctx()) {
					if s.Phase == host.Exited {
						if next := f.start(host.ProcSpec{Name: "a"}); next.ID() == p {
							f.Errorf("both are called %v", p)
						} else {
							f.phase(next, host.Ready)
							f.kill(next)
						}
					}
				}
				wg.Wait()
			}
		}},
		{name: "PM-3 spawns run at once", run: func(f *fixture) {
			const n = 20
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					if _, err := f.host.Spawn(f.ctx(), host.ProcSpec{Name: fmt.Sprintf("p%02d", i)}); err != nil {
						f.Errorf("Spawn: %v", err)
					}
				})
			}
			wg.Wait()
			procs := f.host.Procs()
			if len(procs) != n || !slices.IsSortedFunc(procs, byName) {
				f.Errorf("got %d procs, want %d by name", len(procs), n)
			}
		}},
		{name: "PM-3 slow ones delay no other", mute: true, run: func(f *fixture) {
			for i := range 64 { // far more than are started at once
				f.mute(fmt.Sprintf("slow-%d", i))
			}
			began := time.Now()
			f.spawn("fast")
			f.within(patience/3, began)
		}},
	}
}

// routeChecks are about calling what is inside a proc (PM-6, PM-7, AC-9).
func routeChecks() []check {
	return []check{
		{name: "PM-6 there is no route before Ready", mute: true, run: func(f *fixture) {
			h := f.mute("a")
			_, err := actor.StatusOf.Call(f.ctx(), actor.AgentOf(h.ID()), actor.None{})
			if !errors.Is(err, wire.NoRoute) {
				f.Errorf("got %v, want %v", err, wire.NoRoute)
			}
		}},
		{name: "PM-6 after the exit there is no route", run: func(f *fixture) {
			h := f.spawn("a")
			p := f.puppet(h, "p")
			f.kill(h)
			if _, err := Echo.Call(f.ctx(), p, 1); !errors.Is(err, wire.NoRoute) && !errors.Is(err, wire.PeerGone) {
				f.Errorf("got %v", err)
			}
		}},
		{name: "PM-6 after the exit calls fail with it", run: func(f *fixture) {
			h := f.spawn("a")
			p := f.puppet(h, "p")
			e := f.kill(h)
			for range 2 {
				_, err := Echo.Call(f.ctx(), p, 1)
				f.exited(err, e)
			}
		}},
		{name: "PM-6 a pending call ends with the exit", run: func(f *fixture) {
			h := f.spawn("a")
			p := f.puppet(h, "p")
			var wg sync.WaitGroup
			const n = 10
			for range n {
				wg.Go(func() {
					_, err := Keep.Call(f.ctx(), p, actor.None{})
					f.pending(h, err)
				})
			}
			if _, err := Await.Call(f.ctx(), p, n); err != nil {
				f.Error(err)
			}
			f.kill(h)
			wg.Wait()
		}},
		{name: "PM-6 a name that is used again is another proc", run: func(f *fixture) {
			first := f.spawn("a")
			old := f.puppet(first, "p")
			f.kill(first)
			p := f.puppet(f.spawn("a"), "p")
			if n, err := Echo.Call(f.ctx(), p, 3); n != 3 || err != nil {
				f.Errorf("got %v, %v", n, err)
			}
			if n, err := Echo.Call(f.ctx(), old, 3); err == nil {
				f.Errorf("the old ref leads to the new proc, which says %d", n)
			}
		}},
		{name: "PM-7 actors that do not return are named", run: func(f *fixture) {
			if !f.inside() {
				f.Skip("a process takes them with it")
			}
			if e := f.kill(f.deaf("a")); e.Abandoned != "deaf" {
				f.Errorf("got %v, want the name of the actor", e)
			}
		}},
		{name: "AC-9 a failure that nobody handles ends the proc", run: func(f *fixture) {
			h := f.spawn("a")
			if err := Fail.Send(f.ctx(), f.puppet(h, "p"), "ran out of string"); err != nil {
				f.Fatal(err)
			}
			e := f.wait(h)
			code := 1
			if f.Beside {
				code = 0
			}
			if e.Kind != launch.Stopped || e.Code != code || !strings.Contains(e.Cause, "ran out of string") || e.Requested.By != "" || e.Phase != launch.PhaseRunning {
				f.Errorf("got %v", e)
			}
		}},
	}
}

// pending checks the answer of a call to a proc that was killed meanwhile. In
// this process the actor, or its proc, is there to say so itself (MS-4).
func (f *fixture) pending(h host.ProcHandle, err error) {
	f.Helper()
	if !f.inside() {
		f.exited(err, f.wait(h))
	} else if !errors.Is(err, wire.ActorStopped) && !errors.Is(err, wire.PeerGone) {
		f.Errorf("got %v", err)
	}
}

// givenUp gives up a spawn when the proc exists already.
func givenUp(f *fixture) {
	cause := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(f.ctx())
	defer cancel(nil)
	parts := f.parts
	parts.Manager = spawnHook{f.parts.Manager, func() { cancel(cause) }}
	_, err := host.New(parts).Spawn(ctx, f.Mute(host.ProcSpec{Name: "a"}))
	failed, ok := errors.AsType[*host.SpawnError](err)
	if !ok || !errors.Is(err, cause) || failed.Exit.Requested.By != "suite" || !strings.Contains(failed.Exit.Requested.Why, cause.Error()) {
		f.Errorf("got %v", err)
	}
	if procs := f.parts.Manager.Procs(); len(procs) > 0 {
		f.Errorf("procs are left: %v", procs)
	}
	f.spawn("a")
}

// spawnHook is a manager that says when it has spawned.
type spawnHook struct {
	host.ProcManager
	spawned func()
}

func (m spawnHook) Spawn(ctx context.Context, s host.ProcSpec) (host.ProcHandle, error) {
	h, err := m.ProcManager.Spawn(ctx, s)
	m.spawned()
	return h, err
}
