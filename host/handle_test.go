package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// TestStop shows each way that a stop can go (PH-5, PH-6): what is done to the
// proc, and what the record says.
func TestStop(t *testing.T) {
	const grace = 10 * time.Second
	terminate := func(h *Handle) (Exit, error) { return h.Terminate(context.Background(), grace, "done") }
	tests := []struct {
		name string
		body *fakeBody
		cfg  FollowConfig
		stop func(*Handle) (Exit, error)
		log  string
		exit string
	}{
		{"drains and ends", &fakeBody{drain: time.Second}, FollowConfig{}, terminate,
			"[drain@1s]", "stopped: exit 0 after 2s, asked for by the program: done"},
		{"drains but stays", &fakeBody{stays: true}, FollowConfig{}, terminate,
			"[drain@1s stop@6s]", "stopped: exit 0 after 6s, asked for by the program: done"},
		{"drain fails", &fakeBody{drain: time.Second, drainErr: errors.New("no")}, FollowConfig{}, terminate,
			"[drain@1s stop@2s]", "stopped: exit 0 after 2s, asked for by the program: done"},
		{"drain takes too long", &fakeBody{drain: never}, FollowConfig{}, terminate,
			"[drain@1s stop@6s]", "stopped: exit 0 after 6s, asked for by the program: done"},
		{"obeys SIGTERM slowly", &fakeBody{drain: never, stop: 2 * time.Second}, FollowConfig{}, terminate,
			"[drain@1s stop@6s]", "stopped: exit 0 after 8s, asked for by the program: done"},
		{"ignores everything", &fakeBody{drain: never, stop: never}, FollowConfig{}, terminate,
			"[drain@1s stop@6s kill@11s]",
			"killed: signal 9 (killed) after 11s, because grace of 10s used up, asked for by the program: done"},
		{"is not ready", &fakeBody{handshake: never}, FollowConfig{}, terminate,
			"[stop@1s]", "stopped: exit 0 after 1s, asked for by the program: done"},
		{"is not ready and ignores SIGTERM", &fakeBody{handshake: never, stop: never}, FollowConfig{ReadyTimeout: 3 * time.Second}, terminate,
			"[stop@1s kill@11s]",
			"killed: signal 9 (killed) after 11s, because grace of 10s used up, asked for by the program: done"},
		{"no grace", &fakeBody{}, FollowConfig{},
			func(h *Handle) (Exit, error) { return h.Terminate(context.Background(), 0, "done") },
			"[kill@1s]", "killed: signal 9 (killed) after 1s, because no grace was given, asked for by the program: done"},
		{"kill", &fakeBody{}, FollowConfig{},
			func(h *Handle) (Exit, error) { return h.Kill(As(context.Background(), "ops"), "stuck") },
			"[kill@1s]", "killed: signal 9 (killed) after 1s, asked for by ops: stuck"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := tt.body.follow(tt.cfg)
				<-time.After(time.Second)
				exit, err := tt.stop(h)
				if err != nil {
					t.Fatalf("stop = %v", err)
				}
				if got := tt.body.done(); got != tt.log {
					t.Errorf("what was done = %s, want %s", got, tt.log)
				}
				if got := exit.String(); got != tt.exit {
					t.Errorf("exit\n got %s\nwant %s", got, tt.exit)
				}
				if exit.Phase != launch.PhaseStopping {
					t.Errorf("exit.Phase = %v, want stopping", exit.Phase)
				}
				if got := mustWait(t, h); got != exit {
					t.Errorf("Wait() = %v, stop returned %v", got, exit)
				}
			})
		})
	}
}

