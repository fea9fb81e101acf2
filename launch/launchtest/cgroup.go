package launchtest

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

func cgroupChecks() []check {
	return onLinux([]check{
		{"PS-3 an escaped descendant is swept if there is a cgroup", func(f *fixture) {
			f.needsCgroup()
			s := spec("leave-escaped", "1")
			end := f.lifeline(&s)
			if e := f.run(s); e.Swept != 1 || e.Cut || e.Code != 0 {
				f.Errorf("got %+v, want 1 process swept", e)
			}
			s.Control.Close()
			f.awaitHolders(end)
		}},
		{"PS-3 Kill reaches an escaped descendant if there is a cgroup", func(f *fixture) {
			f.needsCgroup()
			s := spec("escape")
			end := f.lifeline(&s)
			c := f.start(s)
			s.Control.Close()
			f.line(c)
			f.kill(c)
			if e := c.Wait(); e.Signal != syscall.SIGKILL {
				f.Errorf("got %+v", e)
			}
			f.awaitHolders(end)
		}},
		{"PS-7 a memory limit, and the kernel's kill is in the exit", memoryLimit},
		{"PS-7 a pid limit bounds a fork bomb", pidLimit},
	})
}

// ownCgroup returns the cgroup of version 2 that the launcher gives to a child,
// or "" if that is where we are.
func (f *fixture) ownCgroup() string {
	f.Helper()
	s := spec("lifeline", "0")
	f.lifeline(&s)
	c := f.start(s)
	defer c.Wait()
	defer f.kill(c)
	if of := cgroupOf(strconv.Itoa(c.PID())); of != cgroupOf("self") {
		return of
	}
	return ""
}

// cgroupOf returns the path of a process's cgroup of version 2.
func cgroupOf(pid string) string {
	file, _ := os.ReadFile("/proc/" + pid + "/cgroup")
	for line := range strings.Lines(string(file)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

func (f *fixture) needsCgroup() {
	f.Helper()
	if f.ownCgroup() == "" {
		f.Skip("the launcher makes no cgroups here")
	}
}

// needsController skips where no cgroup can have a limit.
func (f *fixture) needsController(name string) {
	f.Helper()
	f.needsRoot()
	v2, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	_, v1 := os.Stat("/sys/fs/cgroup/" + name + "/cgroup.procs")
	if v1 != nil && !strings.Contains(string(v2), name) {
		f.Skip("there is no cgroup controller ", name)
	}
	f.needsCgroup()
}

// memoryLimit lets a child, and then a grandchild, take more than it may.
func memoryLimit(f *fixture) {
	f.needsController("memory")
	tests := []struct {
		behaviour string
		mebibytes int
		oom       bool
		signal    syscall.Signal
		code      int
	}{
		{"hog", 10, false, 0, 0},
		{"hog", 400, true, syscall.SIGKILL, 0},
		{"hog-below", 400, true, 0, 1}, // the leader sees it die
	}
	for _, tt := range tests {
		s := spec(tt.behaviour, strconv.Itoa(tt.mebibytes))
		s.Limits.Memory = 160 << 20
		f.lifeline(&s)
		e := f.run(s)
		if e.OOMKilled != tt.oom || e.Signal != tt.signal || e.Code != tt.code {
			f.Errorf("%s of %d MiB in %d MiB: got %+v", tt.behaviour, tt.mebibytes, s.Limits.Memory>>20, e)
		}
	}
}

// pidLimit checks the limit with a bounded number of processes, and then has a
// fork bomb in it, which Kill ends.
func pidLimit(f *fixture) {
	f.needsController("pids")
	const limit = 20
	s := shell("exec 2>/dev/null; i=0; while [ $i -lt 100 ]; do /bin/sleep 1000 & echo $i; i=$((i+1)); done")
	s.Limits.PIDs = limit
	c := f.start(s)
	e := c.Wait()
	close(c.lines)
	started := 0
	for range c.lines {
		started++
	}
	if e.OK() || started != limit-1 || e.Swept != limit-1 {
		f.Fatalf("%d processes were started with a limit of %d: %+v", started, limit, e)
	}
	bomb := shell("exec 2>/dev/null; bomb() { bomb | bomb & }; bomb; echo ready; while :; do wait; done")
	bomb.Limits.PIDs = limit
	end := f.lifeline(&bomb)
	c = f.start(bomb)
	bomb.Control.Close()
	f.line(c)
	f.kill(c)
	if e := c.Wait(); e.Signal != syscall.SIGKILL && e.Code == 0 {
		f.Errorf("got %+v", e)
	}
	f.awaitHolders(end)
}
