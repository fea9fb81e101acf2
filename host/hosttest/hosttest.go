// Package hosttest is the contract of host.ProcManager as a test suite (PM-7).
// Every manager runs it:
//
//	func TestRealContract(t *testing.T) { hosttest.Run(t, hosttest.Harness{New: newParts}) }
//
// Each check has the id of the contract that it proves in its name. What a
// manager cannot do by its nature, such as having a proc that never becomes
// ready, the Harness says, and the checks that need it are skipped by name.
package hosttest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// Harness is a kind of managers.
type Harness struct {
	// New starts a manager and what it stands on, as the parts of a host. The
	// suite shuts that host down; t.Cleanup ends whatever else there is. The
	// actors of Types can be spawned in the manager's procs.
	New func(t *testing.T) host.Config

	// Mute makes s the spec of a proc that exists and never becomes ready. Nil
	// if there is no such thing.
	Mute func(s host.ProcSpec) host.ProcSpec

	// Deaf makes s the spec of a proc whose process does not obey a stop. Nil
	// if the actors in it decide that.
	Deaf func(s host.ProcSpec) host.ProcSpec

	// Processes says that each proc has a process: a kill cannot be ignored,
	// and Exit has a Signal.
	Processes bool

	// Helpers is how many child processes the launcher keeps for itself, beside
	// the procs.
	Helpers int

	// Beside says that the actors of such a proc are not in its process but
	// beside it, in this one: they answer for themselves to the end, those that
	// do not return are named, and the exit code is that of the process.
	Beside bool
}

// inside reports whether the actors are in this process.
func (h Harness) inside() bool { return h.Beside || !h.Processes }

// Run checks that the managers of h keep the contract.
func Run(t *testing.T, h Harness) {
	for _, list := range []func() []check{
		identityChecks, waitChecks, terminateChecks, killChecks, outcomeChecks, spawnChecks, routeChecks, sweepChecks,
	} {
		for _, c := range list() {
			t.Run(c.name, func(t *testing.T) {
				if c.mute && h.Mute == nil {
					t.Skip("this manager has no procs that never become ready")
				}
				c.run(open(t, h))
			})
		}
	}
}

// check is one line of the contract.
type check struct {
	name string // begins with the id of the contract
	mute bool   // needs Harness.Mute
	run  func(f *fixture)
}

// fixture is what a check works with: a host of its own.
type fixture struct {
	*testing.T
	Harness
	parts host.Config
	host  *host.Host
}

// open starts a host that is shut down at the end of the test.
func open(t *testing.T, h Harness) *fixture {
	parts := h.New(t)
	f := &fixture{T: t, Harness: h, parts: parts, host: host.New(parts)}
	t.Cleanup(func() {
		if err := f.host.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

// patience is how long a check waits for what should come at once.
const patience = 30 * time.Second

// ctx returns a ctx whose calls come from the host's local proc, and whose
// stops are in the name of "suite".
func (f *fixture) ctx() context.Context {
	ctx, cancel := context.WithTimeout(f.parts.Local.Context(host.As(f.Context(), "suite")), patience)
	f.Cleanup(cancel)
	return ctx
}

// start spawns a proc that need not be ready yet.
func (f *fixture) start(s host.ProcSpec) host.ProcHandle {
	f.Helper()
	h, err := f.parts.Manager.Spawn(f.ctx(), s)
	if err != nil {
		f.Fatalf("Spawn(%s): %v", s.Name, err)
	}
	return h
}

// spawn spawns a proc and waits until it is ready.
func (f *fixture) spawn(name string) host.ProcHandle {
	f.Helper()
	h := f.start(host.ProcSpec{Name: name})
	if _, err := h.Ready(f.ctx()); err != nil {
		f.Fatalf("Ready of %s: %v", name, err)
	}
	return h
}

// mute spawns a proc that never becomes ready.
func (f *fixture) mute(name string) host.ProcHandle {
	f.Helper()
	return f.start(f.Mute(host.ProcSpec{Name: name}))
}

// puppet spawns a Puppet in the proc.
func (f *fixture) puppet(h host.ProcHandle, name string) actor.Ref[*Puppet] {
	f.Helper()
	p, err := Type.Spawn(f.ctx(), h.ID(), name, actor.None{})
	if err != nil {
		f.Fatalf("spawn puppet in %v: %v", h.ID(), err)
	}
	return p
}

// deaf spawns a proc with an actor that neither drains nor obeys a stop until
// the end of the test, as its process does, if it has one of its own.
func (f *fixture) deaf(name string) host.ProcHandle {
	f.Helper()
	s := host.ProcSpec{Name: name}
	if f.Deaf != nil {
		s = f.Deaf(s)
	}
	h := f.start(s)
	if _, err := h.Ready(f.ctx()); err != nil {
		f.Fatalf("Ready of %s: %v", name, err)
	}
	if _, err := Deafen.Call(f.ctx(), f.puppet(h, "deaf"), f.lifeline()); err != nil {
		f.Fatalf("deafen: %v", err)
	}
	return h
}

// lifeline makes a FIFO that ends for its readers at the end of the test.
func (f *fixture) lifeline() (path string) {
	f.Helper()
	path = filepath.Join(f.TempDir(), "lifeline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		f.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { w.Close() })
	return path
}

// wait waits for the end of the proc.
func (f *fixture) wait(h host.ProcHandle) host.Exit {
	f.Helper()
	e, err := h.Wait(f.ctx())
	if err != nil {
		f.Fatalf("Wait: %v", err)
	}
	return e
}

// kill kills the proc.
func (f *fixture) kill(h host.ProcHandle) host.Exit {
	f.Helper()
	e, err := h.Kill(f.ctx(), "end of the check")
	if err != nil {
		f.Fatalf("Kill: %v", err)
	}
	return e
}

// same checks that a record is the one that everybody else has.
func (f *fixture) same(what string, got, want host.Exit) {
	f.Helper()
	if got != want {
		f.Errorf("%s has another record:\n%+v\nthan Wait:\n%+v", what, got, want)
	}
}

// forced checks that the record is that of a kill.
func (f *fixture) forced(e host.Exit) {
	f.Helper()
	if e.Kind != launch.Killed || f.Processes != (e.Signal == syscall.SIGKILL) {
		f.Errorf("got %v, want a kill", e)
	}
}

// phase waits until the proc has come to p, or further.
func (f *fixture) phase(h host.ProcHandle, p host.Phase) host.Status {
	f.Helper()
	for s := range h.Watch(f.ctx()) {
		if s.Phase >= p {
			return s
		}
	}
	f.Fatalf("%v does not become %v: %v", h.ID(), p, h.Status())
	return host.Status{}
}

// exited checks that err is an ExitedError with the record e.
func (f *fixture) exited(err error, e host.Exit) {
	f.Helper()
	ended, ok := errors.AsType[*host.ExitedError](err)
	if !ok || !errors.Is(err, host.ErrExited) {
		f.Errorf("got error %v, want an ExitedError", err)
		return
	}
	f.same("the error", ended.Exit, e)
}
