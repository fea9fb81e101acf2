package launchtest

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

func isolationChecks() []check {
	return []check{
		{"PS-6 the child has descriptors 0, 1 and 2", func(f *fixture) {
			f.prints(spec("descriptors"), "0", "1", "2", "stdin is null: true")
		}},
		{"PS-6 the child has descriptor 3 if there is a control", func(f *fixture) {
			s := spec("descriptors")
			f.lifeline(&s)
			f.prints(s, "0", "1", "2", "3", "stdin is null: true")
		}},
		{"PS-6 descriptors that we inherited do not leak", func(f *fixture) {
			fd, err := syscall.Dup(2) // without close-on-exec, like one that we were started with
			if err != nil {
				f.Fatal(err)
			}
			defer syscall.Close(fd)
			inner := &fixture{T: f.T, Launcher: open(f.T, f.newLauncher)}
			inner.prints(spec("descriptors"), "0", "1", "2", "stdin is null: true")
		}},
		{"PS-5 the control stays with the caller, as it was", func(f *fixture) {
			s := shell("echo hello >&3")
			ours, theirs, err := socketpair()
			if err != nil {
				f.Fatal(err)
			}
			defer ours.Close()
			defer theirs.Close()
			s.Control = ours // non-blocking
			if e := f.run(s); !e.OK() {
				f.Errorf("got %v", e)
			}
			if err := ours.SetReadDeadline(time.Now()); err != nil {
				f.Errorf("the control is not in the netpoller any more: %v", err)
			}
			if _, err := ours.Write([]byte("x")); err != nil {
				f.Errorf("the control is not usable any more: %v", err)
			}
			ours.Close()
			if got, err := io.ReadAll(theirs); err != nil || string(got) != "hello\nx" {
				f.Errorf("got %q, %v", got, err)
			}
		}},
		{"PS-6 the environment is what the spec says", func(f *fixture) {
			s := spec("environment")
			s.Env = append(s.Env, "A=1", "B=two words", "EMPTY=", "nothing")
			want := make([]string, len(s.Env))
			for i, kv := range s.Env {
				want[i] = strconv.Quote(kv)
			}
			f.prints(s, want...)
		}},
		{"PS-6 nothing is inherited", func(f *fixture) {
			// A shell makes variables of its own, env does not.
			f.Setenv("LAUNCHTEST_LEAK", "x")
			env := launch.Spec{Path: "env", Env: []string{"PATH=/usr/bin:/bin"}}
			f.prints(env, "PATH=/usr/bin:/bin")
			env = launch.Spec{Path: "/usr/bin/env"}
			f.prints(env)
		}},
		{"PS-7 arguments", func(f *fixture) {
			s := spec("arguments")
			s.Args = []string{"", "a b", "-x"}
			f.prints(s, strconv.Quote(os.Args[0]), `""`, `"a b"`, `"-x"`)
			s.Argv0 = "other name"
			f.prints(s, `"other name"`, `""`, `"a b"`, `"-x"`)
		}},
		{"PS-7 directory", func(f *fixture) {
			dir, err := filepath.EvalSymlinks(f.TempDir())
			if err != nil {
				f.Fatal(err)
			}
			s := spec("directory")
			s.Dir = dir
			f.prints(s, dir)
		}},
	}
}

// prints checks the lines that s prints.
func (f *fixture) prints(s launch.Spec, want ...string) {
	f.Helper()
	c := f.start(s)
	e := c.Wait()
	close(c.lines)
	var got []string
	for line := range c.lines {
		if !strings.HasPrefix(strings.Trim(line, `"`), launch.MarkEnv+"=") { // a launcher may add it
			got = append(got, line)
		}
	}
	if !e.OK() || !slices.Equal(got, want) {
		f.Errorf("got %q (%v, stderr %q), want %q", got, e, e.Stderr, want)
	}
}

func leakChecks() []check {
	return []check{
		{"PH-14 200 lives leave nothing", func(f *fixture) {
			f.lives(1) // what is opened once is open now
			descriptors, goroutines := len(openDescriptors()), runtime.NumGoroutine()
			f.lives(200)
			if got := len(openDescriptors()); got > descriptors {
				f.Errorf("%d descriptors, %d before", got, descriptors)
			}
			f.settle(goroutines)
			if children, err := launch.Children(); err == nil && len(children) > 0 {
				f.Errorf("children left: %v", children)
			}
		}},
		{"PS-1 100 living children cost no threads", func(f *fixture) {
			if runtime.GOOS != "linux" {
				f.Skip("linux only")
			}
			s := spec("lifeline", "0")
			end := f.lifeline(&s)
			f.start(s)
			before := threads()
			for range 100 {
				c := f.start(s)
				f.line(c)
			}
			// A few more the scheduler may take for system calls that block.
			if got := threads(); got > before+20 {
				f.Errorf("%d threads, %d before", got, before)
			}
			s.Control.Close()
			end.Close()
		}},
		{"PM-3 concurrent use", func(f *fixture) {
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					p, err := f.Launch(f.Context(), spec("exit", strconv.Itoa(i)))
					if err != nil {
						f.Errorf("Launch: %v", err)
						return
					}
					if e := p.Wait(); e.Code != i {
						f.Errorf("got %v, want exit %d", e, i)
					}
				})
			}
			wg.Wait()
		}},
		{"PM-4 Close joins a Launch", func(f *fixture) {
			l := f.newLauncher()
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					p, err := l.Launch(f.Context(), spec("deaf"))
					if err == nil {
						p.Wait()
					}
				})
			}
			if err := l.Close(); err != nil {
				f.Errorf("Close: %v", err)
			}
			wg.Wait()
		}},
	}
}

// lives starts and kills n processes with a launcher of its own.
func (f *fixture) lives(n int) {
	f.Helper()
	l := f.newLauncher()
	for range n {
		p, err := l.Launch(f.Context(), spec("hold"))
		if err != nil {
			f.Fatal(err)
		}
		f.kill(p)
		p.Wait()
	}
	if err := l.Close(); err != nil {
		f.Errorf("Close: %v", err)
	}
}

// settle returns when there are no more goroutines than n. A goroutine that was
// waited for is counted until the scheduler has put it away.
func (f *fixture) settle(n int) {
	f.Helper()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > n; runtime.Gosched() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			f.Errorf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), n, buf[:runtime.Stack(buf, true)])
			return
		}
	}
}

func threads() int {
	dir, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	return len(dir)
}
