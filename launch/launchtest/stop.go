package launchtest

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

func stopChecks() []check {
	return []check{
		{"PH-5 Stop asks", func(f *fixture) {
			c := f.start(spec("polite", "5"))
			f.line(c)
			f.stop(c)
			if e := c.Wait(); e.Kind != launch.Stopped || e.Code != 5 {
				f.Errorf("got %v, want exit 5", e)
			}
		}},
		{"PH-5 Stop reaches a stopped process", func(f *fixture) {
			c := f.start(spec("polite", "5"))
			f.line(c)
			f.suspend(c)
			f.stop(c)
			if e := c.Wait(); e.Code != 5 || e.Signal != 0 {
				f.Errorf("got %v, want exit 5", e)
			}
		}},
		{"PH-5 Stop can be ignored, Kill cannot", func(f *fixture) {
			c := f.start(spec("deaf"))
			f.line(c)
			f.stop(c)
			f.kill(c)
			if e := c.Wait(); e.Kind != launch.Killed || e.Signal != syscall.SIGKILL {
				f.Errorf("got %v, want a SIGKILL", e)
			}
		}},
		{"PH-6 Kill ends a stopped process", func(f *fixture) {
			c := f.start(spec("hold"))
			f.line(c)
			f.suspend(c)
			f.kill(c)
			if e := c.Wait(); e.Signal != syscall.SIGKILL {
				f.Errorf("got %v, want a SIGKILL", e)
			}
		}},
		{"PH Exit Suspended", func(f *fixture) {
			c := f.start(spec("hold"))
			f.line(c)
			if c.Suspended() {
				f.Error("suspended while it runs")
			}
			f.suspend(c)
			if !c.Suspended() {
				f.Error("not suspended after SIGSTOP")
			}
			f.kill(c)
			c.Wait()
			if c.Suspended() {
				f.Error("suspended after its end")
			}
		}},
		{"PH-7 after the end Stop and Kill do nothing", func(f *fixture) {
			c := f.start(spec("exit", "0"))
			c.Wait()
			f.stop(c)
			f.kill(c)
			if e := c.Wait(); !e.OK() {
				f.Errorf("the exit has changed to %v", e)
			}
		}},
		{"PS-4 a recycled pid is not signalled", recycledPID},
		{"PH-12 the exit comes soon after the death", func(f *fixture) {
			c := f.start(spec("hold"))
			f.line(c)
			begin := time.Now()
			f.kill(c)
			c.Wait()
			if took := time.Since(begin); took > time.Second {
				f.Errorf("took %v", took)
			}
		}},
	}
}

func (f *fixture) stop(p launch.Process) {
	f.Helper()
	if err := p.Stop(); err != nil {
		f.Errorf("Stop: %v", err)
	}
}

func (f *fixture) kill(p launch.Process) {
	f.Helper()
	if err := p.Kill(); err != nil {
		f.Errorf("Kill: %v", err)
	}
}

// suspend stops the process and returns when it has stopped. Only the parent is
// told about that; if this is not us, looking is the only way.
func (f *fixture) suspend(c *child) {
	f.Helper()
	if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil {
		f.Fatal(err)
	}
	var status syscall.WaitStatus
	_, err := syscall.Wait4(c.PID(), &status, syscall.WUNTRACED, nil)
	for err == syscall.EINTR {
		_, err = syscall.Wait4(c.PID(), &status, syscall.WUNTRACED, nil)
	}
	for end := time.Now().Add(patience); err != nil && !c.Suspended(); runtime.Gosched() {
		if time.Now().After(end) {
			f.Fatal("does not stop")
		}
	}
}

// recycledPID makes the kernel give the number of a dead child to a new one,
// and signals the dead one.
func recycledPID(f *fixture) {
	const lastPID = "/proc/sys/kernel/ns_last_pid"
	for range 50 {
		dead := f.start(spec("exit", "0"))
		dead.Wait()
		if err := os.WriteFile(lastPID, []byte(strconv.Itoa(dead.PID()-1)), 0); err != nil {
			f.Skip("cannot choose a pid: ", err)
		}
		s := spec("lifeline", "5")
		end := f.lifeline(&s)
		alive := f.start(s)
		f.line(alive)
		if alive.PID() != dead.PID() {
			f.kill(alive)
			continue // somebody else was faster
		}
		f.stop(dead)
		f.kill(dead)
		end.Close()
		s.Control.Close()
		if e := alive.Wait(); e.Code != 5 || e.Signal != 0 {
			f.Errorf("a signal for its predecessor has reached a process: %v", e)
		}
		return
	}
	f.Skip("no pid was given out twice")
}
