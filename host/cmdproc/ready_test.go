package cmdproc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/launch"
)

// TestRealReady has commands become ready in each way there is, once a gate is
// open and not before.
func TestRealReady(t *testing.T) {
	type question struct {
		probe cmdproc.Probe
		spec  host.ProcSpec
	}
	tests := []struct {
		name  string
		linux bool
		make  func(b *bench, gate string) question
	}{
		{"log", false, func(b *bench, gate string) question {
			return question{asks(b.T, "log=^up (and|or) running$"), command("a", "sh", "-c", "echo starting; read x < "+gate+"; echo up and running; exec sleep 3600")}
		}},
		{"log on stderr", false, func(b *bench, gate string) question {
			return question{asks(b.T, "log=running"), command("a", "sh", "-c", "read x < "+gate+"; echo running >&2; exec sleep 3600")}
		}},
		{"tcp", false, func(b *bench, gate string) question {
			addr := freeAddr(b.T)
			return question{asks(b.T, "tcp="+addr), acting("a", "listen", gate, addr)}
		}},
		{"exec", false, func(b *bench, gate string) question {
			path := filepath.Join(b.TempDir(), "made")
			return question{asks(b.T, `exec=test -f `+path+` && test "$HYPER_NAME" = a`), acting("a", "create", gate, path)}
		}},
		{"notify", true, func(b *bench, gate string) question {
			return question{asks(b.T, "notify"), acting("a", "notify", "-", "STATUS=loading", gate, "READY=1")}
		}},
		{"any check", false, func(b *bench, gate string) question {
			path := filepath.Join(b.TempDir(), "made")
			p := asks(b.T, "process")
			p.Check = fileCheck(path)
			return question{p, acting("a", "create", gate, path)}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.linux && runtime.GOOS != "linux" {
				t.Skip("only linux says who has sent a message")
			}
			var q question
			b := newBench(t, func(c *cmdproc.Config) {
				c.Probes = func(host.ProcSpec) cmdproc.Probes { return cmdproc.Probes{Ready: q.probe} }
			})
			gate, open := b.gate()
			q = tt.make(b, gate)
			h := b.start(q.spec)
			if s := h.Status(); s.Phase != host.Running {
				t.Errorf("before the gate is open: %v", s)
			}
			open()
			if _, err := h.Ready(b.ctx()); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Kill(b.ctx(), "end of the test"); err != nil {
				t.Error(err)
			}
			b.empty()
		})
	}
}

// TestRealReadyAtOnce spawns commands that need not pass anything, some of which
// are over before anybody can look: each was ready.
func TestRealReadyAtOnce(t *testing.T) {
	b := newBench(t, nil)
	for range 20 {
		h := b.start(command("a", "true"))
		e := b.wait(h)
		if !e.OK() || e.Ready.IsZero() || e.Phase != launch.PhaseRunning || e.Cause != "" {
			t.Fatalf("got %+v", e)
		}
	}
	h := b.start(command("a", "sh", "-c", "exit 3"))
	if e := b.wait(h); e.Kind != launch.Stopped || e.Code != 3 || e.Ready.IsZero() {
		t.Errorf("got %v", e)
	}
}

// TestRealReadyAndGone has a command that says that it is ready and ends at
// once: what it said before its end counts.
func TestRealReadyAndGone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux says who has sent a message")
	}
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "notify")}))
	for range 20 {
		if e := b.wait(b.start(acting("a", "notify-exit", "READY=1"))); !e.OK() || e.Ready.IsZero() {
			t.Fatalf("got %+v", e)
		}
	}
}

