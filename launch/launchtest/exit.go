package launchtest

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

func exitChecks() []check {
	return []check{
		{"PH Exit tells exit codes", func(f *fixture) {
			for _, code := range []int{0, 1, 7, 127, 128, 137, 255} {
				e := f.run(spec("exit", strconv.Itoa(code)))
				if e.Kind != launch.Stopped || e.Code != code || e.Signal != 0 {
					f.Errorf("exit code %d: got %v", code, e)
				}
			}
		}},
		{"PH Exit tells signals", func(f *fixture) {
			for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGABRT, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGTERM} {
				e := f.run(shell("ulimit -c 0; kill -" + strconv.Itoa(int(sig)) + " $$"))
				if e.Kind != launch.Killed || e.Signal != sig || e.Code != 0 || e.CoreDumped {
					f.Errorf("%v: got %v", sig, e)
				}
			}
		}},
		{"PH Exit has times and usage", func(f *fixture) {
			before := time.Now()
			e := f.run(spec("exit", "0"))
			after := time.Now()
			if e.Started.Before(before) || e.Ended.Before(e.Started) || after.Before(e.Ended) {
				f.Errorf("started %v, ended %v, observed from %v to %v", e.Started, e.Ended, before, after)
			}
			if e.Rusage.User+e.Rusage.System <= 0 || e.Rusage.MaxRSS < 1<<18 || e.Rusage.MaxRSS > 1<<34 {
				f.Errorf("usage %+v is not that of a go program", e.Rusage)
			}
			if e.Requested != (launch.Request{}) || !e.Ready.IsZero() || e.Phase != 0 {
				f.Errorf("the launcher filled in what others know: %+v", e)
			}
		}},
		{"PH-10 every waiter gets the same exit", func(f *fixture) {
			c := f.start(spec("lifeline", "7"))
			var wg sync.WaitGroup
			exits := make([]launch.Exit, 100)
			for i := range exits {
				wg.Go(func() { exits[i] = c.Wait() })
			}
			wg.Wait()
			for i, e := range exits {
				if e != c.Wait() || e.Code != 7 {
					f.Errorf("waiter %d: got %+v, want %+v", i, e, c.Wait())
				}
			}
		}},
		{"PH Exit keeps the last lines of stderr", func(f *fixture) {
			s := shell("for i in 1 2 3 4 5; do echo line $i >&2; done; printf end >&2")
			s.TailLines = 3
			if e := f.run(s); e.Stderr != "line 4\nline 5\nend" {
				f.Errorf("got %q", e.Stderr)
			}
		}},
	}
}

// shell describes a shell that runs script.
func shell(script ...string) launch.Spec {
	return launch.Spec{Path: "/bin/sh", Args: []string{"-c", strings.Join(script, "\n")}}
}
