package torture

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/native"
)

// stopRows is about what does not want to stop.
func stopRows() []row {
	return []row{
		{number: 30, name: "ignores SIGTERM", with: everyKind,
			done:  "Stop and then Kill of a process that ignores SIGTERM; Terminate with 300 ms of a proc that does",
			holds: "SIGKILL, not before the grace is used up; the exit says that it was (PH-5)",
			run:   ignoresTerm},
		{number: 31, name: "obeys with a code", with: everyKind,
			done:  "a process exits with 7 on SIGTERM",
			holds: "the exit is 7, and not killed",
			run: func(f *fixture) {
				c := f.start(f.launcher(), sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"))
				f.line(c)
				f.no(c.Stop())
				e := f.end(c)
				f.want(e.Kind == launch.Stopped && e.Code == 7, "exit 7", shown(e))
			}},
		{number: 33, name: "stopped, and asked to stop", with: everyKind,
			done:  "SIGSTOP to a process, and to a proc, then Stop and Terminate",
			holds: "suspended is no end; both are continued and obey within the grace",
			run:   stoppedObeys},
		{number: 34, name: "stopped and deaf", with: everyKind,
			done:  "SIGSTOP to a process that ignores SIGTERM; Stop, then Kill",
			holds: "SIGKILL works on what is stopped",
			run: func(f *fixture) {
				c := f.start(f.launcher(), sh("trap '' TERM; echo ready; sleep 60"))
				f.line(c)
				f.stopped(c)
				f.no(c.Stop())
				f.no(c.Kill())
				f.want(killed(f.end(c)), "SIGKILL", "not")
			}},
		{number: 35, name: "debugger attached", with: everyKind, needs: oneTracer,
			done:  "a debugger holds a process in a tracing stop; Kill",
			holds: "suspended before; then killed, and the exit is the right one",
			run:   traced},
		{number: 35, name: "debugger does not let go", with: everyKind, needs: oneTracer,
			done:  "a debugger that is itself stopped holds a process that is killed; later the debugger is killed",
			holds: "no exit is made up while the kernel holds the record back; then it is the right one",
			run:   heldByDebugger},
		{number: 36, name: "100 Terminates", with: everyKind,
			done:  "100 calls of Terminate at once with graces from 400 ms to 30 s on a proc that ignores them",
			holds: "one SIGTERM, killed by the earliest deadline, the same exit for all (PH-5)",
			run:   hundredTerminates},
		{number: 38, name: "Kill during Terminate, for real", with: everyKind,
			done:  "Kill while a Terminate of 30 s waits for a proc that ignores it",
			holds: "killed at once, the same exit for both",
			run:   killDuringTerminate},
		{number: 39, name: "after the end", with: everyKind,
			done:  "Stop and Kill of a process that has ended, Terminate and Kill of such a proc",
			holds: "nothing is signalled; ErrAlreadyExited with the exit (PH-7)",
			run:   afterTheEnd},
		{number: 43, name: "frozen", with: everyKind, needs: root | freezer, slow: true,
			done:  "Kill of a proc in a frozen cgroup of version 1, which no SIGKILL ends, for 6 s; then it is thawed",
			holds: "no exit meanwhile, and the status says what holds it up (PH-12); then the exit is SIGKILL",
			run:   frozenProc},
		{number: 43, name: "frozen process", with: everyKind, needs: root | freezer,
			done:  "Kill of a process in a frozen cgroup of version 1, which is thawed later",
			holds: "suspended, no exit; then SIGKILL",
			run:   frozenProcess},
		{number: 44, name: "headless process", with: everyKind,
			done:  "the first thread of a process ends and the others go on: the process looks like a zombie",
			holds: "it has not ended; the exit comes with the last thread",
			run:   headlessProcess},
		{number: 45, name: "stuck in vfork", with: everyKind, needs: root | unified,
			done:  "a process starts a child into a frozen cgroup: it waits in the kernel, the child never comes to its exec; Kill",
			holds: "both are gone",
			run:   stuckInVfork},
		{number: 61, name: "host without a processor", with: everyKind,
			done:  "a host with one processor whose goroutines spin and make garbage; Terminate with 300 ms of a proc that ignores it",
			holds: "killed after the grace, and not much later",
			run:   busyHost},
	}
}

// stopped stops the process and returns when it is.
func (f *fixture) stopped(c *child) {
	f.Helper()
	f.must(f.mustWatch(c.PID()).signal(unix.SIGSTOP))
	for end := time.Now().Add(patience); !c.Suspended(); runtime.Gosched() {
		if time.Now().After(end) { // only its parent is told, which may be another process
			f.Fatal("does not stop")
		}
	}
}

func ignoresTerm(f *fixture) {
	c := f.start(f.launcher(), sh("trap '' TERM; echo ready; sleep 60; sleep 60"))
	f.line(c)
	f.no(c.Stop())
	f.no(c.Kill())
	f.want(killed(f.end(c)), "SIGKILL", "not")

	rt := f.host()
	h, v := f.spawn(rt, "a")
	_, err := do.Call(f.ctx(rt), v, []string{"deaf"})
	f.must(err)
	const grace = 300 * time.Millisecond
	began := time.Now()
	e, err := h.Terminate(f.ctx(rt), grace, "go")
	took := time.Since(began)
	f.want(err == nil && killed(e) && strings.Contains(e.Cause, "300ms"), "killed", shown(e))
	f.want(took >= grace && took < grace+2*time.Second, "in time", took)
}

func stoppedObeys(f *fixture) {
	c := f.start(f.launcher(), sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"))
	f.line(c)
	f.stopped(c)
	f.no(c.Stop())
	f.want(f.end(c).Code == 7, "exit 7", "not")

	rt := f.host()
	h, _ := f.spawn(rt, "a")
	f.must(f.mustWatch(h.Status().PID).signal(unix.SIGSTOP))
	for end := time.Now().Add(patience); !h.Status().Suspended && time.Now().Before(end); runtime.Gosched() {
	}
	s := h.Status()
	f.want(s.Suspended && s.Phase == host.Ready, "suspended is no failure", s)
	e, err := h.Terminate(f.ctx(rt), patience, "go")
	f.want(err == nil && e.OK() && e.Cause == "", "it obeys", shown(e))
}

// debugger starts a process that holds c in a tracing stop.
func (f *fixture) debugger(c *child) *child {
	f.Helper()
	l := native.New(native.Config{}) // in whose PID namespace the number is right
	f.Cleanup(func() { f.no(l.Close()) })
	d := f.start(l, self("tracer", fmt.Sprint(c.PID())))
	f.line(d)
	f.want(c.Suspended(), "traced is suspended", "not")
	return d
}

func traced(f *fixture) {
	c := f.start(f.launcher(), sh("echo ready; exec sleep 60"))
	f.line(c)
	d := f.debugger(c)
	f.no(c.Kill())
	e := f.end(c)
	f.want(killed(e), "SIGKILL", shown(e))
	f.want(f.end(d).OK(), "the debugger ends", "not")
}

func heldByDebugger(f *fixture) {
	c := f.start(f.launcher(), sh("echo ready; exec sleep 60"))
	f.line(c)
	d := f.debugger(c)
	f.stopped(d)
	f.no(c.Kill())
	early := make(chan launch.Exit, 1)
	go func() { early <- c.Wait() }()
	select {
	case e := <-early:
		// The record is the kernel's to give: since the tracer has not taken it,
		// nobody else can have it.
		f.Errorf("an exit while the debugger holds it: %v", shown(e))
	case <-time.After(100 * time.Millisecond):
	}
	f.no(d.Kill())
	f.end(d)
	select {
	case e := <-early:
		f.want(killed(e), "SIGKILL", shown(e))
	case <-time.After(patience):
		f.Error("no exit")
	}
}

func hundredTerminates(f *fixture) {
	rt := f.host()
	h, v := f.spawn(rt, "a")
	_, err := do.Call(f.ctx(rt), v, []string{"deaf"})
	f.must(err)
	r := f.randomly()
	graces := make([]time.Duration, 100)
	for i := range graces {
		graces[i] = 400*time.Millisecond + time.Duration(r.Int64N(int64(30*time.Second)))
	}
	graces[50] = 400 * time.Millisecond
	exits := make([]launch.Exit, len(graces))
	began := time.Now()
	atOnce(len(graces), func(i int) {
		e, err := h.Terminate(f.ctx(rt), graces[i], "go")
		f.no(err)
		exits[i] = e
	})
	took := time.Since(began)
	for _, e := range exits {
		f.want(e == exits[0], "one exit", shown(e))
	}
	f.want(killed(exits[0]) && strings.Count(exits[0].Stderr, "asked to go") == 1, "one SIGTERM, then SIGKILL", shown(exits[0]))
	f.want(took >= 400*time.Millisecond && took < 5*time.Second, "the earliest deadline", took)
}

func killDuringTerminate(f *fixture) {
	rt := f.host()
	h, v := f.spawn(rt, "a")
	_, err := do.Call(f.ctx(rt), v, []string{"deaf"})
	f.must(err)
	var asked launch.Exit
	var wg sync.WaitGroup
	began := time.Now()
	wg.Go(func() { asked, _ = h.Terminate(f.ctx(rt), patience, "go") })
	for s := range h.Watch(f.ctx(rt)) {
		if s.Phase >= host.Stopping {
			break
		}
	}
	e, err := h.Kill(f.ctx(rt), "now")
	wg.Wait()
	f.want(err == nil && killed(e) && e == asked, "one exit for both", shown(e)+" and "+shown(asked))
	f.want(time.Since(began) < patience/2, "at once", time.Since(began))
}

func afterTheEnd(f *fixture) {
	c := f.start(f.launcher(), sh("exit 3"))
	e := f.end(c)
	f.no(c.Stop())
	f.no(c.Kill())
	f.want(c.Wait() == e && e.Code == 3, "the exit stays", shown(c.Wait()))
	rt := f.host()
	h, v := f.spawn(rt, "a")
	f.no(do.Send(f.ctx(rt), v, []string{"exit", "4"}))
	first := f.exit(rt, h)
	for _, call := range []func(context.Context) (launch.Exit, error){
		func(ctx context.Context) (launch.Exit, error) { return h.Terminate(ctx, time.Second, "go") },
		func(ctx context.Context) (launch.Exit, error) { return h.Kill(ctx, "go") },
	} {
		e, err := call(f.ctx(rt))
		f.want(errors.Is(err, host.ErrAlreadyExited) && e == first && e.Code == 4, "the exit stays", shown(e))
	}
}

func frozenProc(f *fixture) {
	c := f.cgroup(v1 + "freezer")
	rt := f.host()
	h, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{Name: "a"})
	f.must(err)
	c.take(h.Status().PID)
	c.freeze()
	defer c.thaw()
	f.want(h.Status().Suspended, "suspended", h.Status())
	ctx, cancel := context.WithTimeout(f.ctx(rt), 6*time.Second)
	defer cancel()
	_, err = h.Kill(ctx, "go")
	s := h.Status()
	f.want(errors.Is(err, context.DeadlineExceeded) && s.Phase == host.Stopping, "no exit", s)
	f.want(strings.Contains(s.Note, "still there"), "the status says why", s)
	c.thaw()
	e := f.exit(rt, h)
	f.want(killed(e), "SIGKILL", shown(e))
}

func frozenProcess(f *fixture) {
	c := f.cgroup(v1 + "freezer")
	l := f.launcher()
	p := f.start(l, sh("echo ready; exec sleep 60"))
	f.line(p)
	c.take(p.PID())
	c.freeze()
	defer c.thaw()
	f.want(p.Suspended(), "suspended", "not")
	f.no(p.Kill())
	early := make(chan launch.Exit, 1)
	go func() { early <- p.Wait() }()
	select {
	case e := <-early:
		f.Errorf("an exit of what is frozen: %v", shown(e))
		return
	case <-time.After(100 * time.Millisecond):
	}
	c.thaw()
	e := <-early
	f.want(killed(e), "SIGKILL", shown(e))
}

func headlessProcess(f *fixture) {
	ours, theirs := f.pipe()
	s := self("headless", "6")
	s.Control = theirs
	c := f.start(f.launcher(), s)
	theirs.Close()
	f.line(c)
	for end := time.Now().Add(patience); ; runtime.Gosched() { // it has said so before it does it
		p, _ := readProcess(c.PID())
		if late := time.Now().After(end); p.state == 'Z' || late {
			f.want(!late, "it looks like a zombie", p)
			break
		}
	}
	asked := time.Now()
	ours.Close()
	e := f.end(c)
	f.want(e.Code == 6 && !e.Ended.Before(asked), "exit 6, after it was asked", shown(e))
}

func stuckInVfork(f *fixture) {
	c := f.cgroup(v2())
	c.set("cgroup.freeze", "1")
	p := f.start(f.launcher(), self("stuck", c.dir))
	f.line(p)
	below := watch(living(descendants(p.PID())))
	f.want(len(below.fds) > 0, "the child is there", "not")
	f.no(p.Kill())
	e := f.end(p)
	f.want(killed(e), "SIGKILL", shown(e))
	f.gone(below, settleBound)
}

func busyHost(f *fixture) {
	a := f.hosting(variables("GOMAXPROCS=1"))
	a.does("spawn", "a")
	deaf := a.ask("victim", "a", "deaf")
	a.answer(deaf)
	a.does("spin")
	a.does("rubbish")
	r := a.does("terminate", "a", "300ms")
	f.want(killed(r.Exit) && r.Took >= 300*time.Millisecond && r.Took < 3*time.Second, "killed in time", fmt.Sprint(r.Took, shown(r.Exit)))
}
