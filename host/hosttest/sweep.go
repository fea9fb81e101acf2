package hosttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/host"
)

// sweepChecks are about stopping all procs (PM-4, PM-5).
func sweepChecks() []check {
	return []check{
		{name: "PM-4 TerminateAll stops all and counts", run: func(f *fixture) {
			for _, limit := range []int{0, 1, 3, 100} {
				procs := f.spawnMany(6)
				sum := f.host.TerminateAll(f.ctx(), patience, limit, "sweep")
				if sum.Attempted != len(procs) || sum.OK != len(procs) || sum.Failed() != 0 || sum.Err() != nil {
					f.Errorf("limit %d: %v", limit, sum)
				}
				for _, h := range procs {
					if e := f.wait(h); !e.OK() || e.Requested.Why != "sweep" || e.Requested.By != "suite" {
						f.Errorf("limit %d: %v", limit, e)
					}
				}
				if left := f.host.Procs(); len(left) > 0 {
					f.Errorf("procs are left: %v", left)
				}
			}
			f.spawn("and-again") // it can be used again
		}},
		{name: "PM-4 one that ignores everything uses its share, not that of others", run: func(f *fixture) {
			good := f.spawnMany(3)
			bad := f.deaf("bad")
			const grace = 2 * time.Second
			began := time.Now()
			sum := f.host.TerminateAll(f.ctx(), grace, 2, "sweep")
			f.within(grace+stopMargin, began)
			if sum.Attempted != 4 || sum.OK != 4 {
				f.Errorf("got %v", sum)
			}
			f.forced(f.wait(bad))
			for _, h := range good {
				if e := f.wait(h); !e.OK() {
					f.Errorf("got %v", e)
				}
			}
		}},
		{name: "PM-4 a spawn that races is included or refused", run: spawnRace},
		{name: "PM-4 spawns are refused meanwhile", run: func(f *fixture) {
			h := f.deaf("bad")
			var wg sync.WaitGroup
			wg.Go(func() { f.host.TerminateAll(f.ctx(), time.Hour, 0, "sweep") })
			f.phase(h, host.Stopping)
			if _, err := f.parts.Manager.Spawn(f.ctx(), host.ProcSpec{Name: "a"}); !errors.Is(err, host.ErrDraining) {
				f.Errorf("got %v, want %v", err, host.ErrDraining)
			}
			f.kill(h)
			wg.Wait()
		}},
		{name: "PM-5 Close of the manager ends all", run: func(f *fixture) {
			procs := append(f.spawnMany(3), f.deaf("deaf"))
			f.many(3, func(ctx context.Context) {
				if err := f.parts.Manager.Close(ctx); err != nil {
					f.Errorf("Close: %v", err)
				}
			})
			for _, h := range procs {
				if s := h.Status(); s.Phase != host.Exited {
					f.Errorf("after Close: %v", s)
				}
			}
			if _, err := f.parts.Manager.Spawn(f.ctx(), host.ProcSpec{Name: "a"}); !errors.Is(err, host.ErrDraining) {
				f.Errorf("got %v, want %v", err, host.ErrDraining)
			}
		}},
		{name: "PM-5 Close ends what is not ready", mute: true, run: func(f *fixture) {
			h := f.mute("a")
			if err := f.parts.Manager.Close(f.ctx()); err != nil {
				f.Errorf("Close: %v", err)
			}
			if s := h.Status(); s.Phase != host.Exited {
				f.Errorf("after Close: %v", s)
			}
		}},
		{name: "PM-5 Shutdown drains while networking is alive", run: func(f *fixture) {
			procs := f.spawnMany(3)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					sum, err := f.host.Shutdown(f.ctx(), patience, "shutdown")
					if err != nil || sum.OK != len(procs) || sum.Attempted != len(procs) {
						f.Errorf("got %v, %v", sum, err)
					}
				})
			}
			wg.Wait()
			for _, h := range procs {
				if e := f.wait(h); !e.OK() {
					f.Errorf("got %v", e)
				}
			}
			if _, err := f.host.Spawn(f.ctx(), host.ProcSpec{Name: "a"}); !errors.Is(err, host.ErrDraining) {
				f.Errorf("got %v, want %v", err, host.ErrDraining)
			}
		}},
	}
}

// spawnMany spawns n procs at once.
func (f *fixture) spawnMany(n int) []host.ProcHandle {
	f.Helper()
	procs := make([]host.ProcHandle, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			h, err := f.host.Spawn(f.ctx(), host.ProcSpec{Name: fmt.Sprintf("p%02d", i)})
			if err != nil {
				f.Errorf("Spawn: %v", err)
			}
			procs[i] = h
		})
	}
	wg.Wait()
	if f.Failed() {
		f.FailNow()
	}
	return procs
}

// spawnRace spawns while all procs are stopped. A spawn that succeeds after
// that must be of a proc that nobody has stopped.
func spawnRace(f *fixture) {
	const n = 16
	handles := make(chan host.ProcHandle, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			h, err := f.parts.Manager.Spawn(f.ctx(), host.ProcSpec{Name: fmt.Sprintf("p%02d", i)})
			switch {
			case err == nil:
				handles <- h
			case !errors.Is(err, host.ErrDraining):
				f.Errorf("got %v, want %v", err, host.ErrDraining)
			}
		})
	}
	sum := f.host.TerminateAll(f.ctx(), patience, 0, "sweep")
	if err := sum.Err(); err != nil {
		f.Error(err)
	}
	wg.Wait()
	close(handles)
	stopped := 0
	for h := range handles {
		if s := h.Status(); s.Phase == host.Exited {
			stopped++
			if s.Exit.Requested.Why != "sweep" {
				f.Errorf("got %v", s)
			}
			continue
		}
		f.phase(h, host.Ready) // it came after the sweep, and lives
		f.kill(h)
	}
	if stopped > sum.Attempted {
		f.Errorf("%d were stopped, but %v", stopped, sum)
	}
}

func byName(a, b host.ProcHandle) int { return cmp.Compare(a.ID().Name, b.ID().Name) }
