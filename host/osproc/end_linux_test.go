package osproc_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// TestRealEndsByItself lets a proc that was ready end in several ways.
func TestRealEndsByItself(t *testing.T) {
	tests := []struct {
		words  []string
		kind   launch.Kind
		code   int
		signal syscall.Signal
		stderr string
	}{
		{[]string{"exit", "0"}, launch.Stopped, 0, 0, ""},
		{[]string{"exit", "137"}, launch.Stopped, 137, 0, ""},
		{[]string{"signal", "9"}, launch.Killed, 0, syscall.SIGKILL, ""},
		{[]string{"panic", "oh dear"}, launch.Stopped, 2, 0, "panic: oh dear"},
		{[]string{"panic in a crowd", "oh dear"}, launch.Stopped, 2, 0, "panic: oh dear"},
	}
	b := newBench(t)
	for _, tt := range tests {
		t.Run(strings.Join(tt.words, " "), func(t *testing.T) {
			h, m := b.spawn("a")
			if err := do.Send(b.ctx(), m, tt.words); err != nil {
				t.Fatal(err)
			}
			e := b.wait(h)
			if e.Kind != tt.kind || e.Code != tt.code || e.Signal != tt.signal || e.Phase != launch.PhaseRunning ||
				e.Cause != "" || e.Requested != (launch.Request{}) || e.Ready.IsZero() || !strings.Contains(e.Stderr, tt.stderr) {
				t.Errorf("got %v, stderr %q", e, e.Stderr)
			}
			b.empty()
		})
	}
}

// TestRealLastWords has the last lines of stderr in the record (PS-8).
func TestRealLastWords(t *testing.T) {
	b := newBench(t)
	h, m := b.spawn("a")
	for i := range 150 {
		b.do(m, "print", "line "+strconv.Itoa(i))
	}
	e, err := h.Kill(b.ctx(), "enough")
	lines := strings.Split(e.Stderr, "\n")
	if err != nil || len(lines) != 100 || lines[0] != "line 50" || lines[99] != "line 149" {
		t.Errorf("got %d lines, %q to %q, %v", len(lines), lines[0], lines[len(lines)-1], err)
	}
}