// TestOneOutcome is PH-4, PH-5, PH-6 and PH-10: whoever asks for whatever and
// in whatever order, all see one exit.
func TestOneOutcome(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			bodies := []fakeBody{{}, {drain: never, stop: never}, {handshake: never, stop: time.Second}, {stays: true}}
			b := &bodies[rng.IntN(len(bodies))]
			h := b.follow(FollowConfig{})
			var mu sync.Mutex
			seen := make(map[Exit]int)
			saw := func(what string, exit Exit, err error) {
				mu.Lock()
				defer mu.Unlock()
				seen[exit]++
				if err != nil && !errors.Is(err, ErrAlreadyExited) {
					t.Errorf("%s = %v", what, err)
				}
			}
			var wg sync.WaitGroup
			for i := range 100 {
				delay := time.Duration(rng.IntN(2000)) * time.Millisecond
				grace := time.Duration(rng.IntN(8)) * time.Second
				wg.Go(func() {
					<-time.After(delay)
					switch i % 10 {
					case 0:
						exit, err := h.Kill(t.Context(), "kill")
						saw("Kill", exit, err)
					case 1, 2, 3:
						exit, err := h.Terminate(t.Context(), grace, "terminate")
						saw("Terminate", exit, err)
					case 4, 5:
						if _, err := h.Ready(t.Context()); err != nil {
							e, ok := errors.AsType[*ExitedError](err)
							if !ok {
								t.Errorf("Ready = %v", err)
								return
							}
							saw("Ready", e.Exit, nil)
						}
					case 6:
						var last Status
						for s := range h.Watch(t.Context()) {
							if s.Phase < last.Phase {
								t.Errorf("phase went from %v to %v", last.Phase, s.Phase)
							}
							last = s
						}
						saw("Watch", last.Exit, nil)
					default:
						exit, err := h.Wait(t.Context())
						saw("Wait", exit, err)
					}
				})
			}
			wg.Wait()
			if len(seen) != 1 {
				t.Errorf("seed %d: %d different exits seen: %v", seed, len(seen), seen)
			}
		})
	}
}

// TestTighten is PH-5: an earlier deadline counts, a later one does not.
func TestTighten(t *testing.T) {
	tests := []struct {
		graces []time.Duration // one caller a second
		log    string
		cause  string
	}{
		{[]time.Duration{10 * time.Second, 4 * time.Second}, "[drain@0s stop@3s kill@5s]", "grace of 4s used up"},
		{[]time.Duration{10 * time.Second, time.Hour}, "[drain@0s stop@5s kill@10s]", "grace of 10s used up"},
		{[]time.Duration{10 * time.Second, 8500 * time.Millisecond}, "[drain@0s stop@5s kill@9.5s]", "grace of 8.5s used up"},
		{[]time.Duration{10 * time.Second, 8 * time.Second, 0}, "[drain@0s kill@2s]", "no grace was given"},
		{[]time.Duration{3 * time.Second, 2 * time.Second}, "[drain@0s stop@1.5s kill@3s]", "grace of 3s used up"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.graces), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := fakeBody{stays: true, stop: never}
				h := b.follow(FollowConfig{})
				mustReady(t, h)
				var wg sync.WaitGroup
				for i, grace := range tt.graces {
					wg.Go(func() {
						<-time.After(time.Duration(i) * time.Second)
						ctx := As(t.Context(), fmt.Sprint("caller ", i))
						if exit, err := h.Terminate(ctx, grace, "done"); err != nil || exit.Requested.By != "caller 0" {
							t.Errorf("Terminate() = %v, %v; want one asked for by caller 0", exit, err)
						}
					})
				}
				wg.Wait()
				if got := b.done(); got != tt.log {
					t.Errorf("what was done = %s, want %s", got, tt.log)
				}
				if got := mustWait(t, h).Cause; got != tt.cause {
					t.Errorf("cause = %q, want %q", got, tt.cause)
				}
			})
		})
	}
}

// TestKillOvertakesTerminate is PH-6.
func TestKillOvertakesTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{drain: never}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		var wg sync.WaitGroup
		var terminated Exit
		wg.Go(func() { terminated, _ = h.Terminate(As(t.Context(), "main"), time.Minute, "done") })
		<-time.After(time.Second)
		exit, err := h.Kill(As(t.Context(), "ops"), "stuck")
		wg.Wait()
		if err != nil || terminated != exit {
			t.Errorf("Kill() = %v, %v; Terminate() = %v", exit, err, terminated)
		}
		want := launch.Request{By: "main", Why: "done", At: b.started, Kill: true}
		if exit.Kind != launch.Killed || exit.Requested != want || exit.Cause != "ops killed it: stuck" {
			t.Errorf("exit = %v, requested %+v", exit, exit.Requested)
		}
	})
}

