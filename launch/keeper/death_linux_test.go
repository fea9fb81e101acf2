package keeper

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// hostEnv tells a copy of the test binary that it is a host.
const hostEnv = "KEEPER_TEST_HOST"

// wanderers is a program with a child in its group, one in another session and
// one without a parent. All of them hold descriptor 3.
const wanderers = `
sleep 1000 &
setsid sleep 1000 &
(sleep 1000 &)
echo ready
wait`

// escapees leaves nothing undone: it also has a descendant without a parent, a
// session and an environment in common with anybody.
const escapees = "(env -i setsid sleep 1000 &)" + wanderers

// playHost launches trees that hold descriptor 3, says so, and does nothing.
func playHost(isolate string, args []string) {
	cfg := Config{withoutCgroups: args[1] == "plain"}
	if isolate == "isolated" {
		cfg.Isolate = PIDNamespace
	}
	l := New(cfg)
	n, _ := strconv.Atoi(args[0])
	ready := make(chan struct{}, n)
	for range n {
		s := launch.Spec{
			Path: "/bin/sh", Args: []string{"-c", escapees}, Env: []string{"PATH=/usr/bin:/bin"}, Control: os.NewFile(3, "lifeline"),
			Output: func(launch.Stream, []byte) { ready <- struct{}{} },
		}
		if _, err := l.Launch(context.Background(), s); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for range n {
		<-ready
	}
	guard, keeper := l.pids()
	fmt.Println("ready", guard, keeper)
	select {}
}

// pids returns the numbers of guard and keeper.
func (l *Launcher) pids() (guard, keeper int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || l.current.session == nil {
		return 0, 0
	}
	guard = l.current.session.guard.Pid
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", guard, guard))
	keeper, _ = strconv.Atoi(strings.TrimSpace(string(list)))
	return guard, keeper
}

// lifeline returns a pipe. Reading from r ends when nobody has w any more.
func lifeline(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// awaitEnd returns when nobody holds the other end of r.
func awaitEnd(t *testing.T, r *os.File) {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatalf("a process is left: %v", err)
	}
}

// TestRealHostKilled kills a host, alone and with one of its two helpers at the
// same time: nothing may be left of trees that try to escape (PS-2).
func TestRealHostKilled(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for _, cgroups := range []string{"plain", "cgroups"} {
		for _, victims := range []string{"host", "host keeper", "host guard", "keeper host", "guard host"} {
			t.Run(victims+" "+cgroups, func(t *testing.T) {
				for range rounds {
					killHost(t, "shared", cgroups, strings.Fields(victims))
				}
			})
		}
	}
}

// killHost starts a host with two trees and kills the victims, in that order.
func killHost(t *testing.T, isolation, cgroups string, victims []string) {
	t.Helper()
	r, w := lifeline(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{hostEnv + "=" + isolation + " 2 " + cgroups, "GORACE=atexit_sleep_ms=0"}
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, _ := bufio.NewReader(out).ReadString('\n')
	pids := map[string]int{"host": cmd.Process.Pid}
	var guard, keeper int
	if _, err := fmt.Sscanf(line, "ready %d %d", &guard, &keeper); err != nil || guard == 0 || keeper == 0 {
		t.Fatalf("the host says %q", line)
	}
	pids["guard"], pids["keeper"] = guard, keeper
	for _, v := range victims {
		who, stop := strings.CutPrefix(v, "stopped-")
		if stop {
			if err := syscall.Kill(pids[who], syscall.SIGSTOP); err != nil {
				t.Fatal(v, err)
			}
			continue
		}
		if err := syscall.Kill(pids[v], syscall.SIGKILL); err != nil && v == victims[0] {
			t.Fatal(v, err)
		}
	}
	awaitEnd(t, r)
}

// TestRealHostKilledBeforeAStopped kills a host when guard or keeper or both
// cannot see it: the kernel has them go on.
func TestRealHostKilledBeforeAStopped(t *testing.T) {
	for _, victims := range []string{"stopped-keeper host", "stopped-guard host", "stopped-keeper stopped-guard host", "stopped-keeper guard host"} {
		t.Run(victims, func(t *testing.T) {
			for _, cgroups := range []string{"plain", "cgroups"} {
				killHost(t, "shared", cgroups, strings.Fields(victims))
			}
		})
	}
}

// TestRealStoppedForGood stops guard or keeper, and nobody else continues them:
// exits come all the same, launches are answered, and Close returns.
func TestRealStoppedForGood(t *testing.T) {
	for _, isolation := range []Isolation{NoIsolation, PIDNamespace} {
		if isolation == PIDNamespace {
			needsNamespaces(t)
		}
		for _, both := range []bool{false, true} {
			l := New(Config{Isolate: isolation})
			p, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/sleep", Args: []string{"1000"}})
			if err != nil {
				t.Fatal(err)
			}
			stop := func() {
				guard, keeper := l.pids()
				if err := syscall.Kill(keeper, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(guard, syscall.SIGSTOP); both && err != nil {
					t.Fatal(err)
				}
			}
			stop()
			if e := kill(t, p); e.Signal != syscall.SIGKILL {
				t.Errorf("got %+v", e)
			}
			stop()
			if p, err = l.Launch(t.Context(), truth()); err != nil {
				t.Fatal(err)
			}
			if e := p.Wait(); !e.OK() {
				t.Errorf("got %+v", e)
			}
			stop()
			closeLauncher(t, l)
		}
	}
}

// logged is a log that a test can read.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestRealKeeperKilled kills keeper or guard or both: all that they kept dies,
// the exits are what the kernel knows, and the next launch has a new keeper.
func TestRealKeeperKilled(t *testing.T) {
	for _, victims := range []string{"keeper", "guard", "keeper guard", "guard keeper"} {
		t.Run(victims, func(t *testing.T) {
			for range 2 {
				killKeeper(t, strings.Fields(victims))
			}
		})
	}
}

func killKeeper(t *testing.T, victims []string) {
	t.Helper()
	var log logged
	l := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), withoutCgroups: true})
	defer func() {
		closeLauncher(t, l)
		if !strings.Contains(log.String(), "the keeper has died") {
			t.Errorf("nobody was told:\n%s", log.String())
		}
	}()
	r, w := lifeline(t)
	script := escapees
	if len(victims) > 1 { // what escapes is out of everybody's reach then
		script = wanderers
	}
	var all []launch.Process
	for range 3 {
		all = append(all, startTree(t, l, script, w))
	}
	w.Close()
	guard, keeper := l.pids()
	pids := map[string]int{"guard": guard, "keeper": keeper}
	for _, v := range victims {
		_ = syscall.Kill(pids[v], syscall.SIGKILL) // the second one may be gone already
	}
	for _, p := range all {
		e := p.Wait()
		known := e.Kind == launch.Killed && e.Signal == syscall.SIGKILL
		if !known && (e.Kind != launch.Unknown || !strings.Contains(e.Cause, "its keeper has died")) {
			t.Errorf("got %+v", e)
		}
		if err := p.Kill(); err != nil {
			t.Errorf("Kill after the end: %v", err)
		}
	}
	awaitEnd(t, r)
	p, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/sh", Args: []string{"-c", "exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Wait(); e.Code != 3 {
		t.Errorf("after the keeper's death: %+v", e)
	}
	if again, _ := l.pids(); again == guard {
		t.Error("there is no new keeper")
	}
}

