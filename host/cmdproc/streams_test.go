package cmdproc_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/restart"
)

// TestRealStreams takes every byte, also those that are no line, and closes
// what took them before the exit is known.
func TestRealStreams(t *testing.T) {
	var stdout, stderr bytes.Buffer
	closed := 0
	b := newBench(t, func(c *cmdproc.Config) {
		c.Streams = func(s host.ProcSpec) (host.Streams, error) {
			if s.Name != "a" {
				t.Errorf("got spec %+v", s)
			}
			return host.Streams{Stdout: &stdout, Stderr: &stderr, Finish: func() error { closed++; return nil }}, nil
		}
	})
	h := b.start(command("a", "sh", "-c", `printf 'one\n\000two'; printf '\377' >&2`))
	if e := b.wait(h); !e.OK() {
		t.Errorf("got %v", e)
	}
	if closed != 1 || stdout.String() != "one\n\000two" || stderr.String() != "\377" {
		t.Errorf("closed %d times, got %q and %q", closed, stdout.String(), stderr.String())
	}
	if got := b.said.of("a"); got != "one\n\000two" {
		t.Errorf("lines: %q", got)
	}

	b.failed(command("a", "/no/such/program"))
	if closed != 2 {
		t.Errorf("after a start that failed: closed %d times", closed)
	}
}

// TestRealRestartCaptured restarts a command at once, again and again: the files
// of its output are always free again.
func TestRealRestartCaptured(t *testing.T) {
	dir, err := capture.Open(capture.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the manager
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, func(c *cmdproc.Config) {
		c.Streams = func(s host.ProcSpec) (host.Streams, error) { return host.Capture(dir, s.Name) }
	})
	spec := command("a", "sh", "-c", `sleep 3600 & echo run; exit 3`)
	spec.Restart, spec.RestartLimits = restart.OnFailure, restart.Limits{MaxRestarts: 19, Backoff: restart.Backoff{Min: 1, Max: 1}}
	s, err := host.Supervise(b.ctx(), b.parts.Manager, spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Wait(b.ctx())
	if e, ok := errors.AsType[*host.GaveUpError](err); !ok || e.Incarnation != 20 || e.Err != nil || e.Exit.Code != 3 {
		t.Errorf("got %v", err)
	}
	runs := 0
	for line, err := range dir.Reader().Read(b.ctx(), capture.Query{}) {
		if err != nil || string(line.Text) != "run" {
			t.Errorf("got %v, %v", line, err)
		}
		runs++
	}
	if runs != 20 {
		t.Errorf("the output of %d runs", runs)
	}
}

// TestRealNoStreams spawns a command whose output has nowhere to go.
func TestRealNoStreams(t *testing.T) {
	full := errors.New("disk full")
	b := newBench(t, func(c *cmdproc.Config) {
		c.Streams = func(host.ProcSpec) (host.Streams, error) { return host.Streams{}, full }
	})
	if err := b.failed(command("a", "sleep", "3600")); !errors.Is(err, full) || err.Phase != launch.PhaseExec {
		t.Errorf("got %v", err)
	}
}

// TestRealName gives all commands one name.
func TestRealName(t *testing.T) {
	b := newBench(t, func(c *cmdproc.Config) { c.Name = func(s host.ProcSpec) string { return "job of " + s.Name } })
	if e := b.wait(b.start(command("a", "sh", "-c", `echo "$HYPER_NAME"`))); !e.OK() {
		t.Errorf("got %v", e)
	}
	if got := strings.TrimSpace(b.said.of("a")); got != "job of a" {
		t.Errorf("got %q", got)
	}
}