// TestAlreadyExited is PH-7.
func TestAlreadyExited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		b.exits(launch.Stopped, 3, 0)
		exit := mustWait(t, h)
		if exit.Kind != launch.Stopped || exit.Code != 3 || exit.Phase != launch.PhaseRunning {
			t.Errorf("exit = %v", exit)
		}
		if got, err := h.Terminate(t.Context(), time.Second, "done"); got != exit || err != ErrAlreadyExited {
			t.Errorf("Terminate() = %v, %v", got, err)
		}
		if got, err := h.Kill(t.Context(), "done"); got != exit || err != ErrAlreadyExited {
			t.Errorf("Kill() = %v, %v", got, err)
		}
		h.Fail("too late", 0)
		synctest.Wait()
		if got := mustWait(t, h); got != exit || b.done() != "[]" {
			t.Errorf("exit changed to %v; done: %s", got, b.done())
		}
	})
}

// TestFailAfterReady: a lost connection is no exit, and its kill is named (PH-9).
func TestFailAfterReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{kill: time.Second}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		h.Fail("control connection lost", 2*time.Second)
		synctest.Wait()
		if s := h.Status(); s.Phase != Ready || s.Cause != "control connection lost" {
			t.Errorf("status = %v", s)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if s := h.Status(); s.Phase != Stopping || s.KillSent != time.Now() {
			t.Errorf("status = %v", s)
		}
		go h.Terminate(context.Background(), time.Minute, "too late to explain anything")
		want := "killed: signal 9 (killed) after 3s, because control connection lost"
		if exit := mustWait(t, h); exit.String() != want || exit.Phase != launch.PhaseRunning {
			t.Errorf("exit = %v in %v\nwant %s in running", exit, exit.Phase, want)
		}
	})
}

// TestFailWhileStopping: a proc that ends closes its connections first, and has
// its whole grace all the same.
func TestFailWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{stays: true}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		time.AfterFunc(time.Second, func() { h.Fail("its control connection was lost", 500*time.Millisecond) })
		exit, err := h.Terminate(t.Context(), 10*time.Second, "enough")
		if want := "stopped: exit 0 after 5s, asked for by the program: enough"; err != nil || exit.String() != want {
			t.Errorf("got %v, %v; want %s", exit, err, want)
		}
	})
}

// TestSignalError is PH-11.
func TestSignalError(t *testing.T) {
	eperm := syscall.EPERM
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{drain: never, stop: never, stopErrs: []error{eperm}, killErrs: []error{eperm, eperm, eperm}}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		_, err := h.Terminate(t.Context(), 10*time.Second, "done")
		e, ok := errors.AsType[*SignalError](err)
		if !ok || e.Op != "stop" || !errors.Is(err, eperm) || time.Since(b.started) != 5*time.Second {
			t.Fatalf("Terminate() = %v after %v", err, time.Since(b.started))
		}
		if s := h.Status(); s.Phase != Stopping {
			t.Errorf("phase = %v, want stopping", s.Phase)
		}
		_, err = h.Kill(t.Context(), "stuck")
		if e, ok := errors.AsType[*SignalError](err); !ok || e.Op != "kill" {
			t.Fatalf("Kill() = %v", err)
		}
		exit := mustWait(t, h) // the escalation goes on
		if got, want := b.done(), "[drain@0s stop@5s kill@5s kill@6s kill@7s kill@8s]"; got != want {
			t.Errorf("what was done = %s, want %s", got, want)
		}
		if exit.Kind != launch.Killed || !exit.Requested.Kill {
			t.Errorf("exit = %v, requested %+v", exit, exit.Requested)
		}
	})
}

