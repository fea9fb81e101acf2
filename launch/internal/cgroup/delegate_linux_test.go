package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRealDelegated runs in a process that is alone in a cgroup which it may
// divide: it moves into a group below to set a limit, once.
func TestRealDelegated(t *testing.T) {
	const variable = "CGROUP_TEST_DELEGATED"
	if os.Getenv(variable) != "" {
		if err := delegated(); err != nil {
			t.Error(err)
		}
		return
	}
	g := needGroup(t, openParent(t), Limits{PIDs: 50})
	if !g.bound {
		t.Skip("version 2 has no pids controller here")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func delegated() error {
	before, _ := os.ReadFile("/proc/self/cgroup")
	first, err := Open()
	if err != nil {
		return err
	}
	free, err := first.New(Limits{})
	if err != nil {
		return err
	}
	if now, _ := os.ReadFile("/proc/self/cgroup"); string(now) != string(before) {
		return fmt.Errorf("moved without a need, to %s", now)
	}
	bound, err := first.New(Limits{PIDs: 10})
	if err != nil {
		return err
	}
	moved, _ := os.ReadFile("/proc/self/cgroup")
	if !strings.Contains(string(moved), "/"+leafPrefix) || !bound.bound {
		return fmt.Errorf("not moved: %s", moved)
	}
	if max, err := os.ReadFile(filepath.Join(free.v2, "pids.max")); err != nil || string(max) != "max\n" {
		return fmt.Errorf("a group that was made before: %q, %w", max, err)
	}
	second, err := Open() // of the same process, which is where it is by now
	if err != nil {
		return err
	}
	again, err := second.New(Limits{PIDs: 10})
	if err != nil {
		return err
	}
	if now, _ := os.ReadFile("/proc/self/cgroup"); string(now) != string(moved) || second.base != first.base {
		return fmt.Errorf("moved again, from %s to %s", moved, now)
	}
	return errors.Join(free.Remove(), bound.Remove(), again.Remove(), first.Close(), second.Close())
}
