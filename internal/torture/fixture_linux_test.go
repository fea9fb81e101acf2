package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/keeper"
	"github.com/hyperactor/hyperactor/launch/native"
)

// fixture is what a row works with. What it starts ends with the row, and a
// census follows.
type fixture struct {
	*testing.T
	kind kind
	dir  string // for sockets and the like of what is tested; nothing may be left in it
}

// kind is a way to launch processes.
type kind struct {
	name string
	open func() launch.Launcher
	set  func(cfg *hyperactor.Config)
}

func kinds() []kind {
	return []kind{
		{
			name: "native",
			open: func() launch.Launcher { return native.New(native.Config{}) },
			set:  func(cfg *hyperactor.Config) { cfg.Keeper = hyperactor.NoKeeper },
		},
		{
			name: "keeper",
			open: func() launch.Launcher { return keeper.New(keeper.Config{}) },
			set:  func(cfg *hyperactor.Config) { cfg.Keeper = hyperactor.WithKeeper },
		},
		{
			name: "isolated",
			open: func() launch.Launcher { return keeper.New(keeper.Config{Isolate: keeper.PIDNamespace}) },
			set:  func(cfg *hyperactor.Config) { cfg.Isolate = keeper.PIDNamespace },
		},
	}
}

func kindNamed(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// patience is how long a row waits for what should come at once.
const patience = 30 * time.Second

// fastRace talks the race detector out of a second of sleep at every exit.
const fastRace = "GORACE=atexit_sleep_ms=0"

func newFixture(t *testing.T, k kind) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "tort-") // short: a socket's name has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	f := &fixture{T: t, kind: k, dir: dir}
	before := takeStock()
	t.Cleanup(func() { f.census(before) }) // after all that the row itself cleans up
	return f
}

// warmUp opens what is opened once in the life of a process.
func warmUp(t *testing.T) {
	t.Run("warm up", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "tort-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		t.Setenv("XDG_RUNTIME_DIR", dir)
		for _, k := range kinds() {
			f := &fixture{T: t, kind: k, dir: dir}
			f.run(f.launcher(), sh("exit 0"))
		}
	})
}

// launcher opens a launcher that is closed at the end of the row.
func (f *fixture) launcher() launch.Launcher {
	f.Helper()
	l := f.kind.open()
	f.Cleanup(func() {
		if err := l.Close(); err != nil {
			f.Errorf("Close: %v", err)
		}
	})
	return l
}

// sh describes a shell that runs a script.
func sh(script string, args ...string) launch.Spec {
	return launch.Spec{
		Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...),
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
	}
}

// self describes a copy of the test binary that behaves as the words say.
func self(words ...string) launch.Spec {
	return launch.Spec{Path: launch.Self, Env: []string{childVariable + "=" + strings.Join(words, " "), fastRace}}
}

// child is a started process and the lines that it prints.
type child struct {
	launch.Process
	lines chan string
}

// start starts s and collects what it prints on stdout.
func (f *fixture) start(l launch.Launcher, s launch.Spec) *child {
	f.Helper()
	c, err := f.try(l, s)
	f.must(err)
	return c
}

// try is start for goroutines other than that of the row, and like line and
// end it does not end the row.
func (f *fixture) try(l launch.Launcher, s launch.Spec) (*child, error) {
	c := &child{lines: make(chan string, 100)}
	if s.Output == nil {
		s.Output = func(which launch.Stream, line []byte) {
			if which == launch.Stdout {
				select {
				case c.lines <- string(line):
				default: // nobody reads that many
				}
			}
		}
	}
	p, err := l.Launch(f.Context(), s)
	c.Process = p
	return c, err
}

// run starts s and waits for its end.
func (f *fixture) run(l launch.Launcher, s launch.Spec) launch.Exit {
	f.Helper()
	return f.end(f.start(l, s))
}

// line returns the next line that the child prints.
func (f *fixture) line(c *child) string {
	f.Helper()
	select {
	case l := <-c.lines:
		return l
	case <-time.After(patience):
		f.Errorf("process %d does not print anything", c.PID())
		return ""
	}
}

