package main

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// TestRealNoOrphans kills the command, and waits for the ends of its procs.
func TestRealNoOrphans(t *testing.T) {
	cmd, mark, rest := counting(t)
	pids, err := launch.Census(mark)
	if err != nil {
		t.Fatal(err)
	}
	var children []int32 // as pidfds
	for _, pid := range pids {
		if pid == cmd.Process.Pid {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		children = append(children, int32(fd))
	}
	if len(children) != 4 {
		t.Fatalf("%d procs, want 4", len(children))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Second)
	for _, fd := range children {
		ready := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
		n, err := 0, unix.EINTR
		for err == unix.EINTR { // the runtime preempts with signals
			n, err = poll(ready, deadline)
		}
		if n != 1 {
			t.Errorf("a proc has outlived the command by 2 s (%v)", err)
		}
	}
	rest()
	nothingLeft(t, mark)
}

func poll(fds []unix.PollFd, deadline time.Time) (int, syscall.Errno) {
	n, err := unix.Poll(fds, int(max(0, time.Until(deadline)).Milliseconds()))
	errno, _ := err.(syscall.Errno)
	return n, errno
}
