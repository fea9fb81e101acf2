package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// TestEndpointIsAbsentBeforeReady is PH-2.
func TestEndpointIsAbsentBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{handshake: time.Second}
		h := b.follow(FollowConfig{PID: 42})
		if _, ok := h.Addr(); ok {
			t.Error("there is an address before Ready")
		}
		if _, ok := h.Agent(); ok {
			t.Error("there is an agent before Ready")
		}
		if got, want := h.Status().String(), "running (handshake), pid 42"; got != want {
			t.Errorf("Status() = %q, want %q", got, want)
		}
		present := func() {
			t.Helper()
			addr, ok := h.Addr()
			agent, ok2 := h.Agent()
			if !ok || !ok2 || addr != testEndpoint.Addr || agent != testEndpoint.Agent {
				t.Errorf("in %v: Addr() = %v, %v; Agent() = %v, %v", h.Status().Phase, addr, ok, agent, ok2)
			}
		}
		mustReady(t, h)
		present()
		b.drain = never
		go h.Terminate(context.Background(), time.Minute, "done")
		synctest.Wait()
		if got := h.Status().Phase; got != Stopping {
			t.Errorf("phase = %v, want stopping", got)
		}
		present()
		b.exits(launch.Stopped, 0, 0)
		mustWait(t, h)
		present()
		if h.ID() != testID {
			t.Errorf("ID() = %v", h.ID())
		}
	})
}

// TestReady is PH-3: what Ready says in each phase.
func TestReady(t *testing.T) {
	gone := errors.New("caller is gone")
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{handshake: time.Second, drain: never}
		h := b.follow(FollowConfig{})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(gone) })
		if _, err := h.Ready(ctx); err != gone {
			t.Errorf("Ready() with a ctx that ends = %v, want its cause", err)
		}
		for range 3 { // consumes nothing
			mustReady(t, h)
		}
		go h.Terminate(context.Background(), time.Minute, "done")
		synctest.Wait()
		start := time.Now()
		_, err := h.Ready(t.Context())
		if !errors.Is(err, ErrExited) || errors.Is(err, ErrExitedEarly) {
			t.Errorf("Ready() after the exit = %v, want ErrExited", err)
		}
		if waited := time.Since(start); waited != 30*time.Second {
			t.Errorf("Ready() of a stopping proc waited %v, want the 30s to its end", waited)
		}
		if e, ok := errors.AsType[*ExitedError](err); !ok || e.Exit != mustWait(t, h) || e.ID != testID {
			t.Errorf("Ready() = %#v, want the exit that Wait gives", err)
		}
	})
}

// TestBrokenHandshake is PH-9: what goes wrong before Ready is a cause, and
// only if it made us kill.
func TestBrokenHandshake(t *testing.T) {
	errVersion := errors.New("wrong version")
	tests := []struct {
		name  string
		body  *fakeBody
		act   func(*fakeBody, *Handle)
		is    []error
		isNot []error
		exit  string
		log   string
	}{
		{name: "timeout", body: &fakeBody{handshake: never}, is: []error{ErrReadyTimeout}, isNot: []error{ErrExitedEarly},
			exit: "failed: signal 9 (killed) after 30s in handshake, because handshake timeout after 30s", log: "[kill@30s]"},
		{name: "wrong version", body: &fakeBody{connectErr: errVersion}, is: []error{errVersion}, isNot: []error{ErrExitedEarly},
			exit: "failed: signal 9 (killed) after 500ms in init, because init: wrong version", log: "[kill@500ms]"},
		{name: "wrong version, ends by itself", body: &fakeBody{connectErr: errVersion}, is: []error{errVersion, ErrExitedEarly},
			act: func(b *fakeBody, _ *Handle) {
				time.AfterFunc(time.Millisecond, func() { b.exits(launch.Stopped, 4, 0) })
			},
			exit: "failed: exit 4 after 1ms in init", log: "[]"},
		{name: "crash", body: &fakeBody{handshake: never}, is: []error{ErrExitedEarly}, isNot: []error{ErrReadyTimeout},
			act: func(b *fakeBody, _ *Handle) {
				time.AfterFunc(time.Second, func() { b.exits(launch.Killed, 0, syscall.SIGSEGV) })
			},
			exit: "failed: signal 11 (segmentation fault) after 1s in handshake", log: "[]"},
		{name: "unknown stays unknown", body: &fakeBody{handshake: never}, is: []error{ErrExitedEarly},
			act:  func(b *fakeBody, _ *Handle) { b.exits(launch.Unknown, 0, 0) },
			exit: "unknown after 0s in handshake", log: "[]"},
		{name: "manager gives up", body: &fakeBody{handshake: never}, isNot: []error{ErrExitedEarly},
			act:  func(_ *fakeBody, h *Handle) { h.Fail("control connection lost", time.Second) },
			exit: "failed: signal 9 (killed) after 1s in handshake, because control connection lost", log: "[kill@1s]"},
		{name: "exit comes before the kill", body: &fakeBody{handshake: never}, is: []error{ErrExitedEarly},
			act: func(b *fakeBody, h *Handle) {
				h.Fail("control connection lost", time.Second)
				time.AfterFunc(time.Millisecond, func() { b.exits(launch.Stopped, 4, 0) })
			},
			exit: "failed: exit 4 after 1ms in handshake", log: "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := tt.body.follow(FollowConfig{})
				if tt.act != nil {
					synctest.Wait()
					tt.act(tt.body, h)
				}
				_, err := h.Ready(t.Context())
				for _, target := range append(tt.is, ErrExited) {
					if !errors.Is(err, target) {
						t.Errorf("Ready() = %v, is not %v", err, target)
					}
				}
				for _, target := range append(tt.isNot, context.Canceled, context.DeadlineExceeded) {
					if errors.Is(err, target) {
						t.Errorf("Ready() = %v, is %v", err, target)
					}
				}
				if got := mustWait(t, h).String(); got != tt.exit {
					t.Errorf("exit\n got %s\nwant %s", got, tt.exit)
				}
				if got := tt.body.done(); got != tt.log {
					t.Errorf("what was done = %s, want %s", got, tt.log)
				}
			})
		})
	}
}

