package tree

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// TestRealResource sees that every name is known.
func TestRealResource(t *testing.T) {
	seen := map[int]string{}
	for _, name := range launch.RlimitNames() {
		r, ok := resource(name)
		if other := seen[r]; !ok || other != "" {
			t.Errorf("%s: got %d, %v; %q is the same", name, r, ok, other)
		}
		seen[r] = name
	}
	if _, ok := resource("none"); ok {
		t.Error("a resource that is none")
	}
}

// request describes a script whose output is the returned file.
func request(t *testing.T, script string, l launch.Limits) (Request, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return Request{
		Prog: launch.Program{Path: "/bin/sh", Argv: []string{"sh", "-c", script}}, Limits: l, Stdout: w, Stderr: os.Stderr,
	}, r
}

func starter(t *testing.T) *Starter {
	s := &Starter{Cgroups: true}
	t.Cleanup(s.Stop)
	return s
}

// end waits for the end of a process and what is left of it.
func end(l *Leader) (End, int) {
	l.Await()
	e := l.Reap()
	swept, _ := l.Sweep()
	l.Close()
	return e, swept
}

// TestRealHeldEnd ends processes that are held: by an error, and before the
// limits are set. Nothing may be left of the first, and the second must have an
// end like any other.
func TestRealHeldEnd(t *testing.T) {
	s := starter(t)
	for _, l := range []launch.Limits{{CPUs: []int{launch.MaxCPUs - 1}}, {Rlimits: []launch.Rlimit{{Name: "none"}}}} {
		r, _ := request(t, "exit 1", l)
		if lead, err := s.Start(r); lead != nil || !errors.Is(err, launch.ErrNotEnforced) {
			t.Errorf("got %v, %v", lead, err)
		}
		if left, err := launch.Children(); err != nil || len(left) > 0 {
			t.Errorf("children left: %v, %v", left, err)
		}
	}
	s.shared.do(func() {
		pidfd := -1
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true, PidFD: &pidfd}})
		if err != nil {
			t.Error(err)
			return
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Error(err)
		}
		j := job{Request: Request{Limits: launch.Limits{Nice: new(5)}, Prog: launch.Program{Path: "/bin/true"}}}
		if err := j.restrain(pid, pidfd, false); err != nil {
			t.Error(err)
		}
		if e, _ := end(newLeader(pid, pidfd)); e.Signal != unix.SIGKILL {
			t.Errorf("got %+v", e)
		}
	})
}

// TestRealHeldMissedByItsParent kills a process that holds another one. That one
// has no parent-death signal, as a set-uid program has none, and must not stay
// there, stopped.
func TestRealHeldMissedByItsParent(t *testing.T) {
	const variable = "TREE_TEST_HOLD"
	if os.Getenv(variable) != "" {
		holdAndDie()
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the helper says nothing")
	}
	// The child holds the pipe, so that it ends when all are gone.
	if err := out.(*os.File).SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if more := lines.Scan(); more || lines.Err() != nil {
		t.Errorf("process %s is still there: %v", lines.Text(), lines.Err())
	}
	_ = cmd.Wait()
}

func holdAndDie() {
	runtime.LockOSThread()
	pidfd := -1
	pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{
		Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Ptrace: true, PidFD: &pidfd},
	})
	if err == nil {
		_, err = awaitExec(pid, pidfd)
	}
	fmt.Println(pid, err)
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
}

