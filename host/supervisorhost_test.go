package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// TestHostSpawnSupervises: the handle is that of the first incarnation, Proc
// has the current one, and the name is taken all the time.
func TestHostSpawnSupervises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStage(t, crash(5*time.Second), &script{})
		h := New(Config{Manager: m})
		first, err := h.Spawn(t.Context(), worker(restart.OnFailure))
		if err != nil {
			t.Fatal(err)
		}
		if exit := mustWait(t, first); exit.Code != 1 {
			t.Errorf("the first incarnation: %v", exit)
		}
		for _, spec := range []ProcSpec{worker(restart.Never), worker(restart.OnFailure)} {
			if _, err := h.Spawn(t.Context(), spec); !errors.Is(err, ErrProcExists) {
				t.Errorf("a second one while it waits: %v", err)
			}
		}
		<-time.After(time.Second)
		synctest.Wait()
		second, ok := h.Proc("worker")
		if !ok || second.ID() == first.ID() || second.ID().Name != "worker" {
			t.Fatalf("Proc() = %v, %v", second, ok)
		}
		if first.Status().Exit.Code != 1 {
			t.Errorf("the first handle follows another proc: %v", first.Status())
		}
		if _, err := second.Terminate(t.Context(), time.Second, "enough"); err != nil {
			t.Error(err)
		}
		third, err := h.Spawn(t.Context(), worker(restart.OnFailure)) // free as soon as the exit is known (PM-2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := third.Kill(t.Context(), "enough"); err != nil {
			t.Error(err)
		}
		if p, err := h.Spawn(t.Context(), worker(restart.Never)); err != nil {
			t.Error(err)
		} else if _, err := p.Kill(t.Context(), "enough"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if names(m.Roster) != "[]" || len(h.wards.byName) != 0 {
			t.Errorf("left: %v, %v", names(m.Roster), h.wards.byName)
		}
	})
}

// TestHostSpawnFirstRun: whoever calls Spawn hears of a proc that does not
// become ready; it is not tried again, and nothing is left (PM-1).
func TestHostSpawnFirstRun(t *testing.T) {
	spec := worker(restart.Always)
	spec.ReadyTimeout = time.Second
	once := spec // its first run is nobody else's affair
	once.RestartLimits.MaxUnready = 1
	broken := worker(restart.Always)
	broken.RestartLimits.Within = -1
	for _, test := range []struct {
		name   string
		script *script
		spec   ProcSpec
		want   string
		spawns int
	}{
		{"cannot be started", &script{err: errors.New("no way")}, spec, "no way", 0},
		{"ends early", &script{fakeBody: fakeBody{handshake: never}, lives: time.Millisecond, code: 3}, once, "exit 3", 1},
		{"is not ready in time", &script{fakeBody: fakeBody{handshake: never}}, spec, "handshake timeout after 1s", 1},
		{"is not ready in ctx", &script{fakeBody: fakeBody{handshake: never}}, worker(restart.Always), "deadline exceeded", 1},
		{"limits that mean nothing", &script{}, broken, "within -1ns", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newStage(t, test.script)
				h := New(Config{Manager: m, OnGiveUp: func(e *GaveUpError) { t.Error(e) }})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := h.Spawn(ctx, test.spec)
				if _, ok := errors.AsType[*SpawnError](err); !ok || !strings.Contains(err.Error(), test.want) {
					t.Errorf("Spawn() = %v, want %q", err, test.want)
				}
				if names(m.Roster) != "[]" || len(h.wards.byName) != 0 {
					t.Errorf("left: %v, %v", names(m.Roster), h.wards.byName)
				}
				<-time.After(time.Hour)
				if n := len(m.played()); n != test.spawns {
					t.Errorf("%d spawns, want %d", n, test.spawns)
				}
			})
		})
	}
}

