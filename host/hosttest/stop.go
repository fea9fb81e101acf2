package hosttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// stopMargin is how much longer than its grace a Terminate may take (PH-12).
const stopMargin = 2 * time.Second

// terminateChecks are about asking a proc to stop (PH-5).
func terminateChecks() []check {
	return []check{
		{name: "PH-5 Terminate drains", run: drains},
		{name: "PH-5 Terminate stops what does not drain", run: func(f *fixture) {
			h := f.spawn("a")
			if _, err := Linger.Call(f.ctx(), f.puppet(h, "p"), actor.None{}); err != nil {
				f.Fatal(err)
			}
			const grace = 3 * time.Second
			began := time.Now()
			e, err := h.Terminate(f.ctx(), grace, "stop")
			if err != nil || !e.OK() || e.Cause != "" {
				f.Errorf("got %v, %v", e, err)
			}
			f.within(grace, began)
		}},
		{name: "PH-5 Terminate kills what does not stop", run: func(f *fixture) {
			h := f.deaf("a")
			const grace = 300 * time.Millisecond
			began := time.Now()
			e, err := h.Terminate(f.ctx(), grace, "stop")
			if took := time.Since(began); err != nil || took < grace {
				f.Errorf("got %v after %v", err, took)
			}
			f.within(grace+stopMargin, began)
			f.forced(e)
			if !strings.Contains(e.Cause, "grace of 300ms used up") || e.Requested.By != "suite" || e.Requested.Why != "stop" || e.Requested.Kill {
				f.Errorf("got %v, want what was asked for and why it was killed", e)
			}
		}},
		{name: "PH-5 no grace is a kill", run: func(f *fixture) {
			h := f.deaf("a")
			began := time.Now()
			e, err := h.Terminate(f.ctx(), 0, "now")
			if err != nil {
				f.Error(err)
			}
			f.within(stopMargin, began)
			f.forced(e)
		}},
		{name: "PH-5 an earlier deadline tightens", run: func(f *fixture) {
			h := f.deaf("a")
			var wg sync.WaitGroup
			wg.Go(func() {
				e, err := h.Terminate(f.ctx(), time.Hour, "first")
				if err != nil || e != f.wait(h) || e.Requested.Why != "first" {
					f.Errorf("the first caller got %v, %v", e, err)
				}
			})
			f.phase(h, host.Stopping)
			began := time.Now()
			if _, err := h.Terminate(f.ctx(), 200*time.Millisecond, "second"); err != nil {
				f.Error(err)
			}
			f.within(200*time.Millisecond+stopMargin, began)
			wg.Wait()
			f.forced(f.wait(h))
		}},
		{name: "PH-5 a later deadline does not loosen", run: func(f *fixture) {
			h := f.deaf("a")
			began := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() { h.Terminate(f.ctx(), 200*time.Millisecond, "first") })
			f.phase(h, host.Stopping)
			e, err := h.Terminate(f.ctx(), time.Hour, "second")
			if err != nil || e.Requested.Why != "first" {
				f.Errorf("got %v, %v", e, err)
			}
			f.within(200*time.Millisecond+stopMargin, began)
			wg.Wait()
		}},
		{name: "PH-5 a proc that is not ready is stopped, too", mute: true, run: func(f *fixture) {
			h := f.mute("a")
			began := time.Now()
			e, err := h.Terminate(f.ctx(), 200*time.Millisecond, "stop")
			if err != nil || !e.Ready.IsZero() || e.Requested.Why != "stop" {
				f.Errorf("got %v, %v", e, err)
			}
			f.within(200*time.Millisecond+stopMargin, began)
		}},
	}
}

