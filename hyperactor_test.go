package hyperactor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/id"
)

func TestRealMainExitCodes(t *testing.T) {
	tests := []struct {
		program string
		code    int
		stderr  string
	}{
		{"returns", 0, ""},
		{"fails", 1, "something went wrong"},
		{"fails by a ctx of its own", 1, "the job failed: context canceled"},
		{"fails with a code", 7, "today: code 7"},
		{"cannot spawn", 1, "/no/such/program"},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) { launch(t, tt.program).exits(tt.code, tt.stderr) })
	}
}

func TestRealMainStopsChildren(t *testing.T) {
	p := launch(t, "returns with children")
	p.says("ready")
	p.exits(0, "")
	p.childless()
}

// TestRealMainSignals interrupts a program with children (PM-5).
func TestRealMainSignals(t *testing.T) {
	tests := []struct {
		program string
		signal  os.Signal
		code    int
	}{
		{"waits", os.Interrupt, 130},
		{"waits", syscall.SIGTERM, 143},
		{"deaf children", os.Interrupt, 130},
		{"deaf children", syscall.SIGTERM, 143},
	}
	for _, tt := range tests {
		t.Run(tt.program+" "+tt.signal.String(), func(t *testing.T) {
			p := launch(t, tt.program)
			p.says("ready")
			p.signal(tt.signal)
			p.exits(tt.code, "")
			p.childless()
		})
	}
}

// TestRealMainSecondInterrupt ends a program that does not obey the first one.
func TestRealMainSecondInterrupt(t *testing.T) {
	p := launch(t, "stuck")
	p.says("ready")
	p.signal(os.Interrupt)
	p.says("interrupted")
	p.signal(os.Interrupt)
	if s := p.wait(); s.Signal() != syscall.SIGINT {
		t.Errorf("ended with code %d, signal %v", s.ExitStatus(), s.Signal())
	}
	p.childlessWithin(orphanBound)
}

// TestRealMainSecondTerm: timeout(1) sends its signal to the process and again
// to the group. That does not cut a stop short.
func TestRealMainSecondTerm(t *testing.T) {
	p := launch(t, "stuck")
	p.says("ready")
	p.signal(syscall.SIGTERM)
	p.says("interrupted")
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGUSR2) // it goes on
	p.exits(143, "")
	p.childless()
}

// orphanBound is how long a child may live without its host (PS-2).
const orphanBound = 2 * time.Second

// TestRealOrphans ends a program in ways that leave it no time to stop its
// children (PS-2).
func TestRealOrphans(t *testing.T) {
	p := launch(t, "waits")
	p.says("ready")
	p.signal(os.Kill)
	if s := p.wait(); s.Signal() != syscall.SIGKILL {
		t.Errorf("ended with code %d, signal %v", s.ExitStatus(), s.Signal())
	}
	p.childlessWithin(orphanBound)

	p = launch(t, "panics")
	p.says("ready")
	p.exits(2, "panic: in run")
	p.childlessWithin(orphanBound)
}

// TestRealMainUnhandledFailure has an actor of the program's own proc fail
// (AC-9).
func TestRealMainUnhandledFailure(t *testing.T) {
	p := launch(t, "actor fails")
	p.exits(1, "out of string")
}

// newRuntime returns a Runtime that is closed at the end of the test.
func newRuntime(t *testing.T, cfg hyperactor.Config) *hyperactor.Runtime {
	t.Helper()
	cfg.Types = hosttest.Types()
	cfg.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	rt, err := hyperactor.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRuntime(t, rt) })
	return rt
}

// closeRuntime closes rt and checks that nothing is left.
func closeRuntime(t *testing.T, rt *hyperactor.Runtime) {
	t.Helper()
	if err := rt.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if left, err := rt.Descendants(); len(left) > 0 || err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("processes are left: %v, %v", left, err)
	}
}

