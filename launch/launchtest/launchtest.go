// Package launchtest is the contract of launch.Launcher as a test suite. Every
// launcher runs it, with real processes:
//
//	func TestMain(m *testing.M) { launchtest.Main(m, newLauncher) }
//	func TestRealContract(t *testing.T) { launchtest.Run(t, newLauncher) }
//
// The children are the test binary itself, which Main sends another way. Each
// one ends with the test: its launcher is closed, and what is out of a
// launcher's reach holds a lifeline, a pipe that ends with the test process.
package launchtest

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Run checks that the launchers which newLauncher makes keep the contract.
func Run(t *testing.T, newLauncher func() launch.Launcher) {
	RunWithoutLimits(t, newLauncher)
	run(t, newLauncher, limitChecks, cgroupChecks)
}

// RunWithoutLimits does the same for launchers whose processes may have less
// than ours: it leaves out launch.Limits.
func RunWithoutLimits(t *testing.T, newLauncher func() launch.Launcher) {
	run(t, newLauncher, exitChecks, stopChecks, treeChecks, outputChecks, startChecks, isolationChecks, leakChecks)
}

func run(t *testing.T, newLauncher func() launch.Launcher, lists ...func() []check) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	for _, list := range lists {
		for _, c := range list() {
			t.Run(c.name, func(t *testing.T) {
				c.run(&fixture{T: t, Launcher: open(t, newLauncher), newLauncher: newLauncher})
			})
		}
	}
}

// check is one line of the contract.
type check struct {
	name string // begins with the id of the contract
	run  func(f *fixture)
}

// fixture is what a check works with: a launcher that is closed after it.
type fixture struct {
	*testing.T
	launch.Launcher
	newLauncher func() launch.Launcher
}

// open makes a launcher that is closed at the end of the test.
func open(t *testing.T, newLauncher func() launch.Launcher) launch.Launcher {
	l := newLauncher()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// child is a started process and the lines of its stdout.
type child struct {
	launch.Process
	lines chan string
}

// spec describes a child that behaves in the given way. The race detector makes
// a program sleep for a second when it exits; GORACE talks it out of that.
func spec(behaviour string, args ...string) launch.Spec {
	return launch.Spec{
		Path: launch.Self,
		Env: []string{
			variable + "=" + strings.Join(append([]string{behaviour}, args...), " "),
			"GORACE=atexit_sleep_ms=0",
		},
	}
}

// start starts s and collects what it prints.
func (f *fixture) start(s launch.Spec) *child {
	f.Helper()
	c := &child{lines: make(chan string, 1000)}
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
	p, err := f.Launch(f.Context(), s)
	if err != nil {
		f.Fatalf("Launch: %v", err)
	}
	c.Process = p
	return c
}

// run starts s and waits for its end.
func (f *fixture) run(s launch.Spec) launch.Exit {
	f.Helper()
	return f.start(s).Wait()
}

// line returns the next line of the child's stdout.
func (f *fixture) line(c *child) string {
	f.Helper()
	select {
	case l := <-c.lines:
		return l
	case <-time.After(patience):
		f.Fatal("the child does not print anything")
		return ""
	}
}

// lifeline gives s a control descriptor. Closing the returned end, which the
// end of the test does as well, is the end of the file for whoever holds it;
// reading from it ends when all holders are gone.
func (f *fixture) lifeline(s *launch.Spec) *os.File {
	f.Helper()
	ours, theirs, err := socketpair()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	s.Control = theirs
	return ours
}

// awaitHolders returns when nobody holds the other end of a lifeline any more.
func (f *fixture) awaitHolders(ours *os.File) {
	f.Helper()
	if err := ours.SetReadDeadline(time.Now().Add(patience)); err != nil {
		f.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, ours); err != nil {
		f.Fatalf("a process still holds the lifeline: %v", err)
	}
}

// patience is how long a check waits for what should come at once.
const patience = 20 * time.Second