// TestHostGivesUp: the hook is told, once; without it the log is.
func TestHostGivesUp(t *testing.T) {
	for _, hook := range []bool{true, false} {
		t.Run(fmt.Sprint("hook ", hook), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []*GaveUpError
				var log strings.Builder
				cfg := Config{Manager: newStage(t, crash(time.Second)), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))}
				if hook {
					cfg.OnGiveUp = func(e *GaveUpError) { told = append(told, e) }
				}
				s, err := New(cfg).Supervise(t.Context(), worker(restart.Always))
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.Wait(t.Context())
				switch {
				case hook && (len(told) != 1 || told[0] != err || log.Len() != 0):
					t.Errorf("told %v and %q, want %v", told, log.String(), err)
				case !hook && !strings.Contains(log.String(), "msg=\"proc given up\" proc=worker incarnation=10"):
					t.Errorf("log: %q", log.String())
				}
			})
		})
	}
}

// TestTerminateAllEndsSupervisors: no proc comes back, whatever it was doing,
// and later ones are taken again.
func TestTerminateAllEndsSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := crash(time.Second)
		slow.start = 700 * time.Millisecond
		m := newStage(t,
			&script{},                         // runs
			crash(time.Second),                // waits
			crash(500*time.Millisecond),       // waits for less
			crash(400*time.Millisecond), slow) // is being started again
		h := New(Config{Manager: m})
		var all []*Supervisor
		for i := range 4 {
			spec := worker(restart.Always)
			spec.Name = fmt.Sprint("worker-", i)
			spec.RestartLimits.Backoff.Min = time.Second
			s, err := h.Supervise(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		<-time.After(1450 * time.Millisecond)
		synctest.Wait()
		sum := h.TerminateAll(As(t.Context(), "somebody"), time.Second, 0, "enough")
		if sum.Attempted != 2 || sum.OK != 2 {
			t.Errorf("summary: %v", sum)
		}
		for i, s := range all {
			if !s.isOver() {
				t.Errorf("supervisor %d is not over", i)
			}
		}
		spawns := len(m.played())
		<-time.After(time.Hour)
		if n := len(m.played()); n != spawns || names(m.Roster) != "[]" || len(h.wards.byName) != 0 {
			t.Errorf("%d spawns, then %d; left %s, %v", spawns, n, names(m.Roster), h.wards.byName)
		}
		if _, err := h.Spawn(t.Context(), worker(restart.Never)); err != nil {
			t.Errorf("Spawn() later = %v", err)
		}
	})
}

// TestTerminateAllOutlasted: a restart that takes longer than the budget does
// not live.
func TestTerminateAllOutlasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &script{start: time.Minute}
		m := newStage(t, crash(time.Second), slow)
		h := New(Config{Manager: m})
		s, err := h.Supervise(t.Context(), worker(restart.Always))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second)
		if sum := h.TerminateAll(t.Context(), time.Second, 0, "enough"); sum.Failed() != 1 || s.isOver() {
			t.Errorf("summary: %v", sum)
		}
		if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 1 || names(m.Roster) != "[]" {
			t.Errorf("Wait() = %v, %v; left %s", exit, err, names(m.Roster))
		}
	})
}

// TestSuperviseWhileDraining: what comes during a TerminateAll is refused.
func TestSuperviseWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStage(t, &script{fakeBody: fakeBody{drain: never, stop: never}}, &script{})
		h := New(Config{Manager: m})
		if _, err := h.Supervise(t.Context(), worker(restart.Always)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if sum := h.TerminateAll(t.Context(), time.Minute, 0, "enough"); sum.Err() != nil {
				t.Error(sum)
			}
		})
		synctest.Wait()
		spec := worker(restart.Always)
		spec.Name = "late"
		if _, err := h.Supervise(t.Context(), spec); !errors.Is(err, ErrDraining) {
			t.Errorf("Supervise() = %v", err)
		}
		wg.Wait()
		if s, err := h.Supervise(t.Context(), spec); err != nil {
			t.Error(err)
		} else if _, err := s.Kill(t.Context(), "over"); err != nil {
			t.Error(err)
		}
	})
}

// TestHaltedHost: a host that is about to stop its procs supervises no new
// ones, even if its manager would still take them.
func TestHaltedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Manager: newStage(t, &script{})})
		h.wards.halt("somebody", "enough")
		if _, err := h.Spawn(t.Context(), worker(restart.Always)); !errors.Is(err, ErrDraining) {
			t.Errorf("Spawn() = %v", err)
		}
		h.wards.accept()
		if _, err := h.Spawn(t.Context(), worker(restart.Always)); err != nil {
			t.Error(err)
		}
		h.TerminateAll(t.Context(), time.Second, 0, "over")
	})
}

