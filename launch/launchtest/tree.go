package launchtest

import (
	"runtime"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

func treeChecks() []check {
	return []check{
		{"PS-3 what is left of the group is killed and counted", func(f *fixture) {
			s := spec("leave", "3")
			end := f.lifeline(&s)
			e := f.run(s)
			if e.Swept != 3 || e.Cut || e.Kind != launch.Stopped {
				f.Errorf("got %+v, want 3 processes swept", e)
			}
			s.Control.Close()
			f.awaitHolders(end)
		}},
		{"PS-3 nothing is swept if nothing is left", func(f *fixture) {
			if e := f.run(shell("/bin/true & wait")); e.Swept != 0 {
				f.Errorf("got %+v", e)
			}
		}},
		{"PS-3 Kill reaches the group", func(f *fixture) {
			s := shell("/bin/sleep 1000 & /bin/sleep 1000 & echo ready; wait")
			end := f.lifeline(&s)
			c := f.start(s)
			s.Control.Close()
			f.line(c)
			f.kill(c)
			if e := c.Wait(); e.Signal != syscall.SIGKILL {
				f.Errorf("got %+v", e)
			}
			f.awaitHolders(end)
		}},
		{"PS-9 an escaped descendant that holds the output delays the exit by the bound", func(f *fixture) {
			s := spec("leave-escaped", "1")
			s.DrainBound = 200 * time.Millisecond
			f.lifeline(&s)
			e := f.run(s)
			if e.Swept == 1 && !e.Cut {
				f.Skip("from this launcher there is no escape")
			}
			if took := time.Since(e.Ended); !e.Cut || e.Code != 0 || took < s.DrainBound || took > s.DrainBound+patience/10 {
				f.Errorf("published after %v: %+v, want a cut after %v", took, e, s.DrainBound)
			}
		}},
		{"PH Exit a process without its first thread has not ended", func(f *fixture) {
			if runtime.GOOS != "linux" {
				f.Skip("linux only")
			}
			s := spec("headless", "6")
			end := f.lifeline(&s)
			c := f.start(s)
			s.Control.Close()
			f.line(c)
			asked := time.Now()
			end.Close()
			if e := c.Wait(); e.Code != 6 || e.Ended.Before(asked) {
				f.Errorf("got %v at %v, asked to end at %v", e, e.Ended, asked)
			}
		}},
		{"PS-1 a child dies with the process that launched it", func(f *fixture) {
			if runtime.GOOS != "linux" {
				f.Skip("linux only")
			}
			s := spec("nested")
			end := f.lifeline(&s)
			c := f.start(s)
			s.Control.Close()
			f.line(c)
			if err := syscall.Kill(c.PID(), syscall.SIGKILL); err != nil { // not its group
				f.Fatal(err)
			}
			c.Wait()
			f.awaitHolders(end)
		}},
		{"PS-1 a child lives while unrelated threads end", unrelatedThreads},
		{"PM-1 Close kills and reaps", func(f *fixture) {
			l := f.newLauncher()
			s := spec("deaf")
			end := f.lifeline(&s)
			inner := &fixture{T: f.T, Launcher: l}
			children := []*child{inner.start(s), inner.start(s), inner.start(s)}
			s.Control.Close()
			if err := l.Close(); err != nil {
				f.Errorf("Close: %v", err)
			}
			f.awaitHolders(end)
			for _, c := range children {
				if e := c.Wait(); e.Signal != syscall.SIGKILL {
					f.Errorf("got %v, want a SIGKILL", e)
				}
			}
		}},
	}
}

// unrelatedThreads ends many threads while children start and run, among them
// those that have called Launch. A child that was forked from one of them would
// get a parent-death signal.
func unrelatedThreads(f *fixture) {
	s := spec("lifeline", "5")
	end := f.lifeline(&s)
	const n = 20
	ended := make(chan struct{})
	for range n * 4 {
		go func() {
			runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
			ended <- struct{}{}
		}()
	}
	var children []*child
	for range n {
		for range 4 {
			<-ended
		}
		launched := make(chan *child)
		go func() {
			runtime.LockOSThread()
			defer close(launched) // also if start fails the test
			launched <- f.start(s)
		}()
		if c := <-launched; c != nil {
			children = append(children, c)
		}
	}
	for _, c := range children {
		f.line(c)
	}
	s.Control.Close()
	end.Close()
	for i, c := range children {
		if e := c.Wait(); e.Code != 5 {
			f.Errorf("child %d: %v, want exit 5", i, e)
		}
	}
}
