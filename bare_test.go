package hyperactor_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runBare is the child that benchmarks compare a proc with: the same binary,
// without anything of ours.
func runBare(what string) int {
	fmt.Print("!") // one byte over a pipe: it runs
	kind, addr, _ := strings.Cut(what, "=")
	if kind == "echo" {
		if err := echo(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	io.Copy(io.Discard, os.Stdin) // until the parent is gone, or closes the pipe
	return 0
}

// echo answers 64 bytes with 64 bytes on one connection.
func echo(addr string) error {
	l, err := net.Listen("unix", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Print("!")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	var b [64]byte
	for {
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return nil
		}
		if _, err := c.Write(b[:]); err != nil {
			return nil
		}
	}
}

// bareChild is a running bare child.
type bareChild struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

// startBare starts a bare child and waits for its first byte.
func startBare(tb testing.TB, what string) *bareChild {
	tb.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "HYPER_TEST_BARE="+what)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &bareChild{cmd, stdin, bufio.NewReader(stdout)}
	c.byte(tb)
	return c
}

func (c *bareChild) byte(tb testing.TB) {
	tb.Helper()
	if _, err := c.stdout.ReadByte(); err != nil {
		tb.Fatal(err)
	}
}

func (c *bareChild) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// bareEcho returns a connection to an echoing bare child.
func bareEcho(tb testing.TB) net.Conn {
	tb.Helper()
	addr := filepath.Join(tb.TempDir(), "echo")
	c := startBare(tb, "echo="+addr)
	tb.Cleanup(c.kill)
	c.byte(tb)
	conn, err := net.Dial("unix", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}