// end waits for the end of a process, but not for ever.
func (f *fixture) end(p launch.Process) launch.Exit {
	f.Helper()
	exit := make(chan launch.Exit, 1)
	go func() { exit <- p.Wait() }()
	select {
	case e := <-exit:
		return e
	case <-time.After(patience):
		f.Errorf("process %d does not end", p.PID())
		return launch.Exit{}
	}
}

// no checks that a call gave no error.
func (f *fixture) no(err error) {
	f.Helper()
	if err != nil {
		f.Errorf("unexpected: %v", err)
	}
}

// must is no, and ends the row.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// refused checks that s cannot be started, and why.
func (f *fixture) refused(l launch.Launcher, s launch.Spec, want launch.Reason, errno error) {
	f.Helper()
	p, err := l.Launch(f.Context(), s)
	if p != nil {
		f.Errorf("%.80q was started: %v", s.Path, f.end(p))
		return
	}
	if !errors.Is(err, want) || errno != nil && !errors.Is(err, errno) {
		f.Errorf("got %v, want %v with %v", err, want, errno)
	}
}

// scratch makes a directory for the files of the row itself.
func (f *fixture) scratch() string {
	f.Helper()
	dir, err := os.MkdirTemp("", "tort-own-")
	f.must(err)
	f.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// file makes a file in a directory of its own.
func (f *fixture) file(name string, mode os.FileMode, content []byte) string {
	f.Helper()
	path := filepath.Join(f.scratch(), name)
	f.must(os.WriteFile(path, content, mode))
	return path
}

// pipe makes a pipe of which the row has one end and children get the other
// one as descriptor 3: a read from it ends when all of them are gone.
func (f *fixture) pipe() (ours, theirs *os.File) {
	f.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	f.must(err)
	f.must(unix.SetNonblock(fds[0], true))
	ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	f.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

// released checks that nobody holds the other end of a pipe after bound.
func (f *fixture) released(ours *os.File, bound time.Duration) {
	f.Helper()
	f.must(ours.SetReadDeadline(time.Now().Add(bound)))
	if _, err := io.Copy(io.Discard, ours); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		f.Errorf("a process holds its lifeline after %v: %v", bound, err)
	}
}

// host starts a host in this process that is closed at the end of the row.
func (f *fixture) host() *hyperactor.Runtime {
	f.Helper()
	cfg := procConfig()
	cfg.Grace = 2 * time.Second
	cfg.Env = append(os.Environ(), fastRace)
	f.kind.set(&cfg)
	rt, err := hyperactor.Start(f.Context(), cfg)
	f.must(err)
	f.Cleanup(func() { f.no(rt.Close()) })
	return rt
}

// ctx bounds a call of the row to the procs of rt.
func (f *fixture) ctx(rt *hyperactor.Runtime) context.Context {
	f.Helper()
	ctx, cancel := context.WithTimeout(rt.Context(context.WithoutCancel(f.Context())), patience)
	f.Cleanup(cancel)
	return ctx
}

// spawn spawns a proc with a victim in it.
func (f *fixture) spawn(rt *hyperactor.Runtime, name string) (host.ProcHandle, actor.Ref[victim]) {
	f.Helper()
	h, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{Name: name})
	f.must(err)
	v, err := victimType.Spawn(f.ctx(rt), h.ID(), "victim", actor.None{})
	f.must(err)
	return h, v
}

// exit waits for the end of a proc.
func (f *fixture) exit(rt *hyperactor.Runtime, h host.ProcHandle) launch.Exit {
	f.Helper()
	e, err := h.Wait(f.ctx(rt))
	f.must(err)
	return e
}

// want checks one thing and shows the record if it does not hold.
func (f *fixture) want(ok bool, what string, got any) {
	f.Helper()
	if !ok {
		f.Errorf("%s: got %v", what, got)
	}
}

// at once runs n calls at the same time and waits for all.
func atOnce(n int, call func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { call(i) })
	}
	wg.Wait()
}

// killed reports whether a process was ended by SIGKILL.
func killed(e launch.Exit) bool { return e.Kind == launch.Killed && e.Signal == syscall.SIGKILL }

func shown(e launch.Exit) string { return fmt.Sprintf("%v %+v", e, e) }
