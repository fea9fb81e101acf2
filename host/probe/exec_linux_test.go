package probe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// shell returns a probe that runs a script, and the marker of its processes.
func shell(t *testing.T, script string) (*Exec, string) {
	marker := fmt.Sprintf("PROBE_CENSUS=%d-%s", os.Getpid(), t.Name())
	e := NewExec(newLauncher(t), launch.Spec{
		Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin", marker},
	}, script)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		wantNone(t, marker)
	})
	return e, marker
}

// wantNone checks that no process with the marker is left, nor any child.
func wantNone(t *testing.T, marker string) {
	t.Helper()
	if left, err := launch.Census(marker); err != nil || len(left) > 0 {
		t.Errorf("processes left: %v, %v", left, err)
	}
	if left, err := launch.Children(); err != nil || len(left) > 0 {
		t.Errorf("children left: %v, %v", left, err)
	}
}

func TestRealExec(t *testing.T) {
	tests := []struct{ script, fault string }{
		{"exit 0", ""},
		{"sleep 1000 & exit 0", ""}, // what it leaves behind is swept
		{"echo out; echo one >&2; echo two >&2; exit 3", "exit 3: two"},
		{"exit 1", "exit 1"},
		{"ulimit -c 0; kill -SEGV $$", "signal 11"},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			e, marker := shell(t, tt.script)
			for range 2 {
				err := e.Check(t.Context())
				if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
					t.Errorf("got %v, want %q", err, tt.fault)
				}
				wantNone(t, marker)
			}
		})
	}
}

func TestRealExecNotFound(t *testing.T) {
	e := NewExec(newLauncher(t), launch.Spec{Path: "/no/where"}, "/no/where")
	for range 2 {
		if err := e.Check(t.Context()); !errors.Is(err, launch.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

// TestRealExecHangs has a command with grandchildren, one of which ignores
// SIGTERM and one of which keeps the output open. All are gone afterwards.
func TestRealExecHangs(t *testing.T) {
	e, marker := shell(t, "trap '' TERM; sleep 1000 & (trap '' TERM HUP; sleep 1000; sleep 1000) & wait; sleep 1000")
	err := Asked{e, Config{Jitter: -1, Interval: 50 * time.Millisecond, Timeout: 50 * time.Millisecond, Failures: 2}}.AwaitFailure(t.Context())
	if _, ok := errors.AsType[*FailedError](err); !ok || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("got %v", err)
	}
	wantNone(t, marker)
}

func TestRealTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := TCP{l.Addr().String()}
	if err := (Asked{c, Config{}}).AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	l.Close()
	err = Asked{c, Config{Jitter: -1, Interval: time.Millisecond}}.AwaitFailure(t.Context())
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.HasPrefix(err.Error(), "tcp=127.0.0.1:") {
		t.Errorf("got %v", err)
	}
}