// TestRealIgnoresSIGTERM needs the last step of a Terminate (PH-5).
func TestRealIgnoresSIGTERM(t *testing.T) {
	b := newBench(t)
	h, m := b.spawn("a")
	b.do(m, "ignore")
	const grace = 400 * time.Millisecond
	began := time.Now()
	e, err := h.Terminate(b.ctx(), grace, "go")
	took := time.Since(began)
	if err != nil || e.Signal != syscall.SIGKILL || e.Kind != launch.Killed || e.Phase != launch.PhaseStopping || !strings.Contains(e.Cause, "grace of 400ms used up") {
		t.Errorf("got %v, %v", e, err)
	}
	if took < grace || took > grace+2*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestRealSuspended stops a child with SIGSTOP: that is no failure, and a
// Terminate gets it to obey within the grace (PH-5).
func TestRealSuspended(t *testing.T) {
	b := newBench(t)
	h, _ := b.spawn("a")
	b.suspend(h)
	began := time.Now()
	e, err := h.Terminate(b.ctx(), patience, "go")
	if took := time.Since(began); err != nil || !e.OK() || e.Cause != "" || took > patience/3 {
		t.Errorf("got %v, %v after %v", e, err, took)
	}
	if h.Status().Suspended {
		t.Error("suspended after the exit")
	}
}

// TestRealSuspendedIsKilled kills a child that was stopped with SIGSTOP: that
// needs no SIGCONT (PH-6).
func TestRealSuspendedIsKilled(t *testing.T) {
	b := newBench(t)
	h, _ := b.spawn("a")
	b.suspend(h)
	if e, err := h.Kill(b.ctx(), "go"); err != nil || e.Signal != syscall.SIGKILL || e.Cause != "" {
		t.Errorf("got %v, %v", e, err)
	}
}

// suspend stops the process of h and returns when it has stopped.
func (b *bench) suspend(h host.ProcHandle) {
	b.Helper()
	s := h.Status()
	if s.Suspended || s.PID == 0 {
		b.Fatalf("got %v", s)
	}
	if err := syscall.Kill(s.PID, syscall.SIGSTOP); err != nil {
		b.Fatal(err)
	}
	var status syscall.WaitStatus
	_, err := syscall.Wait4(s.PID, &status, syscall.WUNTRACED, nil)
	for err == syscall.EINTR {
		_, err = syscall.Wait4(s.PID, &status, syscall.WUNTRACED, nil)
	}
	if err != nil || !status.Stopped() {
		b.Fatalf("got %v, %v", status, err)
	}
	if s := h.Status(); !s.Suspended || s.Phase != host.Ready || !strings.Contains(s.String(), "suspended") {
		b.Errorf("got %v, want it suspended and ready", s)
	}
}

// TestRealClosesControl has a child that gives up its control connection and
// lives: nobody could follow it, so it is killed, and the exit says why (PH-9).
func TestRealClosesControl(t *testing.T) {
	b := newBench(t)
	h, m := b.spawn("a")
	b.do(m, "shut")
	e := b.wait(h)
	if e.Signal != syscall.SIGKILL || e.Cause != "its control connection was lost" || e.Requested != (launch.Request{}) || e.Phase != launch.PhaseRunning {
		t.Errorf("got %v", e)
	}
}

// TestRealGrandchildHoldsOutput has the exit wait for 500 ms for a grandchild
// that has left the tree and keeps stdout open (PS-9, PH-12).
func TestRealGrandchildHoldsOutput(t *testing.T) {
	const bound, late = 500 * time.Millisecond, 2 * time.Second
	b := newBench(t)
	h, m := b.spawn("a")
	lifeline, w := b.lifeline()
	if err := do.Send(b.ctx(), m, []string{"leave", "1", lifeline, "in a session of its own"}); err != nil {
		t.Fatal(err)
	}
	e := b.wait(h)
	if e.Swept == 1 && !e.Cut {
		t.Skip("from this launcher there is no escape")
	}
	if took := time.Since(e.Ended); !e.Cut || e.Code != 0 || e.Swept != 0 || took < bound || took > bound+late {
		t.Errorf("got %+v after %v", e, took)
	}
	w.Close()
	b.gone()
}

// TestRealGrandchildrenAreSwept kills what a child leaves in its group (PS-3).
func TestRealGrandchildrenAreSwept(t *testing.T) {
	b := newBench(t)
	h, m := b.spawn("a")
	lifeline, _ := b.lifeline()
	if err := do.Send(b.ctx(), m, []string{"leave", "3", lifeline}); err != nil {
		t.Fatal(err)
	}
	if e := b.wait(h); e.Swept != 3 || e.Cut || e.Code != 0 {
		t.Errorf("got %+v", e)
	}
	b.empty()
}

// gone waits for the end of all processes that descend from the host.
func (b *bench) gone() {
	b.Helper()
	left, err := launch.Census(host.Marker(b.mark))
	if err != nil {
		b.Fatal(err)
	}
	for _, pid := range left {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // gone
		}
		for errors.Is(awaitPidfd(fd), unix.EINTR) { // the runtime preempts with signals
		}
		unix.Close(fd)
	}
}

// TestRealDiesUnderCallers ends a child in the middle of 100 calls.
func TestRealDiesUnderCallers(t *testing.T) {
	b := newBench(t)
	h, m := b.spawn("a")
	var wg sync.WaitGroup
	records := make(chan host.Exit, 100)
	for i := range cap(records) {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				e, _ := h.Terminate(b.ctx(), patience, "go")
				records <- e
			case 1:
				records <- b.wait(h)
			default:
				h.Ready(b.ctx())
				records <- b.wait(h)
			}
		})
	}
	do.Send(b.ctx(), m, []string{"signal", "9"}) // the proc may be draining by then
	wg.Wait()
	close(records)
	want := b.wait(h)
	for e := range records {
		if e != want {
			t.Errorf("got %+v, others %+v", e, want)
		}
	}
}

// TestRealSocketsAreRemoved leaves no file behind, however a proc ends.
func TestRealSocketsAreRemoved(t *testing.T) {
	b := newBench(t)
	for _, words := range [][]string{{"exit", "0"}, {"signal", "9"}} {
		h, m := b.spawn("a")
		addr, _ := h.Addr()
		path := addr.Address()
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		do.Send(b.ctx(), m, words)
		b.wait(h)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("after %v: %s is still there (%v)", words, path, err)
		}
	}
}

func awaitPidfd(fd int) error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
	return err
}