// use spawns a proc and calls an actor in it.
func use(t *testing.T, rt *hyperactor.Runtime) host.ProcHandle {
	t.Helper()
	ctx := rt.Context(t.Context())
	h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "worker"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := hosttest.Type.Spawn(ctx, h.ID(), "p", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := hosttest.Echo.Call(ctx, p, 5); n != 5 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	return h
}

func TestRealRuntime(t *testing.T) {
	for _, local := range []bool{false, true} {
		rt := newRuntime(t, hyperactor.Config{Local: local})
		h := use(t, rt)
		if hasProcess := h.Status().PID != 0; hasProcess == local {
			t.Errorf("local %v: %v", local, h.Status())
		}
		if left, err := rt.Descendants(); err == nil && (len(left) > 0) == local {
			t.Errorf("local %v: descendants %v", local, left)
		}
		closeRuntime(t, rt)
		e, err := h.Wait(t.Context())
		if err != nil || !e.OK() || e.Requested.By != "main" || e.Requested.Why != "the program ends" {
			t.Errorf("local %v: got %v, %v", local, e, err)
		}
	}
}

// TestRealCloseTwice has callers of Close wait for the same end.
func TestRealCloseTwice(t *testing.T) {
	rt := newRuntime(t, hyperactor.Config{})
	h := use(t, rt)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			closeRuntime(t, rt)
			if s := h.Status(); s.Phase != host.Exited {
				t.Errorf("after Close: %v", s)
			}
		})
	}
	wg.Wait()
	if _, err := rt.Host().Spawn(rt.Context(t.Context()), host.ProcSpec{Name: "late"}); !errors.Is(err, host.ErrDraining) {
		t.Errorf("got %v, want %v", err, host.ErrDraining)
	}
}

// TestRealTwoRuntimes has two hosts in one program that know nothing of each
// other.
func TestRealTwoRuntimes(t *testing.T) {
	a, b := newRuntime(t, hyperactor.Config{}), newRuntime(t, hyperactor.Config{})
	use(t, a)
	h := use(t, b)
	if a.Host().Name() == b.Host().Name() {
		t.Errorf("both are called %s", a.Host().Name())
	}
	closeRuntime(t, a)
	if _, err := actor.StatusOf.Call(b.Context(t.Context()), actor.AgentOf(h.ID()), actor.None{}); err != nil {
		t.Errorf("the proc of the other: %v", err)
	}
}

// TestRealStartAgain leaves nothing behind, many times.
func TestRealStartAgain(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	life := func() {
		rt := newRuntime(t, hyperactor.Config{})
		use(t, rt)
		closeRuntime(t, rt)
	}
	life() // what is opened once is open now
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors(t)
	for range 10 {
		life()
	}
	if got := countDescriptors(t); got > descriptors {
		t.Errorf("%d descriptors, %d before", got, descriptors)
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() { // until those that are over were put away
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), goroutines, buf[:runtime.Stack(buf, true)])
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	return len(fds)
}

// TestRealRuntimeDirIsOfNoUse: where sockets cannot be is not where we put them.
func TestRealRuntimeDirIsOfNoUse(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"too long": long, "relative": ".", "missing": "/no/such/dir"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_RUNTIME_DIR", dir)
			rt := newRuntime(t, hyperactor.Config{})
			use(t, rt)
			closeRuntime(t, rt)
		})
	}
}

// another is a transport with the certificate of somebody else.
type another struct{ channel.Transport }

func (another) CheckSelf(context.Context, id.Proc) error { return errors.New("we are somebody else") }

// TestRealStartFails leaves nothing behind either.
func TestRealStartFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tests := []struct {
		name string
		cfg  hyperactor.Config
	}{
		{"bad name", hyperactor.Config{Host: "not a name"}},
		{"front beyond this machine", hyperactor.Config{Front: "tcp:0.0.0.0:0"}},
		{"no manager", hyperactor.Config{Manager: func(hyperactor.Parts) host.ProcManager { return nil }}},
		{"front of an unknown kind", hyperactor.Config{Front: "pigeon:coop"}},
		{"the certificate of another", hyperactor.Config{Transports: channel.Transports{"tls": another{}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rt, err := hyperactor.Start(t.Context(), tt.cfg)
			if err == nil {
				rt.Close()
				t.Fatal("it works")
			}
			if !strings.HasPrefix(err.Error(), "start host: ") {
				t.Errorf("got %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
				t.Errorf("files are left: %v, %v", left, err)
			}
		})
	}
}
