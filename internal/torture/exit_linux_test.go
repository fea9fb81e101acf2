package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/hyperactor/hyperactor/launch"
)

// exitRows is about records of ends.
func exitRows() []row {
	return []row{
		{number: 56, name: "core dumped", with: everyKind,
			done:  "a process may dump its core and dies of SIGQUIT",
			holds: "the exit says that the core was dumped",
			run:   coreDumped},
		{number: 56, name: "killed while it dumps", with: everyKind, slow: true,
			done:  "a process of 600 MB dumps its core; Kill as soon as the dump has begun",
			holds: "the end does not wait for the dump; the exit is a signal",
			run:   killedDumping},
		{number: 57, name: "all exit codes", with: everyKind,
			done:  "processes exit with 0, 1, 125, 126, 127, 128, 137, 143, 255",
			holds: "each is told exactly; 137 is not SIGKILL",
			run: func(f *fixture) {
				l := f.launcher()
				for _, code := range []int{0, 1, 125, 126, 127, 128, 137, 143, 255} {
					e := f.run(l, sh("exit "+strconv.Itoa(code)))
					f.want(e.Kind == launch.Stopped && e.Code == code && e.Signal == 0, fmt.Sprint("exit ", code), shown(e))
				}
			}},
		{number: 57, name: "all signals", with: everyKind,
			done:  "processes end by each of the signals from 1 to 64 that end one",
			holds: "each is told exactly",
			run:   allSignals},
		{number: 58, name: "out of memory", with: everyKind, needs: root | memory,
			done:  "a process with a limit of 64 MB (PS-7) takes 256 MB",
			holds: "killed by SIGKILL, and the exit says out of memory",
			run: func(f *fixture) {
				s := self("eat", "256")
				s.Limits.Memory = 64 << 20
				e := f.run(f.launcher(), s)
				f.want(killed(e) && e.OOMKilled, "out of memory", shown(e))
			}},
		{number: 59, name: "grandchild out of memory", with: everyKind, needs: root | memory,
			done:  "a grandchild takes more than the limit of the tree; the process itself exits with 3",
			holds: "exit 3, and out of memory",
			run: func(f *fixture) {
				path, err := os.Executable()
				f.must(err)
				s := sh("export "+childVariable+"='eat 256'; \"$1\"; exit 3", path)
				s.Limits.Memory = 64 << 20
				e := f.run(f.launcher(), s)
				f.want(e.Code == 3 && e.OOMKilled, "exit 3 and out of memory", shown(e))
			}},
		{number: 60, name: "host out of memory", with: everyKind, needs: root | memory,
			done:  "the host, alone in a memory cgroup of 128 MB, takes more: the kernel ends it",
			holds: "its procs are gone within 3 s",
			run:   hostOutOfMemory},
	}
}

// corePattern is where cores go; a row about them wants them in the directory
// of the process.
func (f *fixture) corePattern() {
	f.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.ContainsAny(string(b), "|/") {
		f.Skipf("not on this machine: cores go to %q", b)
	}
}

func coreDumped(f *fixture) {
	f.corePattern()
	s := sh("ulimit -c unlimited; kill -QUIT $$")
	s.Dir = f.scratch()
	e := f.run(f.launcher(), s)
	cores, _ := filepath.Glob(s.Dir + "/core*")
	f.want(e.Signal == syscall.SIGQUIT && e.CoreDumped == (len(cores) == 1) && e.CoreDumped, "a core", shown(e))
	e = f.run(f.launcher(), sh("ulimit -c 0; kill -QUIT $$"))
	f.want(e.Signal == syscall.SIGQUIT && !e.CoreDumped, "no core", shown(e))
}

func killedDumping(f *fixture) {
	f.corePattern()
	s := self("big", "600")
	s.Dir = f.scratch()
	arrived := f.created(s.Dir)
	c := f.start(f.launcher(), s)
	arrived()
	f.no(c.Kill())
	e := f.end(c)
	f.want(e.Kind == launch.Killed, "a signal", shown(e))
}

// allSignals ends one process by each signal.
func allSignals(f *fixture) {
	l := f.launcher()
	harmless := []int{17, 18, 19, 20, 21, 22, 23, 28, 32, 33} // they stop, or do nothing, or belong to the C library
	var mu sync.Mutex
	var wrong []string
	limit := make(chan struct{}, 8)
	atOnce(64, func(i int) {
		limit <- struct{}{}
		defer func() { <-limit }()
		sig := i + 1
		if slices.Contains(harmless, sig) {
			return
		}
		c, err := f.try(l, sh(fmt.Sprintf("ulimit -c 0; kill -%d $$; sleep 5", sig)))
		if err != nil {
			f.Error(err)
			return
		}
		e := c.Wait()
		if e.Kind != launch.Killed || int(e.Signal) != sig || e.Code != 0 || e.CoreDumped {
			mu.Lock()
			wrong = append(wrong, fmt.Sprintf("signal %d became %v", sig, shown(e)))
			mu.Unlock()
		}
	})
	f.want(len(wrong) == 0, "each signal is told", wrong)
}

func hostOutOfMemory(f *fixture) {
	c := f.cgroup(v1 + "memory")
	a := f.hosting()
	for i := range 2 {
		a.does("spawn", fmt.Sprint("p", i))
	}
	below := watch(a.below())
	f.want(len(below.fds) >= 2, "it has procs", len(below.fds))
	c.set("memory.limit_in_bytes", strconv.Itoa(128<<20))
	c.take(a.cmd.Process.Pid)
	f.want(a.tell("eat").Err == errGone, "it ends", "not")
	status := a.dies()
	f.want(status.Signal() == syscall.SIGKILL, "by SIGKILL", status)
	f.gone(below, settleBound)
	f.hostLeft()
}
