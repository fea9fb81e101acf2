package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machineRows is about the surroundings of a host: signals, namespaces, clocks.
func machineRows() []row {
	return []row{
		{number: 80, name: "reboot",
			done: "records of another boot, whose numbers are used again", holds: "nothing is adopted, nothing is killed",
			elsewhere: "a host does not read the records of an earlier one yet; a later issue"},
		{number: 82, name: "clocks that differ", with: everyKind, needs: root,
			done:  "a host in a time namespace in which the boot was an hour, and the monotonic clock began a day, earlier; Terminate with 300 ms of a proc that ignores it",
			holds: "the grace is 300 ms of the monotonic clock",
			run:   otherClocks},
		{number: 83, name: "SIGTERM to the host", with: everyKind,
			done:  "SIGTERM to a host with a proc that obeys and one that does not; the grace is 1 s",
			holds: "code 143, nothing left, also no file",
			run: func(f *fixture) {
				a := f.hosting()
				f.deafAndNot(a)
				a.signal(syscall.SIGTERM)
				f.want(a.dies().ExitStatus() == 143, "code 143", a.cmd.ProcessState)
			}},
		{number: 83, name: "SIGINT twice", with: everyKind,
			done:  "SIGINT to a host with a proc that does not obey, and SIGINT again",
			holds: "the second ends it at once; its procs are gone within 3 s",
			run:   interruptedTwice},
		{number: 83, name: "SIGHUP, SIGPIPE, SIGQUIT", with: everyKind,
			done:  "each of the three to a host with procs",
			holds: "SIGPIPE does nothing; HUP and QUIT end the host, and its procs within 3 s",
			run:   otherSignals},
		{number: 84, name: "first process of a container", with: everyKind, needs: root,
			done:  "a host is PID 1 of a PID namespace with a /proc of its own; its procs leave orphans with setsid",
			holds: "procs are spawned, exits are right, and with the host all is gone (PS-12)",
			run:   firstProcess},
		{number: 85, name: "host frozen and thawed", with: everyKind, needs: root | freezer,
			done:  "the cgroup of a host is frozen for 300 ms",
			holds: "its procs live, calls work",
			run:   hostFrozen},
		{number: 87, name: "no /proc", with: everyKind, needs: root,
			done:  "an empty file system over /proc, in a mount namespace of its own; launches and a stop",
			holds: "commands run and their exits are right, or the error says what is missing; no crash",
			run:   withoutProc},
		{number: 88, name: "pidfd_open denied", with: everyKind,
			done:  "ENOSYS, and EPERM, from pidfd_open; a process is started that would leave a child in its group",
			holds: "the start is refused and says why, since what is left could not be found",
			run:   pidfdDenied},
		{number: 88, name: "group signals denied", with: everyKind,
			done:  "EINVAL from signals to a process group through a pidfd, as on a kernel before 6.9; and no close_range, as before 5.9; a process leaves two children in its group",
			holds: "exits are right, and the two are gone",
			run: func(f *fixture) {
				deniedSweep(f, "group_signal")
				deniedSweep(f, "close_range")
			}},
		{number: 88, name: "clone3 denied", with: everyKind,
			done: "ENOSYS from clone3", holds: "the same",
			run: func(f *fixture) { deniedSweep(f, "clone3") }},
		{number: 81, name: "wall clock set", with: everyKind, needs: oneTracer,
			done:  "while a host spawns, calls and stops a proc that ignores it within 300 ms, the clock on its wall jumps ten years ahead, an hour back, twenty years back; the clock is made up for it alone",
			holds: "the grace is 300 ms each time, calls and spawns work",
			run:   jumpingClock},
		{number: 89, name: "old kernel",
			done: "all rows on linux 6.1", holds: "they hold",
			elsewhere: "there is one kernel here; what older ones do not have is denied one by one, see 88"},
	}
}

// deafAndNot gives a host a proc that does not want to go, and one that does.
func (f *fixture) deafAndNot(a *agent) (other int) {
	f.Helper()
	a.does("spawn", "deaf")
	a.does("victim", "deaf", "deaf")
	return a.does("spawn", "other").PID
}

// otherTime has an agent live in a time namespace with other clocks.
func (f *fixture) otherTime() agentOption {
	f.Helper()
	unshare := f.tool("unshare")
	return func(c *exec.Cmd) {
		c.Args = []string{"unshare", "--time", "--boottime", "3600", "--monotonic", "86400", "--fork", "--kill-child", c.Path}
		c.Path = unshare
	}
}

// neighbours has launchers come and go beside one that works.
func neighbours(f *fixture) {
	l := f.launcher()
	over := make(chan struct{})
	var wg sync.WaitGroup
	starts := 0
	wg.Go(func() {
		for ; starts < 60 || open(over); starts++ {
			p, err := l.Launch(f.Context(), sh("exit 7"))
			if err != nil {
				f.Errorf("start %d: %v", starts, err)
			} else if e := p.Wait(); e.Code != 7 {
				f.Errorf("start %d: %v", starts, shown(e))
			}
		}
	})
	defer func() {
		close(over)
		wg.Wait()
		f.Logf("%d starts", starts)
	}()
	for _, how := range [][]agentOption{nil, {spaces(unix.CLONE_NEWPID | unix.CLONE_NEWNS)}, {f.otherTime()}, nil} {
		a := f.launching(how...)
		a.does("launch", "a", "sh", "exit 0")
		a.does("end", "a")
		if how == nil {
			a.kill()
		}
		a.end(patience)
	}
}