// TestRealNotReady spawns what does not become ready (PS-10, PM-1, PH-9).
func TestRealNotReady(t *testing.T) {
	silent := freeAddr(t)
	tests := []struct {
		name    string
		probe   string
		spec    host.ProcSpec
		timeout time.Duration
		is      error
		kind    launch.Kind
		parts   []string
	}{
		{"exit before", "log=serving", acting("a", "exit", "3"), 0, host.ErrExitedEarly, launch.Failed,
			[]string{"exit 3", "in init", "stderr: cannot go on"}},
		{"clean exit before", "tcp=" + silent, command("a", "true"), 0, host.ErrExitedEarly, launch.Failed,
			[]string{"exit 0", "in init"}},
		{"signal before", "tcp=" + silent, command("a", "sh", "-c", "kill -SEGV $$"), 0, host.ErrExitedEarly, launch.Failed,
			[]string{"signal 11"}},
		{"tcp too late", "tcp=" + silent, command("a", "sleep", "3600"), 200 * time.Millisecond, host.ErrReadyTimeout, launch.Failed,
			[]string{"because init timeout after 200ms; probe tcp=" + silent, "refused"}},
		{"log too late", "log=serving", command("a", "sh", "-c", "echo nothing; exec sleep 3600"), 200 * time.Millisecond, host.ErrReadyTimeout, launch.Failed,
			[]string{"init timeout after 200ms; probe log=serving", "no match"}},
		{"exec too late", "exec=echo not now >&2; exit 4", command("a", "sleep", "3600"), 500 * time.Millisecond, host.ErrReadyTimeout, launch.Failed,
			[]string{"init timeout after 500ms; probe exec=", "exit 4: not now"}},
		{"exec hangs", "exec=sleep 3600", command("a", "sleep", "3600"), 200 * time.Millisecond, host.ErrReadyTimeout, launch.Failed,
			[]string{"init timeout after 200ms; probe exec=sleep 3600"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, tt.probe)}))
			tt.spec.ReadyTimeout = tt.timeout
			err := b.failed(tt.spec)
			if !errors.Is(err, tt.is) || err.Exit.Kind != tt.kind || err.Phase != launch.PhaseInit {
				t.Errorf("got %+v", err)
			}
			b.contains(err.Error(), tt.parts...)
		})
	}
}

// TestRealNotStarted spawns what cannot be started, with probes that hold
// something: it is freed.
func TestRealNotStarted(t *testing.T) {
	tests := []struct {
		name   string
		probes cmdproc.Probes
		spec   host.ProcSpec
		is     error
		text   string
	}{
		{"no program", cmdproc.Probes{Ready: asks(t, "exec=true")}, command("a", "/no/such/program"), launch.ErrNotFound, "/no/such/program"},
		{"no client", cmdproc.Probes{Ready: asks(t, "http=http://localhost/")}, command("a", "sleep", "3600"), nil, "probe http=http://localhost/: Probe.Check is needed"},
		{"log for life", cmdproc.Probes{Live: asks(t, "log=x")}, command("a", "sleep", "3600"), nil, "not that it still works"},
		{"pattern", cmdproc.Probes{Ready: cmdproc.Probe{Spec: probe.Spec{Kind: probe.KindLog, Arg: "("}}}, command("a", "sleep", "3600"), nil, "missing closing )"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			closed := 0
			tt.probes.Close = func() error { closed++; return nil }
			b := newBench(t, probed(tt.probes))
			err := b.failed(tt.spec)
			if tt.is != nil && !errors.Is(err, tt.is) || err.Phase != launch.PhaseExec || closed != 1 {
				t.Errorf("got %v; closed %d times", err, closed)
			}
			b.contains(err.Error(), tt.text)
		})
	}
}

// TestRealStranger writes to the socket of a command from outside.
func TestRealStranger(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux says who has sent a message")
	}
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "notify")}))
	gate, open := b.gate()
	spec := command("a", "sh", "-c", `echo "$NOTIFY_SOCKET"; read x < `+gate+`; CMDPROC_TEST="notify - READY=1" exec "$0"`, testBinary(t))
	h := b.start(spec)
	socket := b.said.await(t, "a")
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1\nSTATUS=mine")); err != nil {
		t.Fatal(err)
	}
	open()
	if _, err := h.Ready(b.ctx()); err != nil {
		t.Fatal(err)
	}
	if s := h.Status(); s.Note != "" {
		t.Errorf("a stranger was heard: %v", s)
	}
}

// TestRealMemberOfAnotherGroup is ready because of what a descendant says that
// has left the process group of the command.
func TestRealMemberOfAnotherGroup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux says who has sent a message")
	}
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "notify")}))
	h := b.spawn(command("a", "sh", "-c", `CMDPROC_TEST="notify - READY=1" setsid timeout 60 "$0" & echo $!; wait`, testBinary(t)))
	pid, err := strconv.Atoi(b.said.await(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if group, err := syscall.Getpgid(pid); err != nil || group == h.Status().PID {
		t.Errorf("its group is %d, %v", group, err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil { // a launcher without a keeper does not reach it
		t.Error(err)
	}
	if e := b.wait(h); !e.OK() {
		t.Errorf("got %v", e)
	}
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddr returns an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fileCheck is a check of a kind that only its program knows: a file is there.
type fileCheck string

func (c fileCheck) Check(ctx context.Context) error {
	_, err := os.Stat(string(c))
	return err
}

func (c fileCheck) String() string { return "file=" + string(c) }
