package keeper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/launchtest"
)

func truth() launch.Spec { return launch.Spec{Path: "/bin/true"} }

// TestRealNoKeeper has programs that know nothing of keepers.
func TestRealNoKeeper(t *testing.T) {
	tests := []struct{ exe, want string }{
		{"/bin/true", "ended before it answered"},
		{"/usr/bin/yes", "no answer after 200ms"},
		{"/no/such/program", "no such file"},
	}
	for _, tt := range tests {
		l := New(Config{exe: tt.exe, patience: 200 * time.Millisecond})
		for range 2 { // the second one tries again
			_, err := l.Launch(t.Context(), truth())
			if _, ok := errors.AsType[*launch.StartError](err); !ok || !errors.Is(err, ErrNoKeeper) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v", tt.exe, err)
			}
		}
		closeLauncher(t, l)
	}
}

// TestRealStarved leaves the keeper no descriptors (PS-10).
func TestRealStarved(t *testing.T) {
	l := New(Config{})
	defer closeLauncher(t, l)
	live := func() error {
		p, err := l.Launch(t.Context(), truth())
		if err == nil {
			p.Wait()
		}
		return err
	}
	if err := live(); err != nil {
		t.Fatal(err)
	}
	_, keeper := l.pids()
	before := open(t, keeper)
	var old unix.Rlimit
	if err := unix.Prlimit(keeper, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Skip("limits of another process: ", err)
	}
	failures := 0
	for spare := range 20 {
		if err := unix.Prlimit(keeper, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: room(before, spare), Max: old.Max}, nil); err != nil {
			t.Fatal(err)
		}
		err := live()
		if err != nil {
			failures++
			short := errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ETOOMANYREFS) // of those that others send, too
			if !errors.Is(err, launch.ErrLimit) || !short {
				t.Errorf("with %d descriptors: %v", spare, err)
			}
		}
		if err := unix.Prlimit(keeper, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Fatal(err)
		}
		if now := open(t, keeper); len(now) != len(before) {
			t.Errorf("with %d descriptors: %v are open afterwards, %v before", spare, now, before)
		}
	}
	if failures == 0 {
		t.Error("there was never a descriptor missing")
	}
	if err := live(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// room returns the limit that leaves room for so many more descriptors.
func room(open []int, spare int) uint64 {
	for limit := 0; ; limit++ {
		if slices.Contains(open, limit) {
			continue
		}
		if spare == 0 {
			return uint64(limit)
		}
		spare--
	}
}

// open returns the descriptors of a process.
func open(t *testing.T, pid int) (fds []int) {
	t.Helper()
	list, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds
}

// TestRealCallerLeaves has callers leave at any moment of a start.
func TestRealCallerLeaves(t *testing.T) {
	l := New(Config{})
	r, w := lifeline(t)
	left := 0
	for i := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*30*time.Microsecond)
		p, err := l.Launch(ctx, launch.Spec{Path: "/bin/sleep", Args: []string{"1000"}, Control: w})
		cancel()
		switch {
		case err == nil:
			kill(t, p)
		case errors.Is(err, context.DeadlineExceeded):
			left++
		default:
			t.Errorf("got %v", err)
		}
	}
	if left == 0 {
		t.Error("nobody left")
	}
	w.Close()
	awaitEnd(t, r) // what was started all the same is killed
	closeLauncher(t, l)
}

