package tree

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// run starts a request and returns what it has printed, once it has ended.
func run(t *testing.T, s *Starter, r Request, out *os.File) (string, error) {
	t.Helper()
	lead, err := s.Start(r)
	if err == nil {
		if err = lead.AwaitExec(); err != nil {
			end(lead)
		}
	}
	r.Stdout.Close()
	if err != nil {
		return "", err
	}
	text, rerr := io.ReadAll(out)
	if rerr != nil {
		t.Fatal(rerr)
	}
	if e, _ := end(lead); e.Code != 0 || e.Signal != 0 {
		t.Errorf("ended with %+v", e)
	}
	return string(text), nil
}

// needsHop skips a test where every start is direct.
func needsHop(t *testing.T) {
	t.Helper()
	if hopCode() == nil {
		t.Skip("there is no hop for " + runtime.GOARCH)
	}
}

// TestRealHop starts the same programs with the hop and without it. Nothing may
// tell which it was, errors included.
func TestRealHop(t *testing.T) {
	needsHop(t)
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte{0}, 0o755); err != nil {
		t.Fatal(err)
	}
	const look = `echo "$0" "$@"; pwd -P; umask; ls -l /proc/self/fd | grep -c pipe; ulimit -n; env; cat /proc/self/comm`
	limits := launch.Limits{Umask: new(0o27), Rlimits: []launch.Rlimit{{Name: "nofile", Soft: 64, Hard: 64}}}
	tests := []struct {
		name, dir, path string
		argv            []string
		limits          launch.Limits
	}{
		{"plain", "", "/bin/sh", []string{"sh", "-c", look}, launch.Limits{}},
		{"arguments", "", "/bin/sh", []string{"another name", "-c", look, "", "b c", strings.Repeat("x", 100_000)}, launch.Limits{}},
		{"directory", "/usr", "/bin/sh", []string{"sh", "-c", look}, launch.Limits{}},
		{"relative", "/usr", "bin/env", []string{"env"}, launch.Limits{}},
		{"limits", "", "/bin/sh", []string{"sh", "-c", look}, limits},
		{"limits and directory", "/usr", "/bin/sh", []string{"sh", "-c", look}, limits},
		{"self", "/usr", selfExe, []string{"test", "-test.list", "^TestRealHop$"}, launch.Limits{}},
		{"missing", "", "/missing", []string{"missing"}, launch.Limits{}},
		{"missing directory", "/missing", "/bin/sh", []string{"sh"}, launch.Limits{}},
		{"not a directory", "/bin/sh", "/bin/sh", []string{"sh"}, launch.Limits{}},
		{"directory for a program", "", "/usr", []string{"usr"}, launch.Limits{}},
		{"wrong format", "", garbage, []string{"garbage"}, launch.Limits{}},
		{"too long", "", "/bin/sh", []string{"sh", strings.Repeat("x", 200_000)}, launch.Limits{}},
	}
	s := starter(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text [2]string
			var err [2]error
			for i, hop := range []bool{false, true} {
				r, out := request(t, "", tt.limits)
				r.Prog, r.Dir, r.Env = launch.Program{Path: tt.path, Argv: tt.argv, Remote: hop}, tt.dir, []string{"PATH=/usr/bin:/bin", "A=b c", "C="}
				text[i], err[i] = run(t, s, r, out)
			}
			if text[0] != text[1] || !errors.Is(err[1], err[0]) {
				t.Errorf("with the hop: %q, %v\nwithout: %q, %v", text[1], err[1], text[0], err[0])
			}
		})
	}
	if left, err := launch.Children(); err != nil || len(left) > 0 {
		t.Errorf("children left: %v, %v", left, err)
	}
}

// TestRealHopIsTaken sees that it is the hop that a remote program begins with.
func TestRealHopIsTaken(t *testing.T) {
	needsHop(t)
	s := starter(t)
	for _, remote := range []bool{false, true} {
		r, _ := request(t, "exit 0", launch.Limits{})
		r.Prog.Remote = remote
		lead, err := s.Start(r)
		if err != nil {
			t.Fatal(err)
		}
		if lead.Running() == remote {
			t.Errorf("remote %v: running %v", remote, lead.Running())
		}
		if err := lead.AwaitExec(); err != nil {
			t.Error(err)
		}
		end(lead)
	}
}

// TestRealHopStuck abandons a process that does not end.
func TestRealHopStuck(t *testing.T) {
	tells, theirs, err := hopPipe() // somebody keeps theirs open
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(theirs)
	s := starter(t)
	r, _ := request(t, "sleep 100", launch.Limits{})
	lead, err := s.Start(r)
	if err != nil {
		t.Fatal(err)
	}
	lead.tells = tells
	lead.Abandon()
	if err := lead.AwaitExec(); !errors.Is(err, ErrStuck) {
		t.Errorf("got %v", err)
	}
	if e, _ := end(lead); e.Signal != unix.SIGKILL {
		t.Errorf("got %+v", e)
	}
}