// TestRealUmaskThread starts children in turns with and without a umask, while
// the working directory changes.
func TestRealUmaskThread(t *testing.T) {
	s := starter(t)
	ours := unix.Umask(0)
	unix.Umask(ours)
	for i := range 6 {
		dir := t.TempDir()
		t.Chdir(dir)
		l, want := launch.Limits{}, fmt.Sprintf("%04o", ours)
		if i%2 == 1 {
			l.Umask, want = new(i), fmt.Sprintf("%04o", i)
		}
		r, out := request(t, "umask; pwd -P", l)
		lead, err := s.Start(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Stdout.Close()
		lines := bufio.NewScanner(out)
		lines.Scan()
		got := lines.Text()
		lines.Scan()
		if at, _ := os.Getwd(); got != want || lines.Text() != at {
			t.Errorf("%d: got %s in %s, want %s in %s", i, got, lines.Text(), want, at)
		}
		end(lead)
	}
}

// TestRealSweepIsLate has used up its time when it has found what to kill.
func TestRealSweepIsLate(t *testing.T) {
	for _, s := range []*Starter{{Cgroups: true}, {}, {WithoutGroupSignal: true}} {
		t.Cleanup(s.Stop)
		r, out := request(t, "/bin/sleep 1000 & /bin/sleep 1000 & exit 0", launch.Limits{})
		lead, err := s.Start(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Stdout.Close()
		lead.Await()
		lead.Reap()
		if swept, _ := lead.sweep(0); swept != 2 {
			t.Errorf("%d were killed", swept)
		}
		if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("something lives: %v", err)
		}
		lead.Close()
	}
}

// TestRealAttach follows a child as somebody does who has not started it.
func TestRealAttach(t *testing.T) {
	s := starter(t)
	for _, withoutGroupSignal := range []bool{false, true} {
		r, out := request(t, "ulimit -c 0; trap 'exit 9' TERM; echo ready; while :; do wait; done", launch.Limits{})
		lead, err := s.Start(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.FcntlInt(uintptr(lead.Pidfd()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		other := Attach(lead.PID, fd)
		if withoutGroupSignal {
			other.groupSignal = false
		}
		if other.Suspended() {
			t.Error("suspended while it runs")
		}
		if e := other.Recall(); e.Err == nil {
			t.Errorf("the end of a process that lives: %+v", e)
		}
		if err := other.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		other.Await()
		if e, _ := end(lead); e.Code != 9 {
			t.Errorf("got %+v", e)
		}
		other.Await() // again, and now that it is reaped
		if e := other.Reap(); e.Err == nil && e.Code != 9 || e.Err != nil && !strings.Contains(e.Err.Error(), strconv.Itoa(lead.PID)) {
			t.Errorf("recalled %+v", e)
		}
		other.Close()
	}
}

// TestRealCgroupGone starts a process whose cgroup somebody has removed.
func TestRealCgroupGone(t *testing.T) {
	s := starter(t)
	r, _ := request(t, "exit 3", launch.Limits{})
	j := job{Request: r}
	if err := s.prepare(&j); err != nil {
		t.Fatal(err)
	}
	if j.group.FD() < 0 {
		t.Skip("no cgroup can be made here")
	}
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(j.group.FD()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	var lead *Leader
	s.shared.do(func() { lead, err = j.run() })
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := end(lead); e.Code != 3 {
		t.Errorf("got %+v", e)
	}
}

// TestRealCgroupTakesNoProcess starts a process all the same.
func TestRealCgroupTakesNoProcess(t *testing.T) {
	s := starter(t)
	r, _ := request(t, "exit 3", launch.Limits{})
	j := job{Request: r}
	if err := s.prepare(&j); err != nil {
		t.Fatal(err)
	}
	if j.group.FD() < 0 {
		t.Skip("no cgroup can be made here")
	}
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(j.group.FD()))
	if err != nil {
		t.Fatal(err)
	}
	sibling := filepath.Dir(dir) + "/threaded" // which makes all others invalid
	if err := os.Mkdir(sibling, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(sibling)
	if err := os.WriteFile(sibling+"/cgroup.type", []byte("threaded"), 0); err != nil {
		_ = j.group.Remove()
		t.Skip("with a memory controller no cgroup is threaded: ", err)
	}
	var lead *Leader
	s.shared.do(func() { lead, err = j.run() })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the cgroup that was of no use is still there")
	}
	if e, _ := end(lead); e.Code != 3 {
		t.Errorf("got %+v", e)
	}
}