func closeLauncher(t *testing.T, l *Launcher) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if left, err := launch.Children(); err != nil || len(left) > 0 {
		t.Errorf("children are left: %v, %v", left, err)
	}
}

// startTree starts a tree that holds w and waits until it has settled.
func startTree(t *testing.T, l *Launcher, script string, w *os.File) launch.Process {
	t.Helper()
	ready := make(chan struct{}, 1)
	p, err := l.Launch(t.Context(), launch.Spec{
		Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Control: w,
		Output: func(launch.Stream, []byte) { ready <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-ready
	return p
}

// TestRealSwept ends the leader of a tree. Without a cgroup what cleared its
// environment is not found until the end of the keeper; the others are.
func TestRealSwept(t *testing.T) {
	for range 5 {
		l := New(Config{withoutCgroups: true})
		r, w := lifeline(t)
		p := startTree(t, l, escapees, w)
		w.Close()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if e := p.Wait(); e.Signal != syscall.SIGKILL || e.Swept > 4 {
			t.Errorf("got %+v", e) // what has not left the group yet dies with the leader
		}
		closeLauncher(t, l)
		awaitEnd(t, r)
	}
}

// TestRealDoubleFork leaves orphans behind that have children.
func TestRealDoubleFork(t *testing.T) {
	l := New(Config{withoutCgroups: true})
	defer closeLauncher(t, l)
	r, w := lifeline(t)
	script := `
(setsid sh -c 'sleep 1000 & sleep 1000 & echo; wait' &)
(setsid sh -c 'sleep 1000 & echo; wait' &)
sleep 1000 & echo; wait`
	ready := make(chan struct{}, 3)
	p, err := l.Launch(t.Context(), launch.Spec{
		Path: "/bin/sh", Args: []string{"-c", script},
		Env: []string{"PATH=/usr/bin:/bin"}, Control: w,
		Output: func(launch.Stream, []byte) { ready <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	for range 3 {
		<-ready
	}
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil { // the leader alone
		t.Fatal(err)
	}
	if e := p.Wait(); e.Swept != 6 { // sh, sleep, sleep; sh, sleep; sleep
		t.Errorf("got %+v", e)
	}
	awaitEnd(t, r)
}

// TestRealSweptInExec leaves orphans behind that are in the middle of an exec most
// of the time, when their environment cannot be read. They are dead when the exit
// is told (PS-3).
func TestRealSweptInExec(t *testing.T) {
	l := New(Config{withoutCgroups: true})
	defer closeLauncher(t, l)
	restless := filepath.Join(t.TempDir(), "restless")
	if err := os.WriteFile(restless, []byte("#!/bin/sh\nexec \"$0\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		r, w := lifeline(t)
		p := startTree(t, l, "(setsid "+restless+" &); (setsid "+restless+" &); echo ready; exec 3>&-; sleep 1000", w)
		w.Close()
		if e := kill(t, p); e.Signal != syscall.SIGKILL {
			t.Errorf("got %+v", e)
		}
		if n, err := readNow(r); n != 0 || err != nil {
			t.Fatalf("an orphan is left: %v", err)
		}
		r.Close()
	}
}

// readNow reads without waiting. An end of the file is no error.
func readNow(f *os.File) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), make([]byte, 1)) })
	return n, errors.Join(cerr, err)
}

// TestRealHeadlessBuried leaves a process behind that has lost its first thread,
// whose state is then that of a dead one, and everything else that it could be
// told by. It goes with the launcher all the same.
func TestRealHeadlessBuried(t *testing.T) {
	for range 3 {
		l := New(Config{withoutCgroups: true})
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SetNonblock(fds[0], true); err != nil {
			t.Fatal(err)
		}
		ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p := startTree(t, l, "(env -i LAUNCHTEST_BEHAVIOUR='headless 0' setsid "+self+" &); exec sleep 1000", theirs)
		theirs.Close()
		if e := kill(t, p); e.Signal != syscall.SIGKILL {
			t.Errorf("got %+v", e)
		}
		begin := time.Now()
		closeLauncher(t, l)
		if took := time.Since(begin); took > endBound/2 {
			t.Errorf("Close took %v", took)
		}
		awaitEnd(t, ours)
		ours.Close()
	}
}

// TestRealOrphanReaped ends an orphan while the process that it came from lives:
// it may not stay a zombie (PS-12).
func TestRealOrphanReaped(t *testing.T) {
	l := New(Config{withoutCgroups: true})
	defer closeLauncher(t, l)
	r, w := lifeline(t)
	r.Fd() // makes it blocking, as a shell needs it
	lines := make(chan string, 1)
	p, err := l.Launch(t.Context(), launch.Spec{
		Path: "/bin/sh", Args: []string{"-c", "(setsid sh -c 'echo $$; read x <&3' &); exec 3<&-; sleep 1000"},
		Env: []string{"PATH=/usr/bin:/bin"}, Control: r,
		Output: func(_ launch.Stream, line []byte) { lines <- string(line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(<-lines)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	w.Close()
	awaitReaped(t, fd)
	if e := kill(t, p); e.Signal != syscall.SIGKILL || e.Swept > 1 { // the sleep
		t.Errorf("got %+v", e)
	}
}

// awaitReaped returns when a process was reaped, which hangs up its pidfd.
func awaitReaped(t *testing.T, pidfd int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(pidfd)}}
	for {
		n, err := unix.Poll(fds, int(patience/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("not reaped: %v", err)
		}
		return
	}
}

func kill(t *testing.T, p launch.Process) launch.Exit {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	return p.Wait()
}

// TestRealCodes ends many processes at once, whose orphans end at the same
// time: each exit is that of its process.
func TestRealCodes(t *testing.T) {
	l := New(Config{})
	defer closeLauncher(t, l)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			p, err := l.Launch(t.Context(), launch.Spec{
				Path: "/bin/sh", Args: []string{"-c", "(/bin/true &); (/bin/true &); exit " + strconv.Itoa(i)},
			})
			if err != nil {
				t.Error(err)
				return
			}
			if e := p.Wait(); e.Kind != launch.Stopped || e.Code != i {
				t.Errorf("got %+v, want exit %d", e, i)
			}
		})
	}
	wg.Wait()
}

// TestReal200KilledAtOnce closes a launcher with many processes.
func TestReal200KilledAtOnce(t *testing.T) {
	l := New(Config{})
	r, w := lifeline(t)
	var all []launch.Process
	for range 200 {
		p, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/sleep", Args: []string{"1000"}, Control: w})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	w.Close()
	closeLauncher(t, l)
	awaitEnd(t, r)
	for _, p := range all {
		if e := p.Wait(); e.Kind != launch.Killed || e.Signal != syscall.SIGKILL || e.Swept != 0 {
			t.Errorf("got %+v", e)
		}
	}
}
