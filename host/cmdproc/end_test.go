package cmdproc_test

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/launch"
)

// TestRealExact has commands end in many ways; the record is the kernel's.
func TestRealExact(t *testing.T) {
	tests := []struct {
		script string
		kind   launch.Kind
		code   int
		signal syscall.Signal
	}{
		{"exit 0", launch.Stopped, 0, 0},
		{"exit 1", launch.Stopped, 1, 0},
		{"exit 137", launch.Stopped, 137, 0},
		{"kill -KILL $$", launch.Killed, 0, syscall.SIGKILL},
		{"kill -ABRT $$", launch.Killed, 0, syscall.SIGABRT},
		{"kill -TERM $$", launch.Killed, 0, syscall.SIGTERM},
	}
	b := newBench(t, nil)
	for _, tt := range tests {
		e := b.wait(b.start(command("a", "sh", "-c", "ulimit -c 0; "+tt.script)))
		if e.Kind != tt.kind || e.Code != tt.code || e.Signal != tt.signal || e.Cause != "" || e.Requested != (launch.Request{}) || e.OOMKilled {
			t.Errorf("%s: got %+v", tt.script, e)
		}
	}
	h := b.spawn(command("a", "sleep", "3600"))
	e, err := h.Terminate(b.ctx(), patience, "enough")
	if err != nil || e.Kind != launch.Killed || e.Signal != syscall.SIGTERM || e.Requested.Why != "enough" || e.Cause != "" {
		t.Errorf("sleep: got %v, %v", e, err)
	}
}

// TestRealTerminateAtOnce stops a command with an hour of grace: nobody is
// there to be drained, so that the signal comes at once.
func TestRealTerminateAtOnce(t *testing.T) {
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "log=serving")}))
	h := b.spawn(acting("a", "serve"))
	began := time.Now()
	e, err := h.Terminate(b.ctx(), time.Hour, "enough")
	if took := time.Since(began); err != nil || !e.OK() || took > patience/2 {
		t.Errorf("got %v, %v after %v", e, err, took)
	}
}

// TestRealBeside has actors beside a command: they can be called, looked at
// and stopped, and a called failure is theirs alone.
func TestRealBeside(t *testing.T) {
	b := newBench(t, nil)
	h := b.spawn(command("a", "sleep", "3600"))
	agent, ok := h.Agent()
	if _, err := actor.Ping.Call(b.ctx(), agent, actor.None{}); !ok || err != nil {
		t.Errorf("Ping: %v, %v", ok, err)
	}
	p, err := hosttest.Type.Spawn(b.ctx(), h.ID(), "p", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hosttest.Fail.Call(b.ctx(), p, "a wrong answer"); err == nil || !strings.Contains(err.Error(), "a wrong answer") {
		t.Errorf("Fail: %v", err)
	}
	if n, err := hosttest.Echo.Call(b.ctx(), p, 7); n != 7 || err != nil {
		t.Errorf("Echo: %v, %v", n, err)
	}
	s, err := actor.StatusOf.Call(b.ctx(), agent, actor.None{})
	if err != nil || s.Proc != h.ID() || len(s.Actors) != 2 {
		t.Errorf("status: %+v, %v", s, err)
	}
	if err := p.Stop(b.ctx(), patience); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if s := h.Status(); s.Phase != host.Ready {
		t.Errorf("got %v", s)
	}
}

// TestRealDrainedByAgent drains a proc through its agent, as somebody can who
// has no handle: the command ends with it.
func TestRealDrainedByAgent(t *testing.T) {
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "log=serving")}))
	h := b.spawn(acting("a", "serve"))
	agent, _ := h.Agent()
	_, err := actor.DrainProc.Call(b.ctx(), agent, actor.DrainRequest{Budget: patience, Reason: "moving"})
	if err != nil && !errors.Is(err, actor.ErrPeerGone) { // the news of its end may be faster than the answer
		t.Fatal(err)
	}
	if e := b.wait(h); !e.OK() || e.Cause != "its agent was asked to drain it" || e.Requested != (launch.Request{}) {
		t.Errorf("got %v", e)
	}
}

