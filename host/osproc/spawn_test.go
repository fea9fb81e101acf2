package osproc_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/osproc"
	"github.com/hyperactor/hyperactor/launch"
)

// TestRealNotStarted spawns what cannot be started (PS-10, PM-1).
func TestRealNotStarted(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		spec host.ProcSpec
		want launch.Reason
	}{
		{"missing", host.ProcSpec{Program: filepath.Join(dir, "missing")}, launch.ErrNotFound},
		{"missing in PATH", host.ProcSpec{Program: "no-such-program"}, launch.ErrNotFound},
		{"directory", host.ProcSpec{Program: dir}, launch.ErrIsDirectory},
		{"script without interpreter", host.ProcSpec{Program: file("script", "#!/no/such\n", 0o755)}, launch.ErrInterpreter},
		{"garbage", host.ProcSpec{Program: file("garbage", "\x01\x02\x03", 0o755)}, launch.ErrWrongFormat},
		{"not executable", host.ProcSpec{Program: file("data", "data", 0o644)}, launch.ErrNotExecutable},
		{"working directory", host.ProcSpec{Dir: filepath.Join(dir, "missing")}, launch.ErrDir},
		{"arguments", host.ProcSpec{Args: []string{"a\x00b"}}, launch.ErrArgs},
	}
	b := newBench(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name = "a" // which is free again every time
			err := b.failed(tt.spec)
			if _, ok := errors.AsType[*launch.StartError](err); !ok || !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err.Phase != launch.PhaseExec || err.Exit != (host.Exit{}) || err.Name != "a" {
				t.Errorf("got %+v", err)
			}
		})
	}
	b.spawn("a")
}

// TestRealNotReady spawns what starts and does not become ready (PS-5, PS-10,
// PM-1, PH-9).
func TestRealNotReady(t *testing.T) {
	const killed = -1
	tests := []struct {
		name   string
		spec   host.ProcSpec
		want   error
		phase  launch.Phase
		code   int    // killed by us, or the code that it ended with by itself
		cause  string // in the exit
		stderr string
	}{
		{"exits before the handshake", misbehaving("a", "exit 3"), host.ErrExitedEarly, launch.PhaseHandshake, 3, "", ""},
		{"exits with 0 before the handshake", misbehaving("a", "exit 0"), host.ErrExitedEarly, launch.PhaseHandshake, 0, "", ""},
		{"exits during the handshake", misbehaving("a", "exit-during 4"), host.ErrExitedEarly, launch.PhaseHandshake, 4, "", ""},
		{"exits in the middle of its answer", misbehaving("a", "partial 5"), host.ErrExitedEarly, launch.PhaseHandshake, 5, "", ""},
		{"exits after its answer", misbehaving("a", "nowhere 6"), host.ErrExitedEarly, launch.PhaseInit, 6, "", ""},
		{"panics before main", misbehaving("a", "panic way to begin"), host.ErrExitedEarly, launch.PhaseHandshake, 2, "", "panic: no way to begin"},
		{"another program that knows nothing of us", host.ProcSpec{Name: "a", Program: "/bin/sh", Args: []string{"-c", "echo hello; echo so what >&2; exit 7"}}, host.ErrExitedEarly, launch.PhaseHandshake, 7, "", "so what"},
		{"never shakes hands", host.ProcSpec{Name: "a", Env: misbehaving("", "mute").Env, ReadyTimeout: 300 * time.Millisecond}, host.ErrReadyTimeout, launch.PhaseHandshake, killed, "handshake timeout after 300ms", ""},
		{"another version", misbehaving("a", "version"), osproc.ErrVersion, launch.PhaseHandshake, killed, "handshake: ", ""},
		{"garbage", misbehaving("a", "garbage"), osproc.ErrProtocol, launch.PhaseHandshake, killed, "handshake: ", ""},
		{"a message that is too large", misbehaving("a", "oversize"), osproc.ErrProtocol, launch.PhaseHandshake, killed, "handshake: ", ""},
		{"the answer to another handshake", misbehaving("a", "stale"), osproc.ErrProtocol, launch.PhaseHandshake, killed, "handshake: ", ""},
		{"closes the control connection and lives", misbehaving("a", "shut"), osproc.ErrControl, launch.PhaseHandshake, killed, "handshake: ", ""},
	}
	b := newBench(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			err := b.failed(tt.spec)
			if took := time.Since(began); took > patience/2 {
				t.Errorf("took %v: an end is not to be found by a timeout", took)
			}
			e := err.Exit
			if !errors.Is(err, tt.want) || !errors.Is(err, host.ErrExited) || err.Phase != tt.phase || e.Phase != tt.phase || e.Kind != launch.Failed {
				t.Errorf("got %v\nin %v, want %v in %v", err, err.Phase, tt.want, tt.phase)
			}
			if (tt.code == killed) != (e.Signal == syscall.SIGKILL) || tt.code != killed && e.Code != tt.code {
				t.Errorf("got %v, want %v", e, tt.code)
			}
			if !strings.Contains(e.Cause, tt.cause) || (tt.cause == "") != (e.Cause == "") {
				t.Errorf("got the cause %q, want %q", e.Cause, tt.cause)
			}
			if !strings.Contains(e.Stderr, tt.stderr) || !strings.Contains(err.Error(), tt.stderr) {
				t.Errorf("stderr %q in %q, want %q", e.Stderr, err, tt.stderr)
			}
			if err.Spent[launch.PhaseHandshake] <= 0 || err.Spent[launch.PhaseExec] <= 0 {
				t.Errorf("spent %v", err.Spent)
			}
		})
	}
	b.spawn("a")
}

