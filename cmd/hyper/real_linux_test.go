package main

import (
	"slices"
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
	children := pidfds(t, slices.DeleteFunc(pids, func(pid int) bool { return pid == cmd.Process.Pid }))
	if len(children) != 4 {
		t.Fatalf("%d procs, want 4", len(children))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitEnds(t, children, time.Now().Add(2*time.Second))
	rest()
	nothingLeft(t, mark)
}

func poll(fds []unix.PollFd, deadline time.Time) (int, syscall.Errno) {
	n, err := unix.Poll(fds, int(max(0, time.Until(deadline)).Milliseconds()))
	errno, _ := err.(syscall.Errno)
	return n, errno
}
