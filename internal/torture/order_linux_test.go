package torture

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// orderRows is about things that happen in the same instant. They run in
// virtual time, where instants exist, with a proc that is made up.
func orderRows() []row {
	return []row{
		{number: 19, name: "ready at the deadline",
			done:  "a proc becomes ready at, just before, just after its deadline; virtual time, 3000 tries, the scheduler decides",
			holds: "ready or a timeout, exactly one of both; nobody is killed after ready has won",
			run: func(f *fixture) {
				f.virtually(3000, func(t *testing.T, r *rapid.T) { readyAtDeadline(t, r) })
			}},
		{number: 21, name: "gone before it is known",
			done:  "a proc has ended before anybody has heard that it runs; virtual time",
			holds: "start and exit in that order, one exit",
			run: func(f *fixture) {
				f.virtually(300, func(t *testing.T, _ *rapid.T) { goneAtOnce(t) })
			}},
		{number: 32, name: "exits at the deadline",
			done:  "a proc exits in the instant in which its grace is used up; virtual time, 1000 tries",
			holds: "one outcome, the same for all; what the kernel says decides",
			run: func(f *fixture) {
				f.virtually(1000, func(t *testing.T, r *rapid.T) { exitsAtDeadline(t, r) })
			}},
		{number: 37, name: "deadlines of many",
			done:  "Terminate with 10 s, then 1 s, then 1 h; virtual time",
			holds: "killed after 1 s: a later deadline loosens nothing (PH-5)",
			run: func(f *fixture) {
				f.virtually(100, func(t *testing.T, _ *rapid.T) { tightened(t) })
			}},
		{number: 38, name: "Kill during Terminate",
			done:  "Kill at any moment of a Terminate of 10 s; virtual time, 300 tries",
			holds: "SIGKILL at once, and one outcome for both callers (PH-6)",
			run: func(f *fixture) {
				f.virtually(300, func(t *testing.T, r *rapid.T) { killedMeanwhile(t, r) })
			}},
		{number: 121, name: "histories of calls",
			done:  "up to 12 calls of Ready, Wait, Terminate and Kill at any times on a proc that ends at any time; virtual time, 500 histories",
			holds: "all records are equal; ErrAlreadyExited only after the end; no call before the end returns an exit",
			run: func(f *fixture) {
				f.virtually(500, func(t *testing.T, r *rapid.T) { history(t, r) })
			}},
	}
}

// virtually runs check n times, each in a bubble of virtual time.
func (f *fixture) virtually(n int, check func(t *testing.T, r *rapid.T)) {
	f.Helper()
	tries := 0
	for tries < n {
		rapid.Check(f.T, func(r *rapid.T) {
			tries++
			synctest.Test(f.T, func(t *testing.T) { check(t, r) })
		})
		if f.Failed() {
			return
		}
	}
}

// puppet is a proc that exists in virtual time only.
type puppet struct {
	handshake time.Duration // how long until it is ready
	obeys     time.Duration // how long after it was asked to stop it exits; negative: never
	ends      chan launch.Exit

	mu      sync.Mutex // guards the following
	ended   bool
	signals []string
	began   time.Time
}

func (p *puppet) follow(readyTimeout time.Duration) *host.Handle {
	p.ends, p.began = make(chan launch.Exit, 1), time.Now()
	return host.Follow(host.FollowConfig{ID: id.Proc{Host: "alpha", Name: "a", UID: 1}, PID: 7, ReadyTimeout: readyTimeout}, p)
}

func (p *puppet) Connect(ctx context.Context, progress func(launch.Phase)) (host.Endpoint, error) {
	progress(launch.PhaseHandshake)
	select {
	case <-time.After(p.handshake):
		return host.Endpoint{Addr: "mem:a", Agent: actor.RefOf[host.Agent](id.Proc{Host: "alpha", Name: "a", UID: 1}.Actor("agent"))}, nil
	case <-ctx.Done():
		return host.Endpoint{}, context.Cause(ctx)
	}
}

func (p *puppet) Drain(ctx context.Context, _ string) error {
	p.obey()
	<-ctx.Done()
	return context.Cause(ctx)
}

func (p *puppet) Stop() error {
	p.note("stop")
	p.obey()
	return nil
}

func (p *puppet) Kill() error {
	p.note("kill")
	p.exit(launch.Exit{Kind: launch.Killed, Signal: syscall.SIGKILL, Started: p.began, Ended: time.Now()})
	return nil
}

func (p *puppet) Wait() launch.Exit { return <-p.ends }

func (p *puppet) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signals = append(p.signals, what)
}

func (p *puppet) obey() {
	if p.obeys >= 0 {
		time.AfterFunc(p.obeys, func() { p.exit(launch.Exit{Code: 3, Kind: launch.Stopped, Started: p.began, Ended: time.Now()}) })
	}
}

// exit ends the puppet unless it has ended.
func (p *puppet) exit(e launch.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		p.ends <- e
	}
}

func (p *puppet) killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.signals {
		if s == "kill" {
			return true
		}
	}
	return false
}

// near draws a duration at d, or just beside it.
func near(r *rapid.T, d time.Duration) time.Duration {
	return d + time.Duration(rapid.IntRange(-1, 1).Draw(r, "beside"))
}

func readyAtDeadline(t *testing.T, r *rapid.T) {
	const deadline = time.Second
	p := &puppet{handshake: near(r, deadline), obeys: -1}
	h := p.follow(deadline)
	_, err := h.Ready(t.Context())
	synctest.Wait()
	switch {
	case err == nil && p.killed():
		t.Error("killed although it was ready")
	case err != nil && !errors.Is(err, host.ErrReadyTimeout):
		t.Errorf("got %v", err)
	case err != nil && !p.killed():
		t.Error("not ready, not killed")
	case err == nil && p.handshake > deadline, err != nil && p.handshake < deadline:
		t.Errorf("ready after %v: %v", p.handshake, err)
	}
	_, _ = h.Kill(t.Context(), "end")
}

