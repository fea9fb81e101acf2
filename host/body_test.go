package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// never is a duration for what a fake does not do by itself.
const never = time.Duration(-1)

// fakeBody is a proc that exists in a test's virtual time only. Its zero value
// shakes hands at once, drains at once and ends when it has drained, and obeys
// every signal at once.
type fakeBody struct {
	handshake  time.Duration // how long until it is ready; never
	connectErr error         // what the handshake ends with
	drain      time.Duration // how long it drains; never answers
	drainErr   error
	stays      bool          // it does not end after it has drained
	stop       time.Duration // how long it takes to obey a SIGTERM; never
	kill       time.Duration // how long a kill takes; never is uninterruptible
	stopErrs   []error       // what the first signals fail with
	killErrs   []error
	reading    time.Duration // how long its output is read after its end (PS-9)

	mu      sync.Mutex // guards the following
	started time.Time
	log     []string // what was done to it: "drain@0s", "stop@1s"
	end     chan struct{}
	record  launch.Exit
}

// testID is the name of the procs in these tests.
var testID = id.Proc{Host: "alpha", Name: "worker", UID: 7}

// testEndpoint is where they are once they are ready.
var testEndpoint = Endpoint{Addr: "mem:worker", Agent: actor.RefOf[Agent](testID.Actor("agent"))}

// follow starts b and follows it.
func (b *fakeBody) follow(cfg FollowConfig) *Handle {
	b.started = time.Now()
	b.end = make(chan struct{})
	if cfg.ID.IsZero() {
		cfg.ID = testID
	}
	return Follow(cfg, b)
}

// exits ends b now, if it is still there.
func (b *fakeBody) exits(kind launch.Kind, code int, sig syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.record.Ended.IsZero() {
		return
	}
	b.record = launch.Exit{Kind: kind, Code: code, Signal: sig, Started: b.started, Ended: time.Now(), Stderr: "last words"}
	close(b.end)
}

// note writes down what was done to b.
func (b *fakeBody) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, fmt.Sprintf("%s@%v", what, time.Since(b.started)))
}

// done returns what was done to b.
func (b *fakeBody) done() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.log)
}

// gone reports whether b has ended.
func (b *fakeBody) gone() bool {
	select {
	case <-b.end:
		return true
	default:
		return false
	}
}

// after calls f when d has passed.
func after(d time.Duration, f func()) {
	switch {
	case d == 0:
		f()
	case d != never:
		time.AfterFunc(d, f)
	}
}

// pause waits for d, the end of b, or ctx.
func (b *fakeBody) pause(ctx context.Context, d time.Duration) error {
	var passed <-chan time.Time
	if d != never {
		t := time.NewTimer(d)
		defer t.Stop()
		passed = t.C
	}
	select {
	case <-passed:
		return nil
	case <-b.end:
		return errors.New("connection closed")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *fakeBody) Connect(ctx context.Context, progress func(launch.Phase)) (Endpoint, error) {
	if err := b.pause(ctx, b.handshake); err != nil {
		return Endpoint{}, err
	}
	progress(launch.PhaseInit)
	if b.connectErr != nil {
		return Endpoint{}, b.connectErr
	}
	return testEndpoint, nil
}

func (b *fakeBody) Drain(ctx context.Context, reason string) error {
	b.note("drain")
	if err := b.pause(ctx, b.drain); err != nil {
		return err
	}
	if b.drainErr == nil && !b.stays {
		b.exits(launch.Stopped, 0, 0)
	}
	return b.drainErr
}

func (b *fakeBody) Stop() error {
	return b.signal("stop", &b.stopErrs, func() { after(b.stop, func() { b.exits(launch.Stopped, 0, 0) }) })
}

func (b *fakeBody) Kill() error {
	return b.signal("kill", &b.killErrs, func() { after(b.kill, func() { b.exits(launch.Killed, 0, syscall.SIGKILL) }) })
}

func (b *fakeBody) signal(what string, errs *[]error, deliver func()) error {
	if b.gone() {
		b.note(what + " after the end")
		return nil
	}
	b.note(what)
	if len(*errs) > 0 {
		err := (*errs)[0]
		*errs = (*errs)[1:]
		return err
	}
	deliver()
	return nil
}

func (b *fakeBody) Wait() launch.Exit {
	<-b.end
	if b.reading > 0 {
		<-time.After(b.reading)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record
}

// mustReady waits until h is ready.
func mustReady(t *testing.T, h ProcHandle) {
	t.Helper()
	if at, err := h.Ready(t.Context()); err != nil || at != testEndpoint {
		t.Fatalf("Ready() = %v, %v; want %v", at, err, testEndpoint)
	}
}

// mustWait waits for the end of h.
func mustWait(t *testing.T, h ProcHandle) Exit {
	t.Helper()
	exit, err := h.Wait(t.Context())
	if err != nil {
		t.Fatalf("Wait() = %v", err)
	}
	return exit
}