// TestStopAllAtAnyMoment: whenever everything is stopped, nothing comes back.
func TestStopAllAtAnyMoment(t *testing.T) {
	for at := time.Duration(0); at <= 4*time.Second; at += 125 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			spec := worker(restart.Always)
			spec.RestartLimits.Backoff.Min = 500 * time.Millisecond
			slow := crash(500 * time.Millisecond)
			slow.start = 500 * time.Millisecond
			m := newStage(t, slow)
			h := New(Config{Manager: m, OnGiveUp: func(e *GaveUpError) { t.Error(e) }})
			var wg sync.WaitGroup
			wg.Go(func() {
				if s, err := h.Supervise(t.Context(), spec); err == nil {
					_, _ = s.Wait(t.Context())
				} else if !errors.Is(err, ErrDraining) {
					t.Error(err)
				}
			})
			<-time.After(at)
			synctest.Wait()
			if sum := h.TerminateAll(t.Context(), time.Second, 0, "enough"); sum.Err() != nil {
				t.Errorf("at %v: %v", at, sum)
			}
			wg.Wait()
			if names(m.Roster) != "[]" || len(h.wards.byName) != 0 {
				t.Errorf("at %v: left %s, %v", at, names(m.Roster), h.wards.byName)
			}
		})
	}
}

// TestShutdownEndsSupervisors: a host that is shut down is rid of them, and
// takes no more.
func TestShutdownEndsSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := id.Proc{Host: "alpha", Name: "service", UID: 1}
		gw := gateway.New(gateway.Config{Self: service})
		newProc := func(p id.Proc) *actor.Proc {
			proc, err := actor.NewProc(actor.Config{ID: p, Gateway: gw})
			if err != nil {
				t.Fatal(err)
			}
			return proc
		}
		m := newStage(t, crash(time.Second))
		h := New(Config{
			Name: "alpha", Gateway: gw, Manager: m,
			Service: newProc(service), Local: newProc(id.Proc{Host: "alpha", Name: "local", UID: 2}),
		})
		s, err := h.Supervise(t.Context(), worker(restart.Always))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(1500 * time.Millisecond)
		start := time.Now()
		if sum, err := h.Shutdown(t.Context(), time.Second, "enough"); err != nil || sum.Attempted != 0 || time.Since(start) != 0 {
			t.Errorf("Shutdown() = %v, %v after %v", sum, err, time.Since(start))
		}
		if exit, err := s.Wait(t.Context()); err != nil || exit.Kind != launch.Stopped || !s.isOver() {
			t.Errorf("Wait() = %v, %v", exit, err)
		}
		if _, err := h.Supervise(t.Context(), worker(restart.Always)); !errors.Is(err, ErrDraining) {
			t.Errorf("Supervise() after it = %v", err)
		}
	})
}

// TestRestartRateOfHost: procs that fail together do not come back together.
func TestRestartRateOfHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStage(t, crash(time.Second))
		h := New(Config{Manager: m, RestartRate: restart.Rate{PerSecond: 2, Burst: 3}})
		start := time.Now()
		var all []*Supervisor
		for i := range 10 {
			spec := worker(restart.OnFailure)
			spec.Name = fmt.Sprint("worker-", i)
			s, err := h.Supervise(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		m.mu.Lock()
		m.scripts = []*script{{}}
		m.mu.Unlock()
		var when []time.Duration
		for _, s := range all {
			for e := range s.Events(t.Context()) {
				if e.Kind == EventReady && e.Incarnation == 2 {
					when = append(when, e.Time.Sub(start))
					break
				}
			}
		}
		at := map[time.Duration]int{}
		for _, d := range when {
			at[d]++
		}
		if want := "map[2s:3 2.5s:1 3s:1 3.5s:1 4s:1 4.5s:1 5s:1 5.5s:1]"; fmt.Sprint(at) != want {
			t.Errorf("got %v, want %s", at, want)
		}
		if sum := h.TerminateAll(t.Context(), time.Second, 0, "over"); sum.OK != 10 {
			t.Error(sum)
		}
	})
}