// TestKillIsTriedAgain is PH-11: also when nobody waits for it. Once the proc
// is to be killed, its time to become ready does not matter any more.
func TestKillIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{handshake: never, killErrs: make([]error, 4)}
		for i := range b.killErrs {
			b.killErrs[i] = syscall.EPERM
		}
		h := b.follow(FollowConfig{ReadyTimeout: 2500 * time.Millisecond})
		h.Fail("control connection lost", 0)
		if got, want := mustWait(t, h).Cause, "control connection lost"; got != want {
			t.Errorf("cause = %q, want %q", got, want)
		}
		if got, want := b.done(), "[kill@0s kill@1s kill@2s kill@3s kill@4s]"; got != want {
			t.Errorf("what was done = %s, want %s", got, want)
		}
	})
}

// TestSignalErrorIsForItsCaller is PH-11: who terminates does not hear that
// somebody else's kill could not be sent.
func TestSignalErrorIsForItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{drain: never, killErrs: []error{syscall.EPERM}}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		var wg sync.WaitGroup
		wg.Go(func() {
			if exit, err := h.Terminate(t.Context(), 10*time.Second, "done"); err != nil {
				t.Errorf("Terminate() = %v, %v", exit, err)
			}
		})
		<-time.After(time.Second)
		if _, err := h.Kill(t.Context(), "stuck"); !errors.Is(err, syscall.EPERM) {
			t.Errorf("Kill() = %v", err)
		}
		wg.Wait()
		if got, want := b.done(), "[drain@0s kill@1s kill@2s]"; got != want {
			t.Errorf("what was done = %s, want %s", got, want)
		}
	})
}

// TestCallersWhoLeaveAreForgotten: a proc that outlives its impatient callers
// does not collect them.
func TestCallersWhoLeaveAreForgotten(t *testing.T) {
	o := newOwner(&Handle{id: testID}, FollowConfig{}.withDefaults(), &fakeBody{})
	c := &caller{}
	o.handle(arrived{c, tick{}})
	if len(o.callers) != 1 {
		t.Errorf("%d callers wait, want 1", len(o.callers))
	}
	o.handle(left{c})
	if len(o.callers) != 0 {
		t.Errorf("%d callers wait, want none", len(o.callers))
	}
}

// TestSignalErrorThenSuccess is PH-11: the call can be repeated.
func TestSignalErrorThenSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{handshake: never, stopErrs: []error{syscall.EPERM}}
		h := b.follow(FollowConfig{})
		var wg sync.WaitGroup
		wg.Go(func() { mustWait(t, h) })
		for i := range 2 {
			exit, err := h.Terminate(t.Context(), 10*time.Second, "done")
			if _, failed := errors.AsType[*SignalError](err); failed != (i == 0) {
				t.Errorf("call %d: Terminate() = %v, %v", i, exit, err)
			}
		}
		wg.Wait()
		if got, want := b.done(), "[stop@0s stop@0s]"; got != want {
			t.Errorf("what was done = %s, want %s", got, want)
		}
	})
}

// TestKernelDoesNotReap is PH-12: nothing is made up, and Status says so.
func TestKernelDoesNotReap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{stop: never, kill: never, drain: never}
		h := b.follow(FollowConfig{PID: 42})
		mustReady(t, h)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		noted := make(chan time.Duration, 1)
		go func() {
			for s := range h.Watch(t.Context()) {
				if s.Note != "" {
					noted <- time.Since(b.started)
					return
				}
			}
		}()
		if _, err := h.Terminate(ctx, 5*time.Second, "done"); err != context.DeadlineExceeded {
			t.Errorf("Terminate() = %v, want the end of ctx", err)
		}
		if at := <-noted; at != 7*time.Second {
			t.Errorf("Status said so after %v, want 7s", at)
		}
		want := "stopping, pid 42, asked for by the program: done, because grace of 5s used up, " +
			"killed 5s ago and still there: the kernel has not ended it (uninterruptible)"
		if got := h.Status().String(); got != want {
			t.Errorf("status\n got %s\nwant %s", got, want)
		}
		b.exits(launch.Killed, 0, syscall.SIGKILL)
		if got := mustWait(t, h).Cause; got != "grace of 5s used up" {
			t.Errorf("cause = %q", got)
		}
	})
}