// TestRealDiesBySignal kills a child before it has shaken hands.
func TestRealDiesBySignal(t *testing.T) {
	b := newBench(t)
	err := b.failed(misbehaving("a", "signal 9"))
	if e := err.Exit; e.Signal != syscall.SIGKILL || e.Cause != "" || e.Kind != launch.Failed || !errors.Is(err, host.ErrExitedEarly) {
		t.Errorf("got %v", err)
	}
}

// TestRealPrintsFirst sees that stdout is no part of the handshake (PS-5).
func TestRealPrintsFirst(t *testing.T) {
	b := newBench(t)
	h := b.start(misbehaving("a", "print"))
	if _, err := h.Ready(b.ctx()); err != nil {
		t.Fatal(err)
	}
	e, err := h.Terminate(b.ctx(), patience, "enough")
	if err != nil || !e.OK() || !strings.Contains(e.Stderr, "good evening") {
		t.Errorf("got %v, stderr %q, %v", e, e.Stderr, err)
	}
}

// TestRealInherited shows what a child gets from us (PS-5, PS-6).
func TestRealInherited(t *testing.T) {
	t.Setenv("OURS", "x")
	b := newBench(t)
	s := misbehaving("a", "inherited")
	s.Env = append(s.Env, "OURS=y", "TWICE=1", "TWICE=2")
	lines := strings.Split(b.failed(s).Exit.Stderr, "\n")
	want := []string{"fd 0", "fd 1", "fd 2", "fd 3", "OURS=y", "TWICE=2", "HYPERACTOR_CONTROL=3", "HYPERACTOR_MARK=" + b.mark, variable + "=inherited"}
	for _, w := range want {
		if i := slices.Index(lines, w); i < 0 {
			t.Errorf("%q is missing in %q", w, lines)
		}
	}
	for i, l := range lines {
		name, _, _ := strings.Cut(l, "=")
		again := slices.ContainsFunc(lines[:i], func(s string) bool { return strings.HasPrefix(s, name+"=") })
		if again || strings.HasPrefix(l, "fd ") && !slices.Contains(want, l) || strings.Contains(l, "token") {
			t.Errorf("should not be there: %q", l)
		}
	}
}

// TestRealGrandchildIsNoProc sees that what the handshake needs is gone from
// the environment, and the mark is not (PS-6).
func TestRealGrandchildIsNoProc(t *testing.T) {
	b := newBench(t)
	_, m := b.spawn("a")
	env := b.do(m, "run", "/usr/bin/env")
	b.want(env, "HYPERACTOR_MARK="+b.mark)
	if strings.Contains(env, "HYPERACTOR_CONTROL") {
		t.Errorf("a grandchild is taken for a proc:\n%s", env)
	}
	_, err := do.Call(b.ctx(), m, []string{"run", "/proc/self/exe", variable + "=unless-proc 7"})
	if err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("another process of our image: %v, want exit status 7", err)
	}
}