func goneAtOnce(t *testing.T) {
	p := &puppet{handshake: time.Hour, obeys: -1, ends: make(chan launch.Exit, 1)}
	p.began = time.Now()
	p.exit(launch.Exit{Kind: launch.Stopped, Code: 5, Started: p.began, Ended: p.began})
	h := host.Follow(host.FollowConfig{ID: id.Proc{Host: "alpha", Name: "a", UID: 1}}, p)
	last := host.Starting
	for s := range h.Watch(t.Context()) {
		if s.Phase < last || s.Phase == host.Ready {
			t.Errorf("%v after %v", s.Phase, last)
		}
		last = s.Phase
	}
	if e, err := h.Wait(t.Context()); err != nil || e.Code != 5 || last != host.Exited || p.killed() {
		t.Errorf("got %v, %v in %v", e, err, last)
	}
}

func exitsAtDeadline(t *testing.T, r *rapid.T) {
	const grace = 2 * time.Second
	p := &puppet{obeys: near(r, grace)}
	h := p.follow(time.Hour)
	if _, err := h.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	e, err := h.Terminate(t.Context(), grace, "go")
	again, err2 := h.Wait(t.Context())
	synctest.Wait()
	switch {
	case err != nil || err2 != nil || e != again:
		t.Errorf("got %v and %v, %v, %v", e, again, err, err2)
	case time.Since(began) > grace:
		t.Errorf("took %v", time.Since(began))
	case killed(e) && e.Cause == "", p.obeys < grace && (killed(e) || e.Cause != ""):
		t.Errorf("the cause does not fit: %v", e)
	case killed(e) == (e.Code == 3):
		t.Errorf("not what the kernel said: %v", e)
	}
}

func tightened(t *testing.T) {
	p := &puppet{obeys: -1}
	h := p.follow(time.Hour)
	if _, err := h.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for _, grace := range []time.Duration{10 * time.Second, time.Second, time.Hour} {
		wg.Go(func() {
			if e, err := h.Terminate(t.Context(), grace, "go"); err != nil || !killed(e) || !strings.Contains(e.Cause, "1s") {
				t.Errorf("got %v, %v", e, err)
			}
		})
		synctest.Wait()
	}
	wg.Wait()
	if took := time.Since(began); took != time.Second {
		t.Errorf("took %v", took)
	}
}

func killedMeanwhile(t *testing.T, r *rapid.T) {
	p := &puppet{obeys: -1}
	h := p.follow(time.Hour)
	if _, err := h.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := time.Duration(rapid.Int64Range(0, int64(10*time.Second)-1).Draw(r, "after"))
	began := time.Now()
	var asked launch.Exit
	var wg sync.WaitGroup
	wg.Go(func() { asked, _ = h.Terminate(t.Context(), 10*time.Second, "go") })
	synctest.Wait()
	<-time.After(after)
	e, err := h.Kill(t.Context(), "now")
	wg.Wait()
	if err != nil || !killed(e) || e != asked || time.Since(began) != after {
		t.Errorf("got %v and %v after %v, %v", e, asked, time.Since(began), err)
	}
}

// history makes calls at any times and compares what they say.
func history(t *testing.T, r *rapid.T) {
	moment := rapid.Custom(func(r *rapid.T) time.Duration {
		return time.Duration(rapid.IntRange(0, 8).Draw(r, "moment")) * time.Second
	})
	p := &puppet{handshake: moment.Draw(r, "ready"), obeys: moment.Draw(r, "obeys")}
	h := p.follow(time.Hour)
	time.AfterFunc(moment.Draw(r, "end")+time.Second, func() {
		p.exit(launch.Exit{Kind: launch.Stopped, Code: 9, Started: p.began, Ended: time.Now()})
	})
	var mu sync.Mutex
	var records []launch.Exit
	saw := func(e launch.Exit, err error, asked time.Time) {
		mu.Lock()
		defer mu.Unlock()
		records = append(records, e)
		if e.Ended.IsZero() || time.Now().Before(e.Ended) {
			t.Errorf("an exit before the end: %v, %v", e, err)
		}
		if errors.Is(err, host.ErrAlreadyExited) != (err != nil) || err != nil && asked.Before(e.Ended) {
			t.Errorf("asked at %v: %v of %v", asked, err, e.Ended)
		}
	}
	var wg sync.WaitGroup
	for range rapid.IntRange(1, 12).Draw(r, "calls") {
		at, what, grace := moment.Draw(r, "at"), rapid.IntRange(0, 3).Draw(r, "what"), moment.Draw(r, "grace")
		wg.Go(func() {
			<-time.After(at)
			asked := time.Now()
			switch what {
			case 0:
				e, err := h.Wait(t.Context())
				saw(e, err, asked)
			case 1:
				e, err := h.Terminate(t.Context(), grace, "go")
				saw(e, err, asked)
			case 2:
				e, err := h.Kill(t.Context(), "now")
				saw(e, err, asked)
			default:
				if _, err := h.Ready(t.Context()); err != nil && !errors.Is(err, host.ErrExited) {
					t.Errorf("Ready: %v", err)
				}
			}
		})
	}
	wg.Wait()
	want, err := h.Wait(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, e := range records {
		if e != want {
			t.Errorf("got %v, others %v", e, want)
		}
	}
}