// TestReadyThenExit: callbacks and watchers see them in order, callbacks first.
func TestReadyThenExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeBody{handshake: time.Second}
		var mu sync.Mutex
		var order []string
		add := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, s)
		}
		var h *Handle
		set := make(chan struct{})
		h = b.follow(FollowConfig{
			OnReady: func(at Endpoint) {
				<-set
				b.exits(launch.Stopped, 0, 0) // at once
				add(fmt.Sprint("ready, others see ", h.Status().Phase))
			},
			OnExit: func(e Exit) { add(fmt.Sprint("exit, others see ", h.Status().Phase)) },
		})
		close(set)
		last := Starting
		for s := range h.Watch(t.Context()) {
			last = s.Phase
		}
		if want := "[ready, others see running exit, others see ready]"; fmt.Sprint(order) != want || last != Exited {
			t.Errorf("order = %v, then %v; want %s", order, last, want)
		}
		if exit := mustWait(t, h); exit.Kind != launch.Stopped || exit.Ready.IsZero() {
			t.Errorf("exit = %v", exit)
		}
	})
}

// TestHandshakeWinsAgainstTheExit: a handshake that had succeeded when the end
// came makes the proc Ready first, whichever news is seen first.
func TestHandshakeWinsAgainstTheExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := lateReader{}
		b.started, b.end = time.Now(), make(chan struct{})
		var order []string
		h := Follow(FollowConfig{
			ID:      testID,
			OnReady: func(Endpoint) { order = append(order, "ready") },
			OnExit:  func(Exit) { order = append(order, "exit") },
		}, &b)
		synctest.Wait()
		b.exits(launch.Stopped, 3, 0)
		exit := mustWait(t, h)
		if got := fmt.Sprint(order); got != "[ready exit]" {
			t.Errorf("callbacks: %s", got)
		}
		if addr, ok := h.Addr(); !ok || addr != testEndpoint.Addr || exit.Kind != launch.Stopped || exit.Phase != launch.PhaseRunning {
			t.Errorf("Addr() = %v, %v; exit = %v", addr, ok, exit)
		}
		if _, err := h.Ready(t.Context()); !errors.Is(err, ErrExited) || errors.Is(err, ErrExitedEarly) {
			t.Errorf("Ready() = %v", err)
		}
	})
}

// lateReader is a body whose handshake was complete before the end, but is
// read after it.
type lateReader struct{ fakeBody }

func (b *lateReader) Connect(ctx context.Context, _ func(launch.Phase)) (Endpoint, error) {
	<-ctx.Done()
	return testEndpoint, nil
}