// killChecks are about forcing it (PH-6).
func killChecks() []check {
	return []check{
		{name: "PH-6 Kill forces", run: func(f *fixture) {
			h := f.deaf("a")
			began := time.Now()
			e := f.kill(h)
			f.within(stopMargin, began)
			f.forced(e)
			if !e.Requested.Kill || e.Requested.By != "suite" {
				f.Errorf("got %+v", e.Requested)
			}
			if f.inside() == (e.Abandoned == "") {
				f.Errorf("abandoned: %q", e.Abandoned)
			}
		}},
		{name: "PH-6 Kill in the middle of a Terminate", run: func(f *fixture) {
			h := f.deaf("a")
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					e, err := h.Terminate(f.ctx(), time.Hour, "gently")
					if err != nil || e != f.wait(h) {
						f.Errorf("got %v, %v", e, err)
					}
				})
			}
			f.phase(h, host.Stopping)
			e := f.kill(h)
			wg.Wait()
			f.forced(e)
			if e.Requested.Why != "gently" || !e.Requested.Kill || !strings.Contains(e.Cause, "end of the check") {
				f.Errorf("got %v, want both requests", e)
			}
		}},
	}
}

// drains sees that what waits for an actor is handled before its proc ends,
// and that the last messages get out.
func drains(f *fixture) {
	const n = 500
	h := f.spawn("a")
	p := f.puppet(h, "p")
	ctx := f.ctx()
	port, inbox, err := actor.NewPort[int](ctx)
	if err != nil {
		f.Fatal(err)
	}
	defer inbox.Close()
	for i := range n {
		if err := Tell.Send(ctx, p, Told{port, i}); err != nil {
			f.Fatal(err)
		}
	}
	// The answer shows that they have all arrived, not that they are handled.
	if _, err := actor.StatusOf.Call(ctx, actor.AgentOf(h.ID()), actor.None{}); err != nil {
		f.Fatal(err)
	}
	e, err := h.Terminate(ctx, patience, "drain")
	if err != nil || !e.OK() || e.Cause != "" || e.Requested.By != "suite" || e.Requested.Why != "drain" {
		f.Errorf("got %v, %v", e, err)
	}
	for i := range n {
		if got, err := inbox.Recv(ctx); got != i || err != nil {
			f.Fatalf("got %v, %v, want %d", got, err, i)
		}
	}
}

