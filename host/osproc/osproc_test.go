package osproc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/host/osproc"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/keeper"
	"github.com/hyperactor/hyperactor/launch/native"
)

func TestRealContract(t *testing.T) {
	hosttest.Run(t, hosttest.Harness{
		New:       func(t *testing.T) host.Config { return newBench(t).parts },
		Mute:      func(s host.ProcSpec) host.ProcSpec { return misbehaving(s.Name, "mute") },
		Processes: true,
	})
}

// TestRealContractWithKeeper runs it with the launcher that programs have by
// default. Its guard is a child of ours.
func TestRealContractWithKeeper(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("linux only")
	}
	hosttest.Run(t, hosttest.Harness{
		New:       func(t *testing.T) host.Config { return newBenchWith(t, keeper.New(keeper.Config{}), 1).parts },
		Mute:      func(s host.ProcSpec) host.ProcSpec { return misbehaving(s.Name, "mute") },
		Processes: true, Helpers: 1,
	})
}

// bench is a host whose procs are processes.
type bench struct {
	*testing.T
	parts host.Config
	host  *host.Host
	mark  string

	helpers int // child processes that the launcher keeps for itself
}

// newBench returns a bench that ends with t.
func newBench(t *testing.T) *bench { return newBenchWith(t, native.New(native.Config{}), 0) }

func newBenchWith(t *testing.T, launcher launch.Launcher, helpers int) *bench {
	parts := hosttest.NewParts(t)
	t.Cleanup(func() {
		if err := launcher.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{T: t, mark: rand.Text(), helpers: helpers, parts: parts.Config}
	b.parts.Manager = osproc.New(osproc.Config{
		Host: parts.Name, Service: parts.Service, Gateway: parts.Gateway, Launcher: launcher, Back: parts.Back, Dir: parts.Dir, Token: parts.Token, Mark: b.mark,
		Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0"), // the race detector has programs sleep when they exit
	})
	t.Cleanup(func() {
		if err := b.parts.Manager.Close(context.Background()); err != nil {
			t.Error(err)
		}
		b.empty()
	})
	b.host = host.New(b.parts)
	return b
}

// misbehaving is the spec of a proc that misbehaves before it is one.
func misbehaving(name, how string) host.ProcSpec {
	return host.ProcSpec{Name: name, Env: []string{variable + "=" + how}}
}

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// ctx returns a ctx whose calls come from the local proc.
func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.parts.Local.Context(host.As(b.Context(), "test")), patience)
	b.Cleanup(cancel)
	return ctx
}

// start spawns a proc that need not be ready.
func (b *bench) start(s host.ProcSpec) host.ProcHandle {
	b.Helper()
	h, err := b.parts.Manager.Spawn(b.ctx(), s)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// spawn spawns a proc with a misfit in it.
func (b *bench) spawn(name string) (host.ProcHandle, actor.Ref[misfit]) {
	b.Helper()
	h, err := b.host.Spawn(b.ctx(), host.ProcSpec{Name: name})
	if err != nil {
		b.Fatal(err)
	}
	m, err := misfitType.Spawn(b.ctx(), h.ID(), "misfit", actor.None{})
	if err != nil {
		b.Fatal(err)
	}
	return h, m
}

// do has a misfit do something and returns its answer.
func (b *bench) do(m actor.Ref[misfit], words ...string) string {
	b.Helper()
	answer, err := do.Call(b.ctx(), m, words)
	if err != nil {
		b.Fatalf("%v: %v", words, err)
	}
	return answer
}

// wait waits for the end of the proc.
func (b *bench) wait(h host.ProcHandle) host.Exit {
	b.Helper()
	e, err := h.Wait(b.ctx())
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// failed spawns a proc, which must fail, and whose name must be free then.
func (b *bench) failed(s host.ProcSpec) *host.SpawnError {
	b.Helper()
	h, err := b.host.Spawn(b.ctx(), s)
	failed, ok := errors.AsType[*host.SpawnError](err)
	if !ok {
		b.Fatalf("Spawn(%+v) = %v, %v", s, h, err)
	}
	if left := b.host.Procs(); len(left) > 0 {
		b.Errorf("procs are left: %v", left)
	}
	b.empty()
	return failed
}

// empty checks that nothing is left of any proc, where that can be known.
func (b *bench) empty() {
	b.Helper()
	for what, list := range map[string]func() ([]int, error){
		"processes": func() ([]int, error) { return launch.Census(host.Marker(b.mark)) },
		"children": func() ([]int, error) {
			all, err := launch.Children()
			return all[min(len(all), b.helpers):], err
		},
	} {
		if left, err := list(); len(left) > 0 || err != nil && !errors.Is(err, errors.ErrUnsupported) {
			b.Errorf("%s are left: %v, %v", what, left, err)
		}
	}
}

// lifeline makes a FIFO that ends for its readers when the returned file is
// closed, which the end of the test does as well.
func (b *bench) lifeline() (path string, w *os.File) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "lifeline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.Close() })
	return path, w
}

// want checks that err says all of the parts.
func (b *bench) want(text string, parts ...string) {
	b.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			b.Errorf("%q is not in:\n%s", p, text)
		}
	}
}
