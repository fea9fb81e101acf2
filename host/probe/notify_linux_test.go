package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// listen makes a Notify and returns what it hears.
func listen(t *testing.T, cfg NotifyConfig) (*Notify, <-chan Notices) {
	t.Helper()
	heard := make(chan Notices, 1000) // more than any test says
	cfg.OnNotice = func(n Notices) { heard <- n }
	n, err := NewNotify(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, heard
}

// dial connects to a Notify the way a process does that was given env.
func dial(t *testing.T, env []string) *net.UnixConn {
	t.Helper()
	name, ok := strings.CutPrefix(env[0], "NOTIFY_SOCKET=")
	if !ok {
		t.Fatalf("environment %q", env)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c *net.UnixConn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// sendRights sends descriptors with a message.
func sendRights(t *testing.T, c *net.UnixConn, text string, fds []int) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = rc.Write(func(fd uintptr) bool {
		failed = syscall.Sendmsg(int(fd), []byte(text), syscall.UnixRights(fds...), nil, 0)
		return failed != syscall.EAGAIN
	})
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

// TestRealNotifyInTime: what was said before ctx was over counts, even if
// nobody has read it by then.
func TestRealNotifyInTime(t *testing.T) {
	known, over := make(chan struct{}), make(chan error)
	n, _ := listen(t, NotifyConfig{Member: func(int) bool { <-known; return true }})
	send(t, dial(t, n.Env()), "READY=1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go func() { over <- n.AwaitReady(ctx) }()
	close(known)
	if err := <-over; err != nil {
		t.Error(err)
	}
	if got := n.Notices(); !got.Ready || got.Refused != 0 {
		t.Errorf("got %+v", got)
	}
	silent, _ := listen(t, NotifyConfig{})
	if err := silent.AwaitReady(ctx); !errors.Is(err, context.Canceled) || silent.Notices() != (Notices{}) {
		t.Errorf("nothing was said: got %v, %+v", err, silent.Notices())
	}
}

func TestRealNotify(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "notify")} {
		n, heard := listen(t, NotifyConfig{Path: path, Member: func(pid int) bool { return pid == os.Getpid() }, Watchdog: time.Minute})
		if env := n.Env(); len(env) != 2 || env[1] != "WATCHDOG_USEC=60000000" || (path == "") != strings.HasPrefix(env[0], "NOTIFY_SOCKET=@") {
			t.Errorf("environment %q", env)
		}
		c := dial(t, n.Env())
		send(t, c, strings.Repeat("x", MaxMessage+1))
		send(t, c, "")
		if got := <-heard; got != (Notices{Refused: 1}) {
			t.Errorf("got %+v", got)
		}
		send(t, c, "STATUS="+strings.Repeat("x", MaxMessage-len("STATUS=")))
		if got := <-heard; len(got.Status) != MaxMessage-len("STATUS=") {
			t.Errorf("got a status of %d bytes", len(got.Status))
		}
		send(t, c, "READY=1")
		if err := n.AwaitReady(t.Context()); err != nil {
			t.Error(err)
		}
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o666 {
			t.Errorf("socket %v, %v", info, err)
		}
		for range 2 {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	}
}

// TestRealNotifyBarrier passes descriptors: when they are closed, all messages
// before were taken.
func TestRealNotifyBarrier(t *testing.T) {
	n, _ := listen(t, NotifyConfig{})
	c := dial(t, n.Env())
	for range 300 { // more than a process may have open, if they were not closed
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fds := make([]int, 253) // as many as the kernel takes
		for i := range fds {
			fds[i] = int(w.Fd())
		}
		before := time.Now()
		send(t, c, "WATCHDOG=1")
		sendRights(t, c, "BARRIER=1", fds)
		w.Close()
		if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
			t.Errorf("got %q, %v", got, err)
		}
		r.Close()
		if n.Notices().Alive.Before(before) {
			t.Error("the message before the barrier was not taken")
		}
	}
}

func TestRealNotifyErrors(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)))
	if _, err := NewNotify(NotifyConfig{Path: long}); err == nil || !strings.Contains(err.Error(), "has 108 bytes, at most 107 are possible") {
		t.Errorf("got %v", err)
	}
	n, _ := listen(t, NotifyConfig{Path: long[:maxSocketPath]})
	if _, err := NewNotify(NotifyConfig{Path: long[:maxSocketPath]}); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "use another path") {
		t.Errorf("got %v", err)
	}
	if _, err := NewNotify(NotifyConfig{Path: filepath.Join(dir, "no", "where")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	time.AfterFunc(0, func() { n.Close() })
	if err := n.AwaitReady(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	if err := n.AwaitFailure(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

// TestRealNotifyChild is told by a process, and refuses to be told by another.
func TestRealNotifyChild(t *testing.T) {
	pids := make(chan int, 1)
	known := 0
	n, heard := listen(t, NotifyConfig{Member: func(pid int) bool {
		if known == 0 {
			known = <-pids
		}
		return pid == known
	}})
	send(t, dial(t, n.Env()), "STATUS=stranger")
	p, err := newLauncher(t).Launch(t.Context(), launch.Spec{
		Path: launch.Self, Args: []string{"STATUS=up", "READY=1"}, Env: append(n.Env(), childMarker+"=notify"),
	})
	if err != nil {
		t.Fatal(err)
	}
	pids <- p.PID()
	if err := n.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first := <-heard; first.Status != "up" || first.Refused != 1 {
		t.Errorf("heard %+v first", first)
	}
	if e := p.Wait(); !e.OK() {
		t.Error(e)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOver)
	if err := n.AwaitFailure(ctx); err != errOver {
		t.Errorf("got %v", err)
	}
}

// TestRealNotifyCloseWaits closes while a message is being dealt with.
func TestRealNotifyCloseWaits(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var dealtWith atomic.Bool
	n, err := NewNotify(NotifyConfig{OnNotice: func(Notices) {
		close(entered)
		<-release
		dealtWith.Store(true)
	}})
	if err != nil {
		t.Fatal(err)
	}
	send(t, dial(t, n.Env()), "READY=1")
	<-entered
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if err := n.Close(); err != nil || !dealtWith.Load() {
		t.Errorf("closed while a message was being dealt with; %v", err)
	}
}