// outcomeChecks are about the one outcome of a proc (PH-7 to PH-14).
func outcomeChecks() []check {
	return []check{
		{name: "PH-4 PH-5 PH-6 100 callers at once see one outcome", run: oneOutcome},
		{name: "PH-7 after the exit calls say so", run: func(f *fixture) {
			h := f.spawn("a")
			want := f.kill(h)
			e, err := h.Terminate(f.ctx(), time.Second, "again")
			if e != want || !errors.Is(err, host.ErrAlreadyExited) {
				f.Errorf("Terminate: %v, %v", e, err)
			}
			e, err = h.Kill(f.ctx(), "again")
			if e != want || !errors.Is(err, host.ErrAlreadyExited) {
				f.Errorf("Kill: %v, %v", e, err)
			}
		}},
		{name: "PH-7 an exit during the call is a success", run: func(f *fixture) {
			h := f.deaf("a")
			var wg sync.WaitGroup
			wg.Go(func() {
				if e, err := h.Terminate(f.ctx(), time.Hour, "gently"); err != nil || e != f.wait(h) {
					f.Errorf("got %v, %v", e, err)
				}
			})
			f.phase(h, host.Stopping)
			f.kill(h)
			wg.Wait()
		}},
		{name: "PH-8 both calls are supported", run: func(f *fixture) {
			a, b := f.spawn("a"), f.spawn("b")
			if _, err := a.Terminate(f.ctx(), patience, "stop"); err != nil {
				f.Errorf("Terminate: %v", err)
			}
			if _, err := b.Kill(f.ctx(), "kill"); err != nil {
				f.Errorf("Kill: %v", err)
			}
		}},
		{name: "PH-9 a handshake that takes too long leads to a kill", mute: true, run: func(f *fixture) {
			s := f.Mute(host.ProcSpec{Name: "a"})
			s.ReadyTimeout = 100 * time.Millisecond
			h := f.start(s)
			_, err := h.Ready(f.ctx())
			e := f.wait(h)
			f.exited(err, e)
			if !errors.Is(err, host.ErrReadyTimeout) || e.Kind != launch.Failed || !strings.Contains(e.Cause, "timeout after 100ms") {
				f.Errorf("got %v, %v", e, err)
			}
		}},
		{name: "PH-10 the outcome never changes", run: func(f *fixture) {
			h := f.spawn("a")
			want, err := h.Terminate(f.ctx(), patience, "the first")
			if err != nil {
				f.Fatal(err)
			}
			h.Kill(f.ctx(), "the second")
			h.Terminate(f.ctx(), 0, "the third")
			f.same("a late waiter", f.wait(h), want)
			f.same("the status", h.Status().Exit, want)
		}},
		{name: "PH-12 waiters are released soon after the end", run: func(f *fixture) {
			h := f.spawn("a")
			began := time.Now()
			e := f.kill(h)
			if late := time.Since(e.Ended); late > time.Second {
				f.Errorf("told %v after the end", late)
			}
			f.within(stopMargin, began)
		}},
		{name: "PH-13 a caller that leaves does not undo a stop", run: func(f *fixture) {
			cause := errors.New("no time")
			over, cancel := context.WithCancelCause(f.ctx())
			cancel(cause)
			a, b := f.spawn("a"), f.deaf("b")
			got, err := a.Terminate(over, patience, "leave")
			f.left(a, got, err, cause)
			if e := f.wait(a); !e.OK() || e.Requested.Why != "leave" {
				f.Errorf("got %v", e)
			}
			got, err = b.Kill(over, "leave")
			f.left(b, got, err, cause)
			if e := f.wait(b); e.Requested.Why != "leave" {
				f.Errorf("got %v", e)
			}
		}},
		{name: "PH-14 lives leave nothing", run: func(f *fixture) {
			f.lives(4) // what is opened once is open now
			before := takeStock(f)
			f.lives(40)
			before.compare(f)
		}},
	}
}

// left checks what a call got whose ctx was over: its cause, or the record if
// the proc was faster.
func (f *fixture) left(h host.ProcHandle, got host.Exit, err, cause error) {
	f.Helper()
	if err == nil {
		f.same("a caller that left", got, f.wait(h))
	} else if err != cause || got != (host.Exit{}) {
		f.Errorf("got %v, %v, want %v", got, err, cause)
	}
}

// oneOutcome calls everything at once, in random order.
func oneOutcome(f *fixture) {
	h := f.spawn("a")
	seed := rand.Uint64()
	f.Logf("seed %d", seed)
	calls := rand.New(rand.NewPCG(seed, 0)).Perm(100)
	begin := make(chan struct{})
	records := make(chan host.Exit, len(calls))
	var wg sync.WaitGroup
	for _, n := range calls {
		wg.Go(func() {
			ctx := f.ctx()
			<-begin
			var e host.Exit
			var err error
			switch n % 4 {
			case 0:
				e, err = h.Terminate(ctx, time.Duration(n)*100*time.Millisecond, "terminate")
			case 1:
				e, err = h.Kill(ctx, "kill")
			case 2:
				e, err = h.Wait(ctx)
			case 3:
				if _, err = h.Ready(ctx); err == nil {
					e, err = h.Wait(ctx)
				} else if ended, ok := errors.AsType[*host.ExitedError](err); ok {
					e, err = ended.Exit, nil
				}
			}
			if err != nil && !errors.Is(err, host.ErrAlreadyExited) {
				f.Errorf("call %d: %v", n, err)
			}
			records <- e
		})
	}
	close(begin)
	wg.Wait()
	close(records)
	want := f.wait(h)
	for e := range records {
		f.same("a caller", e, want)
	}
}
