package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a terminal with a command that runs on it in front.
type terminal struct {
	*testing.T
	cmd    *exec.Cmd
	master *os.File
	text   []byte // what was read so far
}

// openPTY returns both ends of a new terminal.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal starts a command on a terminal of its own, with more descriptors
// from 3 on.
func onTerminal(t *testing.T, cmd *exec.Cmd, more ...*os.File) *terminal {
	t.Helper()
	master, slave := openPTY(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = slave, slave, slave, more
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err := cmd.Start()
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	return &terminal{T: t, cmd: cmd, master: master}
}

// read reads some text, without the carriage returns that the terminal adds.
func (tt *terminal) read() ([]byte, error) {
	buf := make([]byte, 4096)
	n, err := tt.master.Read(buf)
	return bytes.ReplaceAll(buf[:n], []byte("\r"), nil), err
}

// press types something.
func (tt *terminal) press(keys string) {
	tt.Helper()
	if _, err := tt.master.WriteString(keys); err != nil {
		tt.Fatal(err)
	}
}

// await reads until all of patterns are in what came since the last await. The
// command is killed after a minute, which ends a wait in vain.
func (tt *terminal) await(patterns ...string) {
	tt.Helper()
	var unread []byte
	for _, p := range patterns {
		for re := regexp.MustCompile("(?m)" + p); !re.Match(unread); {
			text, err := tt.read()
			unread = append(unread, text...)
			if err != nil {
				tt.Fatalf("%q did not come, but %v after %q", p, err, append(tt.text, unread...))
			}
		}
	}
	tt.text = append(tt.text, unread...)
}

// end reads the rest, and returns all that was written and the exit code.
func (tt *terminal) end() (text string, code int) {
	tt.Helper()
	for {
		text, err := tt.read()
		tt.text = append(tt.text, text...)
		if err != nil { // EIO: nobody has the other end any more
			break
		}
	}
	if err := tt.cmd.Wait(); tt.cmd.ProcessState == nil {
		tt.Fatal(err)
	}
	return string(tt.text), tt.cmd.ProcessState.ExitCode()
}
