package cmdproc_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/launch"
)

// TestRealNotLive fails a liveness probe: the command is asked to stop, and
// killed if it does not, and its exit says why in both cases.
func TestRealNotLive(t *testing.T) {
	const cause = "it is not live: probe question: 2 misses in a row: it is hung"
	tests := []struct {
		name   string
		how    string
		kind   launch.Kind
		signal syscall.Signal
	}{
		{"obeys", "serve", launch.Stopped, 0},
		{"does not obey", "deaf", launch.Killed, syscall.SIGKILL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := newQuestion()
			const grace = 200 * time.Millisecond
			b := newBench(t, probed(cmdproc.Probes{
				Ready: asks(t, "log=serving"),
				Live:  cmdproc.Probe{Check: q, Config: probe.Config{Interval: 5 * time.Millisecond, Timeout: patience, Failures: 2, Jitter: -1}},
				Grace: grace,
			}))
			h := b.spawn(acting("a", tt.how))
			<-q.asked
			q.set(errors.New("it is hung"))
			s := b.until(h, func(s host.Status) bool { return s.Cause != "" })
			if s.Cause != cause || s.Phase < host.Stopping || s.Requested != (launch.Request{}) {
				t.Errorf("meanwhile: %v", s)
			}
			e := b.wait(h)
			if e.Kind != tt.kind || e.Signal != tt.signal || e.Code != 0 || e.Cause != cause || e.Requested != (launch.Request{}) || e.Phase != launch.PhaseRunning {
				t.Errorf("got %v", e)
			}
			if tt.signal != 0 && e.Ended.Sub(s.Taken) < grace/2 {
				t.Errorf("it had %v", e.Ended.Sub(s.Taken))
			}
		})
	}
}

// TestRealLiveExec asks a command of its own.
func TestRealLiveExec(t *testing.T) {
	path := t.TempDir() + "/well"
	live := asks(t, "exec=test -f "+path)
	b := newBench(t, probed(cmdproc.Probes{Ready: live, Live: live}))
	gate, open := b.gate()
	h := b.start(command("a", "sh", "-c", "touch "+path+"; read x < "+gate+"; rm "+path+"; exec sleep 3600"))
	if _, err := h.Ready(b.ctx()); err != nil {
		t.Fatal(err)
	}
	open()
	e := b.wait(h)
	if e.Signal != syscall.SIGTERM || e.Kind != launch.Killed {
		t.Errorf("got %v", e)
	}
	b.contains(e.Cause, "it is not live: probe exec=test -f "+path+": 3 misses in a row: exit 1")
}

// TestRealNoLivenessDuringStop fails the liveness probe of a command that has
// an hour to stop: it keeps it.
func TestRealNoLivenessDuringStop(t *testing.T) {
	q := newQuestion()
	b := newBench(t, probed(cmdproc.Probes{
		Ready: asks(t, "log=serving"),
		Live:  cmdproc.Probe{Check: q, Config: probe.Config{Interval: time.Millisecond, Failures: 5, Jitter: -1}},
		Grace: time.Millisecond,
	}))
	h := b.spawn(acting("a", "deaf"))
	<-q.asked
	ended := make(chan host.Exit, 1)
	go func() { e, _ := h.Terminate(b.ctx(), time.Hour, "done"); ended <- e }()
	b.until(h, func(s host.Status) bool { return s.Phase == host.Stopping })
	<-q.setFor(errors.New("its port is closed"), 5)
	if s := h.Status(); s.Cause != "" || s.Phase != host.Stopping {
		t.Errorf("got %v", s)
	}
	h.Kill(b.ctx(), "end of the test")
	if e := <-ended; strings.Contains(e.Cause, "live") || e.Requested.Why != "done" {
		t.Errorf("got %v", e)
	}
}

// TestRealWatchdog has a command that keeps its watchdog waiting, and one that
// gives itself up.
func TestRealWatchdog(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux says who has sent a message")
	}
	live := asks(t, "notify")
	tests := []struct {
		name  string
		dog   time.Duration
		spec  host.ProcSpec
		cause string
	}{
		{"silence", 50 * time.Millisecond, acting("a", "notify", "-", "READY=1"), "it is not live: probe notify: 1 miss in a row: no WATCHDOG=1 for 50ms"},
		{"trigger", 0, acting("a", "notify", "-", "READY=1", "-", "WATCHDOG=trigger"), "it is not live: probe notify: 1 miss in a row: it said WATCHDOG=trigger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, probed(cmdproc.Probes{Ready: live, Live: live, Watchdog: tt.dog}))
			e := b.wait(b.start(tt.spec))
			if !e.OK() || e.Cause != tt.cause || e.Requested != (launch.Request{}) {
				t.Errorf("got %v", e)
			}
		})
	}
}

// TestRealStatus shows what a command says of itself.
func TestRealStatus(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux says who has sent a message")
	}
	b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "notify")}))
	first, openFirst := b.gate()
	h := b.start(acting("a", "notify", "-", "STATUS=loading", first, "STATUS=17_clients|READY=1"))
	b.until(h, func(s host.Status) bool { return s.Note == "loading" && s.Phase == host.Running })
	openFirst()
	s := b.until(h, func(s host.Status) bool { return s.Note == "17 clients" && s.Phase == host.Ready })
	b.contains(s.String(), "17 clients")
}

// TestRealStopping has commands that say that they stop: they need not be live
// any more, and may take their grace, but not more.
func TestRealStopping(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux says who has sent a message")
	}
	t.Run("ends", func(t *testing.T) {
		q := hanging{asked: make(chan struct{}, 1), left: make(chan struct{}, 1)}
		live := cmdproc.Probe{Check: q, Config: probe.Config{Interval: time.Millisecond, Timeout: time.Hour, Jitter: -1}}
		b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "notify"), Live: live, Grace: time.Hour}))
		says, say := b.gate()
		ends, end := b.gate()
		h := b.spawn(command("a", "sh", "-c", `CMDPROC_TEST="notify - READY=1 `+says+` STOPPING=1|STATUS=bye" "$0" & read x < `+ends+`; exit 5`, testBinary(t)))
		<-q.asked
		say()
		<-q.left
		b.until(h, func(s host.Status) bool { return s.Note == "bye" && s.Phase == host.Ready })
		end()
		if e := b.wait(h); e.Code != 5 || e.Cause != "" {
			t.Errorf("got %v", e)
		}
	})
	t.Run("does not end", func(t *testing.T) {
		b := newBench(t, probed(cmdproc.Probes{Ready: asks(t, "notify"), Grace: 100 * time.Millisecond}))
		h := b.spawn(acting("a", "notify-deaf", "READY=1|STOPPING=1"))
		if e := b.wait(h); e.Signal != syscall.SIGKILL || e.Cause != "it said STOPPING=1 and has not ended within 100ms" {
			t.Errorf("got %v", e)
		}
	})
}

// hanging is a question that is asked once and never answered.
type hanging struct{ asked, left chan struct{} }

func (q hanging) Check(ctx context.Context) error {
	q.asked <- struct{}{}
	<-ctx.Done()
	q.left <- struct{}{}
	return context.Cause(ctx)
}

func (q hanging) String() string { return "hanging" }
