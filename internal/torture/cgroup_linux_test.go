package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// v1 is where the first version of cgroups has its trees.
const v1 = "/sys/fs/cgroup/"

// v2 is where the second version is mounted, alone or beside the first.
func v2() string {
	if _, err := os.Stat(v1 + "cgroup.controllers"); err == nil {
		return v1
	}
	return v1 + "unified"
}

// noCgroup says why no cgroup can be made below dir, or "".
func noCgroup(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
		return "not mounted: " + dir
	}
	probe, err := os.MkdirTemp(dir, "torture-probe-")
	if err != nil {
		return "no cgroup can be made: " + err.Error()
	}
	if err := os.Remove(probe); err != nil {
		return err.Error()
	}
	return ""
}

// cgroup is a group of the row's own.
type cgroup struct {
	*fixture
	dir string
}

// cgroup makes one in the tree below root. It has to be empty at the end.
func (f *fixture) cgroup(root string) cgroup {
	f.Helper()
	dir, err := os.MkdirTemp(root, "torture-")
	f.must(err)
	f.Cleanup(func() {
		for end := time.Now().Add(patience); ; runtime.Gosched() { // a dead process leaves it a moment after its end
			if err := os.Remove(dir); err == nil || time.Now().After(end) {
				f.no(err)
				return
			}
		}
	})
	return cgroup{f, dir}
}

func (c cgroup) set(name, value string) {
	c.Helper()
	c.must(os.WriteFile(filepath.Join(c.dir, name), []byte(value), 0))
}

func (c cgroup) get(name string) string {
	c.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	c.must(err)
	return strings.TrimSpace(string(b))
}

func (c cgroup) take(pid int) {
	c.Helper()
	c.set("cgroup.procs", strconv.Itoa(pid))
}

// freeze freezes a group of the first version, and waits until it is.
func (c cgroup) freeze() {
	c.Helper()
	c.set("freezer.state", "FROZEN")
	for end := time.Now().Add(patience); c.get("freezer.state") != "FROZEN"; runtime.Gosched() { // it has no event
		if time.Now().After(end) {
			c.Fatal("does not freeze")
		}
	}
}

func (c cgroup) thaw() {
	c.Helper()
	c.set("freezer.state", "THAWED")
}

// groupOf returns the directory of the group of version 2 that a process is in.
func (f *fixture) groupOf(pid int) string {
	f.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	f.must(err)
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(v2(), path)
		}
	}
	f.Fatalf("process %d is in no group: %s", pid, b)
	return ""
}