// TestContextBoundsTheWaitOnly is PH-13: a stop goes on without its callers,
// and starts even if ctx is over before.
func TestContextBoundsTheWaitOnly(t *testing.T) {
	gone := errors.New("caller is gone")
	for name, stop := range map[string]func(*Handle, context.Context) (Exit, error){
		"[drain@0s stop@2s kill@4s]": func(h *Handle, ctx context.Context) (Exit, error) { return h.Terminate(ctx, 4*time.Second, "") },
		"[kill@0s]":                  func(h *Handle, ctx context.Context) (Exit, error) { return h.Kill(ctx, "") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := fakeBody{drain: never, stop: never, kill: time.Second}
				h := b.follow(FollowConfig{})
				mustReady(t, h)
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(gone)
				if _, err := stop(h, ctx); err != gone {
					t.Errorf("stop = %v, want the cause of ctx", err)
				}
				if _, err := h.Wait(ctx); err != gone {
					t.Errorf("Wait() = %v, want the cause of ctx", err)
				}
				exit := mustWait(t, h)
				if got := b.done(); got != name {
					t.Errorf("what was done = %s, want %s", got, name)
				}
				if got, err := h.Wait(ctx); err != nil || got != exit {
					t.Errorf("Wait() after the exit = %v, %v", got, err)
				}
			})
		})
	}
}

// TestStopAfterTheEnd: who asks, or what breaks, while the output of a dead
// proc is still being read has not ended it.
func TestStopAfterTheEnd(t *testing.T) {
	for name, late := range map[string]func(*Handle){
		"kill":      func(h *Handle) { _, _ = h.Kill(context.Background(), "too late") },
		"terminate": func(h *Handle) { _, _ = h.Terminate(context.Background(), time.Minute, "too late") },
		"fail":      func(h *Handle) { h.Fail("control connection lost", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := fakeBody{reading: 500 * time.Millisecond}
				h := b.follow(FollowConfig{})
				mustReady(t, h)
				b.exits(launch.Stopped, 3, 0)
				<-time.After(100 * time.Millisecond)
				go late(h)
				exit := mustWait(t, h)
				if got, want := exit.String(), "stopped: exit 3 after 0s"; got != want || exit.Phase != launch.PhaseRunning {
					t.Errorf("exit = %s in %v, want %s in running", got, exit.Phase, want)
				}
			})
		})
	}
}

// TestStopOnceTheEndWasSeen: who asks so late that nobody can know of it any
// more is told.
func TestStopOnceTheEndWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		publish := make(chan struct{})
		var b fakeBody
		h := b.follow(FollowConfig{OnExit: func(Exit) { <-publish }})
		mustReady(t, h)
		b.exits(launch.Stopped, 3, 0)
		synctest.Wait()
		go func() {
			synctest.Wait()
			close(publish)
		}()
		if exit, err := h.Terminate(t.Context(), time.Minute, "too late"); exit.Code != 3 || !errors.Is(err, ErrAlreadyExited) {
			t.Errorf("Terminate() = %v, %v", exit, err)
		}
	})
}

// TestWatchEnds: with its context, or when the loop is left.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{handshake: time.Second}
		h := b.follow(FollowConfig{Suspended: func() bool { return true }})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var seen []string
		for s := range h.Watch(ctx) {
			seen = append(seen, s.String())
		}
		if seen[0] != "running (handshake), suspended" || seen[len(seen)-1] != "ready, suspended" {
			t.Errorf("seen %q", seen)
		}
		for s := range h.Watch(t.Context()) {
			if s.Phase != Ready {
				t.Errorf("first status: %v", s)
			}
			break
		}
		b.exits(launch.Stopped, 0, 0)
		mustWait(t, h)
		if got, want := h.Status().String(), "stopped: exit 0 after 2s"; got != want {
			t.Errorf("status = %q, want %q", got, want)
		}
	})
}