// TestRealSignalsOutlived sends the keeper what a terminal sends to everybody.
func TestRealSignalsOutlived(t *testing.T) {
	l := New(Config{})
	defer closeLauncher(t, l)
	p, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/sh", Args: []string{"-c", "kill -TERM $$"}})
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Wait(); e.Signal != syscall.SIGTERM { // the keeper's deafness is not inherited
		t.Errorf("got %+v", e)
	}
	guard, keeper := l.pids()
	for _, pid := range []int{guard, keeper} {
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
			if err := syscall.Kill(pid, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p, err = l.Launch(t.Context(), truth()); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	if g, k := l.pids(); g != guard || k != keeper {
		t.Errorf("guard and keeper are %d and %d, were %d and %d", g, k, guard, keeper)
	}
}

// TestRealSmall measures guard and keeper with 500 children (PS-1), once the
// keeper has rested. Their share of the program's image is the smaller the more
// processes run it; here these are three, so what is compared is their own. Of
// that, the initialisation of what tests import is a good part.
func TestRealSmall(t *testing.T) {
	l := New(Config{Records: filepath.Join(t.TempDir(), "records")})
	defer closeLauncher(t, l)
	for range 500 {
		if _, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/sleep", Args: []string{"1000"}, Env: os.Environ()}); err != nil {
			t.Fatal(err)
		}
	}
	guard, keeper := l.pids()
	pss, own, _ := weigh(t, keeper)
	t.Logf("keeper: %d KiB PSS at work, %d of them its own", pss, own)
	rested := time.NewTimer(2 * rest)
	<-rested.C
	for name, pid := range map[string]int{"guard": guard, "keeper": keeper} {
		pss, own, threads := weigh(t, pid)
		t.Logf("%s: %d KiB PSS, %d of them its own, %d threads", name, pss, own, threads)
		if threads > 20 {
			t.Errorf("%s: %d threads", name, threads)
		}
		if own > 5<<10 && !shadowed() {
			t.Errorf("%s: %d KiB", name, own)
		}
	}
	if n := runtime.NumGoroutine(); n > 500*4+50 { // monitor and two readers each
		t.Errorf("%d goroutines here", n)
	}
}

// TestRealShed has this process shed, as a keeper does when it rests.
func TestRealShed(t *testing.T) {
	i := findImage()
	if len(i) == 0 {
		t.Fatal("there is no image")
	}
	before := resident(t)
	i.shed()
	if after := resident(t); after > before/2 {
		t.Errorf("%d KiB of files are here, %d before", after, before)
	}
}

// resident returns how many KiB of files are in the memory of this process.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// weigh returns the proportional set size of a process in KiB, that without
// files, and its threads.
func weigh(t *testing.T, pid int) (pss, own, threads int) {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/smaps_rollup")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 1 && f[0] == "Pss:":
			pss, _ = strconv.Atoi(f[1])
		case len(f) > 1 && f[0] == "Pss_Anon:":
			own, _ = strconv.Atoi(f[1])
		}
	}
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		t.Fatal(err)
	}
	return pss, own, len(tasks)
}

// shadowed reports whether the race detector has memory of its own.
func shadowed() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// newIsolatedLauncher keeps its processes in a PID namespace.
func newIsolatedLauncher() launch.Launcher { return New(Config{Isolate: PIDNamespace}) }

// needsNamespaces skips where the kernel forbids them.
func needsNamespaces(t *testing.T) {
	t.Helper()
	l := newIsolatedLauncher()
	defer l.Close()
	p, err := l.Launch(t.Context(), truth())
	if err != nil {
		t.Skip("no namespaces here: ", err)
	}
	p.Wait()
}

func TestRealContractIsolated(t *testing.T) {
	needsNamespaces(t)
	launchtest.RunWithoutLimits(t, newIsolatedLauncher)
}

// TestRealIsolated looks around in a namespace, and kills its guard.
func TestRealIsolated(t *testing.T) {
	needsNamespaces(t)
	for range 5 {
		l := New(Config{Isolate: PIDNamespace})
		r, w := lifeline(t)
		p := startTree(t, l, escapees, w)
		w.Close()
		if _, err := os.Stat("/proc/" + strconv.Itoa(p.PID())); err != nil {
			t.Errorf("its number is not ours: %v", err)
		}
		var out strings.Builder
		script := `[ -e /proc/$$/exe ] && [ $$ -lt 1000 ] && [ $(ls -d /proc/[0-9]* | wc -l) -lt 50 ]; echo $?; id -u`
		q, err := l.Launch(t.Context(), launch.Spec{
			Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: &out,
		})
		if err != nil {
			t.Fatal(err)
		}
		if e := q.Wait(); !e.OK() || out.String() != "0\n"+strconv.Itoa(os.Getuid())+"\n" {
			t.Errorf("got %q, %+v", out.String(), e)
		}
		guard, _ := l.pids()
		if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, r)
		if e := p.Wait(); e.Kind != launch.Killed && e.Kind != launch.Unknown {
			t.Errorf("got %+v", e)
		}
		closeLauncher(t, l)
	}
}

func TestRealIsolatedHostKilled(t *testing.T) {
	needsNamespaces(t)
	for _, victims := range []string{"host", "guard host", "host guard"} {
		for range 5 {
			killHost(t, "isolated", "plain", strings.Fields(victims))
		}
	}
}
