package native

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// start starts a shell script whose descriptor 3 is the returned file.
func start(t *testing.T, l *Launcher, script string) (*process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	r.Fd() // makes it blocking, as a shell needs it
	p, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/sh", Args: []string{"-c", script}, Control: r})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	return p.(*process), w
}

func open(t *testing.T, cfg Config) *Launcher {
	l := New(cfg)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// TestRealStolen lets foreign code wait for a child of ours. The record is then
// what the kernel still knows of it, or Unknown, but never made up.
func TestRealStolen(t *testing.T) {
	tests := []struct {
		script string
		code   int
		signal syscall.Signal
	}{{"read x <&3; exit 7", 7, 0}, {"ulimit -c 0; read x <&3; kill -TERM $$", 0, syscall.SIGTERM}}
	for _, tt := range tests {
		for range 10 { // it is a race with the monitor, which both sides win now and then
			p, w := start(t, open(t, Config{}), tt.script)
			p.mu.Lock() // the monitor cannot reap
			w.Close()
			if _, err := unix.Wait4(p.PID(), nil, 0, nil); err != nil {
				t.Fatal(err)
			}
			p.mu.Unlock()
			e := p.Wait()
			if e.Kind == launch.Unknown {
				if !strings.Contains(e.Cause, strconv.Itoa(p.PID())) || e.Code != 0 || e.Signal != 0 {
					t.Errorf("unknown, but %+v", e)
				}
				t.Log("this kernel does not know it any more: ", e)
				continue
			}
			if e.Code != tt.code || e.Signal != tt.signal {
				t.Errorf("%s: got %v", tt.script, e)
			}
		}
	}
}

func TestRealTailWhileRunning(t *testing.T) {
	lines := make(chan string, 10)
	l := open(t, Config{})
	p, err := l.Launch(t.Context(), launch.Spec{
		Path: "/bin/sh", Args: []string{"-c", "echo out; echo err >&2; kill -STOP $$"},
		Output: func(_ launch.Stream, line []byte) { lines <- string(line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-lines
	<-lines
	tail := p.(interface {
		Tail(launch.Stream) []string
	})
	if out, errs := tail.Tail(launch.Stdout), tail.Tail(launch.Stderr); len(out) != 1 || out[0] != "out" || len(errs) != 1 || errs[0] != "err" {
		t.Errorf("got %q and %q", out, errs)
	}
}

// TestRealFrozen needs a freezer that we may use.
func TestRealFrozen(t *testing.T) {
	tests := []struct{ name, root, state, freeze, thaw, events string }{
		{"v1", "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED", ""},
		{"v2", "/sys/fs/cgroup", "cgroup.freeze", "1", "0", "cgroup.events"},
		{"v2 beside v1", "/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0", "cgroup.events"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := os.Stat(tt.root + "/cgroup.procs"); err != nil {
				t.Skip("not mounted: ", err)
			}
			dir := tt.root + "/launch-test-" + strconv.Itoa(os.Getpid())
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Skip("no cgroup can be made: ", err)
			}
			defer os.Remove(dir)
			set := func(name, value string) {
				changed := watch(t, dir, tt.events)
				if err := os.WriteFile(dir+"/"+name, []byte(value), 0); err != nil {
					t.Skip("no freezer: ", err)
				}
				changed()
			}
			p, w := start(t, open(t, Config{}), "read x <&3")
			if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(p.PID())), 0); err != nil {
				t.Skip("the cgroup takes no process: ", err)
			}
			defer p.Wait() // an empty cgroup can be removed
			defer w.Close()
			if p.Suspended() {
				t.Error("suspended before it is frozen")
			}
			set(tt.state, tt.freeze)
			if !p.Suspended() {
				t.Error("not suspended while it is frozen")
			}
			set(tt.state, tt.thaw)
			if p.Suspended() {
				t.Error("suspended after it is thawed")
			}
		})
	}
}

// watch returns a function that waits for the next change of a cgroup's events.
func watch(t *testing.T, dir, events string) (changed func()) {
	if events == "" { // the first version has no event: it is FREEZING for a moment
		return func() {
			for {
				state, err := os.ReadFile(dir + "/freezer.state")
				if err != nil {
					t.Fatal(err)
				}
				if strings.TrimSpace(string(state)) != "FREEZING" {
					return
				}
				runtime.Gosched()
			}
		}
	}
	f, err := os.Open(dir + "/" + events)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 100)); err != nil { // what is read is no change
		t.Fatal(err)
	}
	return func() {
		defer f.Close()
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}, 10_000)
			if err == unix.EINTR { // the runtime preempts with signals
				continue
			}
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
}

// TestRealSubreaper makes this process the one that orphans are handed to. It
// must reap those of its groups and no others (PS-12).
func TestRealSubreaper(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	for _, cfg := range []Config{{}, {withoutGroupSignal: true}} {
		other := exec.Command("/bin/true")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		p, _ := start(t, open(t, cfg), "/bin/sleep 1000 & /bin/true & exit 3")
		if e := p.Wait(); e.Code != 3 || e.Swept < 1 {
			t.Errorf("got %+v", e)
		}
		if err := other.Wait(); err != nil {
			t.Errorf("a child that is none of ours was reaped: %v", err)
		}
		if left, err := launch.Children(); err != nil || len(left) > 0 {
			t.Errorf("children left: %v, %v", left, err)
		}
	}
}

func TestRealCensus(t *testing.T) {
	marker := "LAUNCH_CENSUS=" + strconv.Itoa(os.Getpid())
	l := open(t, Config{})
	none := func(when string) {
		if got, err := launch.Census(marker); err != nil || len(got) != 0 {
			t.Errorf("%s: got %v, %v", when, got, err)
		}
	}
	none("before")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Fd() // makes it blocking, as a shell needs it
	// The descendant has a session of its own and ends with the pipe.
	script := "setsid /bin/sh -c 'echo up; read x <&3' & wait"
	up := make(chan struct{}, 1)
	p, err := l.Launch(t.Context(), launch.Spec{
		Path: "/bin/sh", Args: []string{"-c", script}, Control: r,
		Env:    []string{"PATH=/usr/bin:/bin", marker},
		Output: func(launch.Stream, []byte) { up <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-up
	if got, err := launch.Census(marker); err != nil || len(got) != 2 || !slices.Contains(got, p.PID()) {
		t.Errorf("got %v, %v, want %d and its descendant", got, err, p.PID())
	}
	if got, err := launch.Children(); err != nil || !slices.Equal(got, []int{p.PID()}) {
		t.Errorf("children: got %v, %v, want %d", got, err, p.PID())
	}
	w.Close()
	p.Wait()
	none("after")
}