func groupsOfTheDead(f *fixture) {
	a := f.launching()
	dir := f.groupOf(a.does("launch", "a", "sh", "echo ready; exec sleep 60").PID)
	_, err := os.Stat(dir)
	f.must(err)
	f.want(strings.Contains(dir, "hyperactor-"), "a group of its own", dir)
	a.kill()
	f.processesGone(settleBound)
	f.want(f.run(f.launcher(), sh("exit 7")).Code == 7, "the next one runs", "not")
	_, err = os.Stat(filepath.Dir(dir))
	f.want(os.IsNotExist(err), "the directory is gone", err)
}

// open reports whether c is not closed.
func open(c <-chan struct{}) bool {
	select {
	case <-c:
		return false
	default:
		return true
	}
}

func otherClocks(f *fixture) {
	a := f.hosting(f.otherTime())
	a.does("spawn", "a")
	a.does("victim", "a", "deaf")
	r := a.does("terminate", "a", "300ms")
	f.want(killed(r.Exit) && r.Took >= 300*time.Millisecond && r.Took < 3*time.Second, "killed in time", fmt.Sprint(r.Took, shown(r.Exit)))
}

func interruptedTwice(f *fixture) {
	a := f.hosting()
	other := f.mustWatch(f.deafAndNot(a))
	below := watch(a.below())
	a.signal(syscall.SIGINT)
	f.want(awaitEnd(other.fds[0], time.Now().Add(patience)), "the other one goes: the signal was taken", other.who)
	a.signal(syscall.SIGINT)
	status := a.dies()
	f.want(status.Signaled() && status.Signal() == syscall.SIGINT || status.ExitStatus() == 130, "it ends", status)
	f.gone(below, settleBound)
	f.processesGone(settleBound)
	f.hostLeft()
}

func otherSignals(f *fixture) {
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT} {
		a := f.hosting()
		a.does("spawn", "a")
		a.signal(syscall.SIGPIPE)
		a.does("victim", "a", "pid")
		below := watch(a.below())
		a.signal(sig)
		a.dies()
		f.gone(below, settleBound)
		f.processesGone(settleBound)
		f.hostLeft()
	}
}

func firstProcess(f *fixture) {
	a := f.hosting(spaces(unix.CLONE_NEWPID | unix.CLONE_NEWNS))
	f.want(a.does("hello").PID == 1, "it is the first", a.does("hello").PID)
	for code := 1; code < 4; code++ {
		a.does("spawn", "a")
		a.does("victim", "a", "sh", "(setsid sleep 60 &); (setsid true &); exit 0")
		a.tell("victim", "a", "exit", strconv.Itoa(code))
		e := a.does("wait", "a").Exit
		f.want(e.Code == code, "the code", shown(e))
	}
	a.does("spawn", "b")
	below := watch(a.below())
	a.end(patience)
	f.gone(below, settleBound)
}

func hostFrozen(f *fixture) {
	c := f.cgroup(v1 + "freezer")
	a := f.hosting()
	a.does("spawn", "a")
	c.take(a.cmd.Process.Pid)
	c.freeze()
	<-time.After(300 * time.Millisecond)
	c.thaw()
	a.does("victim", "a", "pid")
	f.want(a.does("terminate", "a", "5s").Exit.OK(), "it ends by itself", "not")
}

func withoutProc(f *fixture) {
	a := f.launching(spaces(unix.CLONE_NEWNS))
	a.does("mount", "tmpfs", "/proc", "size=64k")
	for code := range 3 {
		r := a.tell("launch", "a", "sh", fmt.Sprint("echo ready; exit ", code))
		if r.Err != "" {
			f.want(strings.Contains(r.Err, "/proc"), "the error says what is missing", r.Err)
			continue
		}
		a.tell("stop", "a")
		e := a.does("end", "a").Exit
		f.want(e.Code == code || e.Signal == syscall.SIGTERM, "its exit", shown(e))
	}
	r := a.tell("launch", "b", "self", "hold")
	f.want(r.Err == "" || strings.Contains(r.Err, "/proc"), "our own image is found, or it says what is missing", r.Err)
	if r.Err == "" {
		a.does("kill-process", "b")
		f.want(killed(a.does("end", "b").Exit), "SIGKILL", "not")
	}
}

func pidfdDenied(f *fixture) {
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
		a := f.launching()
		a.does("deny", "pidfd_open", strconv.Itoa(int(errno)))
		for range 2 {
			r := a.tell("launch", "a", "sh", "sleep 60 & echo ready; exit 3")
			f.want(strings.Contains(r.Err, "pidfd_open does not work here") && r.Reason == "", "refused", r.Err)
		}
	}
}

func deniedSweep(f *fixture, call string) {
	errnos := []unix.Errno{unix.ENOSYS}
	if call == "group_signal" {
		errnos = []unix.Errno{unix.EINVAL}
	}
	for _, errno := range errnos {
		a := f.launching()
		a.does("deny", call, strconv.Itoa(int(errno)))
		r := a.tell("launch", "a", "sh", "sleep 60 & sleep 60 & echo ready; exit 3")
		if r.Err != "" {
			f.Errorf("%s denied with %v: %s", call, errno, r.Err)
			continue
		}
		e := a.does("end", "a").Exit
		f.want(e.Code == 3 && e.Swept == 2, fmt.Sprintf("%s denied with %v: exit 3, two swept", call, errno), shown(e))
		a.does("launch", "b", "sh", "trap '' TERM; echo ready; sleep 60")
		a.does("stop", "b")
		a.does("kill-process", "b")
		f.want(killed(a.does("end", "b").Exit), "SIGKILL", "not")
	}
}