// TestWhyTheContextEnds: Connect and Drain learn why they are to return.
func TestWhyTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := causeReader{fakeBody: fakeBody{stop: never}, why: make(chan error, 2)}
		b.started, b.end = time.Now(), make(chan struct{})
		h := Follow(FollowConfig{ID: testID, ReadyTimeout: time.Second}, &b)
		mustWait(t, h)
		if why := <-b.why; why != ErrReadyTimeout {
			t.Errorf("the context of Connect ended with %v", why)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := causeReader{fakeBody: fakeBody{stop: never}, why: make(chan error, 2), ready: true}
		b.started, b.end = time.Now(), make(chan struct{})
		h := Follow(FollowConfig{ID: testID}, &b)
		mustReady(t, h)
		go h.Terminate(context.Background(), 10*time.Second, "done")
		<-time.After(time.Second)
		go h.Terminate(context.Background(), 2*time.Second, "done") // the time to drain is cut short
		if why, at := <-b.why, time.Since(b.started); why != errNextStep || at != 2*time.Second {
			t.Errorf("the context of Drain ended with %v after %v", why, at)
		}
		mustWait(t, h)
	})
}

// TestEndIsNotWhyItFailed: the end takes Connect and Drain with it, which says
// nothing about the proc.
func TestEndIsNotWhyItFailed(t *testing.T) {
	for _, ready := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := causeReader{why: make(chan error, 2), ready: ready}
			b.started, b.end = time.Now(), make(chan struct{})
			h := Follow(FollowConfig{ID: testID}, &b)
			synctest.Wait()
			if ready {
				go h.Terminate(context.Background(), 10*time.Second, "done")
				synctest.Wait()
			}
			b.exits(launch.Stopped, 3, 0)
			mustWait(t, h)
			if why := <-b.why; why != errProcEnded || time.Since(b.started) != 0 {
				t.Errorf("the context ended with %v after %v", why, time.Since(b.started))
			}
			_, err := h.Ready(t.Context())
			if e, ok := errors.AsType[*ExitedError](err); !ok || e.Err != nil {
				t.Errorf("Ready() = %v, with %v", err, e.Err)
			}
		})
	}
}

// causeReader is a body that says why its contexts ended.
type causeReader struct {
	fakeBody
	ready bool
	why   chan error
}

func (b *causeReader) Connect(ctx context.Context, _ func(launch.Phase)) (Endpoint, error) {
	if b.ready {
		return testEndpoint, nil
	}
	return Endpoint{}, b.Drain(ctx, "")
}

func (b *causeReader) Drain(ctx context.Context, _ string) error {
	<-ctx.Done()
	b.why <- context.Cause(ctx)
	return ctx.Err()
}

// TestSpawnError is PM-1.
func TestSpawnError(t *testing.T) {
	t.Run("proc fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := fakeBody{handshake: 2 * time.Second, connectErr: errors.New("no config")}
			_, err := awaitReady(t.Context(), b.follow(FollowConfig{Began: time.Now().Add(-3 * time.Millisecond)}))
			want := "spawn worker: in init: proc alpha/worker~0000000000000007 has exited: " +
				"failed: signal 9 (killed) after 2.5s in init, because init: no config (exec 3ms, handshake 2s, init 500ms)\n\tstderr: last words"
			if err == nil || err.Error() != want {
				t.Errorf("awaitReady()\n got %v\nwant %s", err, want)
			}
		})
	})
	t.Run("caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := fakeBody{handshake: never}
			h := b.follow(FollowConfig{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := awaitReady(ctx, h)
			e, ok := errors.AsType[*SpawnError](err)
			if !ok || !errors.Is(err, context.DeadlineExceeded) || e.Phase != launch.PhaseHandshake || e.Exit != mustWait(t, h) {
				t.Errorf("awaitReady() = %v", err)
			}
			if e.Spent[launch.PhaseHandshake] != time.Second {
				t.Errorf("spent %v", e.Spent)
			}
		})
	})
	t.Run("kernel does not reap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := fakeBody{handshake: never, kill: never}
			h := b.follow(FollowConfig{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := awaitReady(ctx, h)
			if err == nil || !strings.Contains(err.Error(), "its end was not seen") || time.Since(b.started) != time.Second+reapBound {
				t.Errorf("awaitReady() = %v after %v", err, time.Since(b.started))
			}
			b.exits(launch.Killed, 0, syscall.SIGKILL)
		})
	})
}
