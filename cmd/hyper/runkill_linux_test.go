package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// TestRealKilled kills hyper, or who keeps its processes, without warning: 2 s
// later nothing is left of procs whose children have left their session, with
// a cgroup around them and without.
func TestRealKilled(t *testing.T) {
	for victim, find := range map[string]func(t *testing.T, hyper int) int{
		"hyper":  func(_ *testing.T, hyper int) int { return hyper },
		"guard":  child,
		"keeper": func(t *testing.T, hyper int) int { return child(t, child(t, hyper)) },
	} {
		for walls, flags := range map[string][]string{"no cgroup": nil, "cgroup": {"--pids=100"}} {
			t.Run(victim+", "+walls, func(t *testing.T) {
				if cgroup, _ := condition("cgroup"); flags != nil && !cgroup {
					t.Skip("no cgroup can be made here")
				}
				const procs = 20
				cmd, mark := sleepers(t, procs, flags...)
				pids, err := launch.Census(mark)
				if err != nil {
					t.Fatal(err)
				}
				if len(pids) < 3*procs { // sh and two sleeps
					t.Fatalf("%d processes for %d procs", len(pids), procs)
				}
				hyper := func(pid int) bool { return pid == cmd.Process.Pid } // lives on without a keeper, to tell
				fds := pidfds(t, slices.DeleteFunc(pids, hyper))
				if err := unix.Kill(find(t, cmd.Process.Pid), unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
				awaitEnds(t, fds, time.Now().Add(2*time.Second))
				cmd.Wait()
				if cmd.ProcessState.ExitCode() == 0 {
					t.Error("exit code 0")
				}
				nothingLeft(t, mark)
			})
		}
	}
}

// sleepers starts hyper with n procs that sleep, each with a child that sleeps
// in a session of its own, and returns when all of them are there.
func sleepers(t *testing.T, n int, flags ...string) (cmd *exec.Cmd, mark string) {
	t.Helper()
	args := append([]string{"run", "-n", strconv.Itoa(n), "--events", "-", "--ready", "log=up"}, flags...)
	cmd, mark = hyperCommand(t, append(args, "--", "sh", "-c", `setsid sh -c "echo up; exec sleep 1000" & exec sleep 1000 & wait`)...)
	events, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { events.Close() })
	cmd.Stdout = theirs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	ready := 0
	err = eachEvent(events, func(e eventRecord) bool {
		if e.Event == "ready" {
			ready++
		}
		return ready < n
	})
	if err != nil || ready < n {
		t.Fatalf("%d of %d procs are ready: %v", ready, n, err)
	}
	return cmd, mark
}

// child returns the only child of a process.
func child(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var children []string
	for _, task := range tasks { // each knows those that it has started
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, strings.Fields(string(b))...)
	}
	if len(children) != 1 {
		t.Fatalf("process %d has children %v, want one", pid, children)
	}
	n, err := strconv.Atoi(children[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// pidfds returns descriptors of those processes that are still there.
func pidfds(t *testing.T, pids []int) []int32 {
	t.Helper()
	var fds []int32
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		fds = append(fds, int32(fd))
	}
	return fds
}

// awaitEnds fails t if not all processes have ended by the deadline.
func awaitEnds(t *testing.T, pidfds []int32, deadline time.Time) {
	t.Helper()
	for _, fd := range pidfds {
		ready := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
		n, err := 0, unix.EINTR
		for err == unix.EINTR { // the runtime preempts with signals
			n, err = poll(ready, deadline)
		}
		if n != 1 {
			t.Errorf("a process has outlived the kill by 2 s (%v)", err)
		}
	}
}
