package hyperactor_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pin keeps this process, and the children that it starts, on one CPU until
// the end of the benchmark: a round trip between two CPUs measures mostly how
// long the other one takes to wake up.
func pin(b *testing.B) {
	b.Helper()
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		b.Fatal(err)
	}
	for cpu := range 1024 {
		if old.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	procs := runtime.GOMAXPROCS(1)
	setAffinity(b, &one)
	b.Cleanup(func() {
		setAffinity(b, &old)
		runtime.GOMAXPROCS(procs)
	})
}

// setAffinity sets the CPUs of all threads of this process.
func setAffinity(b *testing.B, set *unix.CPUSet) {
	b.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err == nil {
			err = unix.SchedSetaffinity(tid, set)
		}
		if err != nil && err != unix.ESRCH {
			b.Fatal(err)
		}
	}
}

// pss returns the proportional set size of a process in KiB.
func pss(tb testing.TB, pid int) int {
	tb.Helper()
	f, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for l := range strings.Lines(string(f)) {
		if rest, ok := strings.CutPrefix(l, "Pss:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				tb.Fatal(err)
			}
			return kib
		}
	}
	tb.Fatalf("no Pss of process %d", pid)
	return 0
}