// TestRealFailureBesideTheDeaf has an actor fail beside a command that does not
// obey: it is killed when its grace is used up (AC-9).
func TestRealFailureBesideTheDeaf(t *testing.T) {
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "log=serving"), Grace: 50 * time.Millisecond}))
	h := b.spawn(acting("a", "deaf"))
	p, err := hosttest.Type.Spawn(b.ctx(), h.ID(), "p", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	if err := hosttest.Fail.Send(b.ctx(), p, "ran out of string"); err != nil {
		t.Fatal(err)
	}
	e := b.wait(h)
	if e.Signal != syscall.SIGKILL || strings.Count(e.Cause, "ran out of string") != 1 {
		t.Errorf("got %v", e)
	}
}

// TestRealSuspended stops a command for longer than its liveness allows: that
// is a state, not a failure.
func TestRealSuspended(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nobody says who is stopped")
	}
	q := newQuestion()
	b := newBench(t, probed(cmdproc.Probes{
		Ready: asks(t, "log=serving"),
		Live:  cmdproc.Probe{Check: q, Config: probe.Config{Interval: time.Millisecond, Timeout: patience, Failures: 2, Jitter: -1}},
	}))
	h := b.spawn(acting("a", "serve"))
	if err := syscall.Kill(h.Status().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for !h.Status().Suspended {
		<-q.asked
	}
	<-q.setFor(errors.New("silence"), 10)
	<-q.setFor(nil, 1)
	if s := h.Status(); s.Phase != host.Ready || s.Cause != "" || !s.Suspended {
		t.Errorf("got %v", s)
	}
	if _, err := h.Terminate(b.ctx(), patience, "end of the test"); err != nil {
		t.Error(err)
	}
}

// TestRealOutput reads what commands write, also when a probe reads it too.
func TestRealOutput(t *testing.T) {
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "log=two")}))
	h := b.start(command("a", "sh", "-c", "echo one; echo two; printf 'the end'; echo oh >&2"))
	if e := b.wait(h); !e.OK() || e.Ready.IsZero() || e.Stderr != "oh" {
		t.Errorf("got %+v", e)
	}
	if got := b.said.of("a"); got != "one\ntwo\nthe end" {
		t.Errorf("stdout: %q", got)
	}
	if got := b.said.of("a stderr"); got != "oh" {
		t.Errorf("stderr: %q", got)
	}
}

// TestRealOutputForProbeOnly reads lines that nobody else wants.
func TestRealOutputForProbeOnly(t *testing.T) {
	b := newBench(t, func(c *cmdproc.Config) {
		c.Output = nil
		c.Probes = func(host.ProcSpec) cmdproc.Probes { return cmdproc.Probes{Ready: asks(t, "log=serving")} }
	})
	b.spawn(acting("a", "serve"))
}

// TestRealEnvironment looks at what commands find in their environment.
func TestRealEnvironment(t *testing.T) {
	for _, kv := range []string{"NOTIFY_SOCKET=/ours", "WATCHDOG_USEC=1", "LISTEN_FDS=1", "CMDPROC_OURS=1"} {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	show := func(env []string, spec host.ProcSpec) string {
		b := newBench(t, func(c *cmdproc.Config) { c.Env = env })
		if e := b.wait(b.start(spec)); !e.OK() {
			t.Errorf("%+v", e)
		}
		return "\n" + strings.ReplaceAll(b.said.of("a"), b.mark, "MARK") + "\n"
	}
	spec := command("a", "/usr/bin/env")
	spec.Env = []string{"A=2", "HYPER_RANK=3", "HYPER_NAME=liar"}

	if got, want := show([]string{"A=1", "B=1"}, spec), "\nA=2\nB=1\nHYPER_RANK=3\nHYPER_NAME=a\nHYPERACTOR_MARK=MARK\n"; got != want {
		t.Errorf("given: %s", got)
	}
	if got, want := show([]string{}, spec), "\nA=2\nHYPER_RANK=3\nHYPER_NAME=a\nHYPERACTOR_MARK=MARK\n"; got != want {
		t.Errorf("cleared: %s", got)
	}
	ours := show(nil, spec)
	for _, kv := range []string{"CMDPROC_OURS=1", "A=2", "HYPER_NAME=a"} {
		if !strings.Contains(ours, "\n"+kv+"\n") {
			t.Errorf("%s is not in:%s", kv, ours)
		}
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} {
		if strings.Contains(ours, "\n"+name+"=") {
			t.Errorf("%s is in:%s", name, ours)
		}
	}
}
