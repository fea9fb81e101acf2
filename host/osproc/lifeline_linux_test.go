package osproc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/internal/handshake"
)

// child is a child process whose host is the test itself.
type child struct {
	*testing.T
	cmd     *exec.Cmd
	control *os.File
	stderr  bytes.Buffer
}

func newChild(t *testing.T) *child {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return &child{T: t, cmd: exec.CommandContext(ctx, os.Args[0])}
}

// startChild starts a proc by hand.
func startChild(t *testing.T) *child {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	defer theirs.Close()
	c := newChild(t)
	c.control = os.NewFile(uintptr(fds[0]), "ours")
	t.Cleanup(func() { c.control.Close() })
	if err := c.control.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c.cmd.ExtraFiles = []*os.File{theirs}
	c.start("3")
	return c
}

// start starts the process, which is told that its control descriptor is fd.
func (c *child) start(fd string) {
	c.Helper()
	c.cmd.Env = append(os.Environ(), "HYPERACTOR_CONTROL="+fd, "GORACE=atexit_sleep_ms=0")
	c.cmd.Stderr = &c.stderr
	if err := c.cmd.Start(); err != nil {
		c.Fatal(err)
	}
}

// boots sends the first message and returns the answer.
func (c *child) boots(version int) (n handshake.Note) {
	c.Helper()
	b := handshake.Boot{
		Version: version, Once: []byte("once"), Proc: hosttest.NewID(c.T, "a"), Host: hosttest.NewID(c.T, "service"),
		Listen: channel.Addr("unix:" + filepath.Join(c.dir(), "a")),
	}
	if err := errors.Join(handshake.Write(c.control, &b), handshake.Read(c.control, &n)); err != nil {
		c.Fatal(err)
	}
	return n
}

// dir returns a directory whose name is short enough for a socket.
func (c *child) dir() string {
	c.Helper()
	dir, err := os.MkdirTemp("", "osproc-")
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// exits waits for the end of the process.
func (c *child) exits(code int, stderr string) {
	c.Helper()
	c.cmd.Wait()
	if got := c.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(c.stderr.String(), stderr) {
		c.Errorf("got %v, stderr %q, want exit %d, %q", c.cmd.ProcessState, c.stderr.String(), code, stderr)
	}
}

// TestRealLifeline cuts the control connection: the proc drains and exits (PS-2).
func TestRealLifeline(t *testing.T) {
	c := startChild(t)
	if n := c.boots(handshake.Version); n.Version != handshake.Version || string(n.Once) != "once" || n.Addr == "" || n.Failure != "" {
		t.Errorf("got %+v", n)
	}
	c.control.Close()
	c.exits(0, "")
}

// TestRealChildRefusesVersion has a host that speaks another version (PS-10).
func TestRealChildRefusesVersion(t *testing.T) {
	c := startChild(t)
	want := fmt.Sprintf("the host speaks %d, the proc %d", handshake.Version+1, handshake.Version)
	if n := c.boots(handshake.Version + 1); n.Version != handshake.Version || n.Addr != "" || !strings.Contains(n.Failure, want) {
		t.Errorf("got %+v", n)
	}
	c.exits(1, want)
}

// TestRealChildWithoutHost starts procs that nobody talks to. They end at once.
func TestRealChildWithoutHost(t *testing.T) {
	c := startChild(t)
	c.control.Close()
	c.exits(1, "handshake with the host")

	for fd, want := range map[string]string{"seven": "is not a descriptor", strconv.Itoa(1000): "descriptor 1000"} {
		c := newChild(t)
		c.start(fd)
		c.exits(1, want)
	}
}

// TestRealChildHearsGarbage gets something else than a boot message.
func TestRealChildHearsGarbage(t *testing.T) {
	c := startChild(t)
	if _, err := c.control.Write([]byte("hello, are you there?")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c.control); len(b) > 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("it answers %q, %v", b, err)
	}
	c.exits(1, "handshake with the host")
}
