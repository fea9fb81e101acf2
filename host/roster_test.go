package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// spawn puts b on r, in the way that a manager does.
func (b *fakeBody) spawn(ctx context.Context, r *Roster, name string, start time.Duration) (*Handle, error) {
	place, err := r.Reserve(ctx, name)
	if err != nil {
		return nil, err
	}
	<-time.After(start)
	h := b.follow(FollowConfig{
		ID:     id.Proc{Host: "alpha", Name: name, UID: 7},
		OnExit: func(Exit) { place.Release() },
	})
	if err := place.Fill(h); err != nil {
		_, _ = h.Kill(ctx, "refused")
		return nil, err
	}
	return h, nil
}

func mustSpawn(t *testing.T, r *Roster, b *fakeBody, name string) *Handle {
	t.Helper()
	h, err := b.spawn(t.Context(), r, name, 0)
	if err != nil {
		t.Fatalf("spawn %s: %v", name, err)
	}
	mustReady(t, h)
	return h
}

func names(r *Roster) string {
	var all []string
	for _, h := range r.Procs() {
		all = append(all, h.ID().Name)
	}
	return fmt.Sprint(all)
}

// TestNamesAreUniqueAmongTheLiving is PM-2.
func TestNamesAreUniqueAmongTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(0)
		first := &fakeBody{}
		h := mustSpawn(t, r, first, "a")
		mustSpawn(t, r, &fakeBody{}, "b")
		if _, err := r.Reserve(t.Context(), "a"); !errors.Is(err, ErrProcExists) {
			t.Errorf("a second a: %v", err)
		}
		if names(r) != "[a b]" || r.Proc("a") != h || r.Proc("c") != nil {
			t.Errorf("on the roster: %s", names(r))
		}
		first.exits(launch.Stopped, 1, 0)
		mustWait(t, h)
		mustSpawn(t, r, &fakeBody{}, "a") // free as soon as the exit is known
		if err := r.Close(t.Context()); err != nil || names(r) != "[]" {
			t.Errorf("Close() = %v, left %s", err, names(r))
		}
	})
}

// TestExitBeforeFill: a proc that is gone before its spawn is over leaves nothing.
func TestExitBeforeFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(1)
		place, err := r.Reserve(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		b := &fakeBody{}
		h := b.follow(FollowConfig{OnExit: func(Exit) { place.Release() }})
		b.exits(launch.Stopped, 1, 0)
		mustWait(t, h)
		if err := place.Fill(h); err != nil || names(r) != "[]" {
			t.Errorf("Fill() = %v, on the roster: %s", err, names(r))
		}
		mustSpawn(t, r, &fakeBody{}, "a")
		_ = r.Close(t.Context())
	})
}

// TestSpawnLimit is PM-3: so many start at once; those that have started, or
// have failed to, make room.
func TestSpawnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(2)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				b := &fakeBody{handshake: never} // slow children hold nobody up
				if _, err := b.spawn(t.Context(), r, fmt.Sprint("p", i), time.Second); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("6 spawns of 1s, 2 at once, took %v", took)
		}
		for range 2 {
			place, err := r.Reserve(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			place.Release()
			place.Release()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		one, _ := r.Reserve(ctx, "one")
		two, _ := r.Reserve(ctx, "two")
		if _, err := r.Reserve(ctx, "three"); err != context.DeadlineExceeded {
			t.Errorf("Reserve() without a free slot = %v, want the end of ctx", err)
		}
		one.Release()
		two.Release()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if len(r.slots) != 0 || len(r.places) != 0 {
			t.Errorf("left: %d slots, %d places", len(r.slots), len(r.places))
		}
	})
}

// TestTerminateAll is PM-4: the count, the names of the failures, the budget.
func TestTerminateAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(0)
		bodies := map[string]*fakeBody{
			"polite":   {drain: time.Second},
			"stubborn": {drain: never, stop: never},
			"immune":   {drain: never, stop: never, kill: never},
			"shy":      {drain: never, stop: never, stopErrs: []error{syscall.EPERM}},
		}
		for name, b := range bodies {
			mustSpawn(t, r, b, name)
		}
		start := time.Now()
		sum := r.TerminateAll(t.Context(), 10*time.Second, 0, "over")
		if took := time.Since(start); took != 13*time.Second {
			t.Errorf("took %v, want the budget and what a kill may take", took)
		}
		if sum.Attempted != 4 || sum.OK != 3 || sum.Failed() != 1 || sum.Failures[0].Name != "immune" || !errors.Is(sum.Err(), errBudget) {
			t.Errorf("summary: %v", sum)
		}
		want := "3 of 4 procs stopped; not: immune (not seen to end within the budget; status: stopping, asked for by the program: over, " +
			"because grace of 10s used up, killed 3s ago and still there: its actors have not returned)"
		if got := sum.String(); got != want {
			t.Errorf("summary\n got %s\nwant %s", got, want)
		}
		bodies["immune"].exits(launch.Killed, 0, syscall.SIGKILL)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if sum := r.TerminateAll(t.Context(), time.Second, 0, "over"); sum.Attempted != 0 || sum.Err() != nil {
			t.Errorf("nobody left: %v", sum)
		}
	})
}

// TestTerminateAllShares is PM-4: the whole stays inside the budget though
// only a few are stopped at once, and everybody gets a part of it.
func TestTerminateAllShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(0)
		var bodies []*fakeBody
		for i := range 10 {
			b := &fakeBody{drain: never, stop: never}
			bodies = append(bodies, b)
			mustSpawn(t, r, b, fmt.Sprint("p", i))
		}
		start := time.Now()
		sum := r.TerminateAll(t.Context(), 10*time.Second, 2, "over")
		if took := time.Since(start); took != 10*time.Second || sum.OK != 10 {
			t.Errorf("%v after %v", sum, took)
		}
		for i, b := range bodies {
			if want := fmt.Sprintf("[drain@%ds stop@%ds kill@%ds]", i/2*2, i/2*2+1, i/2*2+2); b.done() != want {
				t.Errorf("p%d: %s, want %s", i, b.done(), want)
			}
		}
	})
}

// TestSpawnRacesWithTerminateAll is PM-4: included, or refused.
func TestSpawnRacesWithTerminateAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(1)
		var wg sync.WaitGroup
		included := &fakeBody{}
		wg.Go(func() {
			if _, err := included.spawn(t.Context(), r, "starting", 2*time.Second); err != nil {
				t.Errorf("spawn under way: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			start := time.Now()
			if _, err := (&fakeBody{}).spawn(t.Context(), r, "queued", 0); err != ErrDraining || time.Since(start) != 0 {
				t.Errorf("spawn that waits for a slot: %v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			<-time.After(time.Second)
			if _, err := (&fakeBody{}).spawn(t.Context(), r, "late", 0); err != ErrDraining {
				t.Errorf("spawn after it: %v", err)
			}
		})
		if sum := r.TerminateAll(t.Context(), 10*time.Second, 0, "over"); sum.Attempted != 1 || sum.OK != 1 {
			t.Errorf("summary: %v", sum)
		}
		wg.Wait()
		mustSpawn(t, r, &fakeBody{}, "later") // taken again
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := r.Reserve(t.Context(), "never"); err != ErrDraining {
			t.Errorf("spawn after Close: %v", err)
		}
	})
}

// TestSpawnOutlasts: a proc that starts too late for TerminateAll or Close does
// not live.
func TestSpawnOutlasts(t *testing.T) {
	t.Run("TerminateAll", func(t *testing.T) {
		testSpawnOutlasts(t, func(t *testing.T, r *Roster) {
			sum := r.TerminateAll(t.Context(), time.Second, 0, "over")
			if sum.Failed() != 1 || !errors.Is(sum.Err(), errBudget) {
				t.Errorf("summary: %v", sum)
			}
		})
	})
	t.Run("Close", func(t *testing.T) {
		testSpawnOutlasts(t, func(t *testing.T, r *Roster) {
			if err := r.Close(t.Context()); err != nil || names(r) != "[]" {
				t.Errorf("Close() = %v, left %s", err, names(r))
			}
		})
	})
}

func testSpawnOutlasts(t *testing.T, stop func(*testing.T, *Roster)) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(0)
		var wg sync.WaitGroup
		wg.Go(func() {
			b := &fakeBody{}
			if _, err := b.spawn(t.Context(), r, "slow", time.Minute); !errors.Is(err, ErrDraining) || b.done() != "[kill@0s]" {
				t.Errorf("spawn: %v, done %s", err, b.done())
			}
		})
		synctest.Wait()
		stop(t, r)
		wg.Wait()
		if names(r) != "[]" {
			t.Errorf("left %s", names(r))
		}
	})
}

// TestCloseJoins: a second caller waits for the same ends; ctx bounds both.
func TestCloseJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(0)
		b := &fakeBody{kill: time.Second, killErrs: []error{syscall.EPERM}}
		mustSpawn(t, r, b, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, syscall.EPERM) {
			t.Errorf("Close() = %v, want why it could not", err)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := r.Close(t.Context()); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
		}
		wg.Wait()
		if names(r) != "[]" {
			t.Errorf("left %s", names(r))
		}
	})
}
