package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hostRows is about the sudden end of a host, at any moment.
func hostRows() []row {
	return []row{
		{number: 63, name: "host dies while it spawns", with: everyKind,
			done:  "a host is killed at 4 random moments of a spawn; the seed is in the log",
			holds: "within 3 s nothing of it is left (PS-2)",
			run:   func(f *fixture) { dyingWhileSpawning(f, 4) }},
		{number: 63, name: "host dies while it spawns, often", with: everyKind, slow: true,
			done: "the same, 60 times", holds: "the same",
			run: func(f *fixture) { dyingWhileSpawning(f, 60) }},
		{number: 63, name: "dies in a system call of a start", with: everyKind,
			done:  "a filter ends a process at its first clone, pipe2, socketpair, waitid that looks, waitid that reaps, pidfd_send_signal, sendmsg: whoever makes the call while a child is started and ended",
			holds: "within 3 s nothing is left",
			run:   dyingInCalls},
		{number: 64, name: "host dies with procs in each state", with: everyKind,
			done:  "a host is killed that has a proc which is starting, one that is ready, one that is stopping and will not, one that is suspended",
			holds: "within 3 s nothing of it is left",
			run:   dyingInStates},
		{number: 64, name: "launching program dies", with: everyKind,
			done:  "a program is killed that has launched commands: plain ones, deaf ones, suspended ones",
			holds: "within 3 s nothing of it is left",
			run:   launchingDies},
		{number: 64, name: "launching program dies, deep trees", with: onlyKeeper,
			done:  "a program is killed that has launched trees with sessions of their own, empty environments, no parent-death signal",
			holds: "within 3 s nothing of it is left",
			run:   deepTreesDie},
		{number: 65, name: "dies between look and reap", with: everyKind,
			done:  "a filter ends the process that follows the children between its look at a dead child and the reap, and right before the look",
			holds: "within 3 s nothing is left",
			run: func(f *fixture) {
				for _, call := range []string{"look", "reap"} {
					f.diesAt(call)
				}
			}},
		{number: 66, name: "exit while no host runs",
			done: "a child exits while its host is being restarted", holds: "the new host tells the exit",
			elsewhere: "adopting the procs of an earlier host is a later issue"},
		{number: 67, name: "host restarted while a proc stops",
			done: "the host is restarted during a Terminate", holds: "the deadline stays",
			elsewhere: "adopting the procs of an earlier host is a later issue"},
		{number: 68, name: "host stopped for a while", with: everyKind,
			done:  "SIGSTOP to a host for 400 ms, then SIGCONT",
			holds: "its procs live, calls work, nothing has ended",
			run:   func(f *fixture) { hostStopped(f, 400*time.Millisecond) }},
		{number: 68, name: "host stopped for long", with: everyKind, slow: true,
			done: "SIGSTOP to a host for 7 s, longer than a peer may be silent", holds: "the same",
			run: func(f *fixture) { hostStopped(f, 7*time.Second) }},
		{number: 71, name: "host replaces itself",
			done: "50 procs, the host starts its new version in its place, 30 times", holds: "no request and no exit is lost",
			elsewhere: "replacing a running host is a later issue"},
		{number: 72, name: "new version crashes",
			done: "the new version of a host crashes at its start", holds: "the old one goes on",
			elsewhere: "replacing a running host is a later issue"},
		{number: 73, name: "state of a newer version",
			done: "a host finds records that a newer version has written", holds: "it keeps what it does not know, or refuses and says so",
			elsewhere: "a host does not read the records of an earlier one yet; a later issue"},
	}
}

// hostLeft removes what a killed host cannot remove: what its procs have said,
// and without a guard its directory of sockets. It must be all that is left.
func (f *fixture) hostLeft() {
	f.Helper()
	for _, name := range entries(f.dir) {
		if !strings.HasPrefix(name, "hyper-") {
			f.Errorf("a killed host has left %s", name)
		}
		f.no(os.RemoveAll(filepath.Join(f.dir, name)))
	}
}

func dyingWhileSpawning(f *fixture, n int) {
	r := f.randomly()
	a := f.hosting()
	usual := a.does("spawn", "a").Took
	a.end(patience)
	for range n {
		a := f.hosting()
		pending := a.ask("spawn", "a")
		<-time.After(time.Duration(r.Int64N(int64(usual * 3 / 2))))
		below := watch(a.below())
		a.kill()
		a.answer(pending)
		f.gone(below, settleBound)
		f.processesGone(settleBound)
		f.hostLeft()
	}
}

func dyingInCalls(f *fixture) {
	for _, call := range []string{"fork", "clone3", "pipe2", "socketpair", "pidfd_signal", "sendmsg"} {
		f.diesAt(call)
	}
}

// diesAt has a launching program, and all that it starts to do that, die at a
// system call.
func (f *fixture) diesAt(call string) {
	f.Helper()
	a := f.launching()
	a.does("deny", call, "die")
	script := "echo ready; read x; exit 3"
	if f.kind.name != "native" { // out of whose reach grandchildren are when the program dies
		script = "sleep 60 & (setsid sleep 60 &); " + script
	}
	r := a.tell("launch", "a", "sh", script)
	if r.Err == "" {
		a.tell("stop", "a")
		a.tell("kill-process", "a")
		a.tell("end", "a")
	}
	a.Logf("%s: %s", call, r.Err)
	a.kill()
	f.processesGone(settleBound)
}

func dyingInStates(f *fixture) {
	a := f.hosting()
	var asked []<-chan reply
	asked = append(asked, a.ask("spawn", "starting", "mute"), a.ask("spawn", "starting-deaf", "deaf"))
	for _, name := range []string{"ready", "deaf"} {
		a.does("spawn", name)
	}
	suspended := f.mustWatch(a.does("spawn", "suspended").PID)
	a.does("victim", "deaf", "deaf")
	asked = append(asked, a.ask("terminate", "deaf", "60s"))
	f.no(suspended.signal(syscall.SIGSTOP))
	below := watch(a.below())
	a.kill()
	for _, c := range asked {
		a.answer(c)
	}
	f.gone(below, settleBound)
	f.processesGone(settleBound)
	for _, name := range entries(f.dir) {
		f.want(strings.HasPrefix(name, "hyper-logs-") || f.kind.name == "native", "the guard has removed the sockets", name)
	}
	f.hostLeft()
}

func launchingDies(f *fixture) {
	a := f.launching()
	a.does("launch", "plain", "sh", "echo ready; sleep 60; sleep 60")
	a.does("launch", "deaf", "sh", "trap '' TERM HUP INT; echo ready; while :; do sleep 60; done")
	pid := a.does("launch", "suspended", "self", "hold").PID
	f.no(f.mustWatch(pid).signal(syscall.SIGSTOP))
	leaders := []int{pid}
	for _, name := range []string{"plain", "deaf"} {
		a.does("launch", name, "sh", "echo ready; exec sleep 60")
	}
	below := watch(a.below())
	f.want(len(below.fds) >= 5, "they run", leaders)
	a.kill()
	if f.kind.name == "keeper" {
		f.gone(below, settleBound)
		f.processesGone(settleBound)
		return
	}
	// A native child takes its parent's end along, what it has started itself it
	// does not: that is out of this launcher's reach when the program is killed.
	for i, p := range below.who {
		if p.parent == a.cmd.Process.Pid {
			f.want(awaitEnd(below.fds[i], time.Now().Add(settleBound)), "a child ends", p)
		}
	}
	f.no(below.signal(syscall.SIGKILL))
	below.close()
}

func deepTreesDie(f *fixture) {
	a := f.launching()
	a.does("launch", "session", "sh", "(setsid setsid sleep 60 &); echo ready; exec sleep 60")
	a.does("launch", "jobs", "sh", "set -m; sleep 60 & sleep 60 & echo ready; wait")
	a.does("launch", "bare", "sh", "exec env -i /bin/sh -c '/usr/bin/setsid /bin/sleep 60 & echo ready; /bin/sleep 60'")
	a.does("launch", "loner", "self", "loner")
	a.does("launch", "adopter", "self", "adopter")
	below := watch(a.below())
	f.want(len(below.fds) > 8, "they run", len(below.fds))
	a.kill()
	f.gone(below, settleBound)
	f.processesGone(settleBound)
}

func hostStopped(f *fixture, d time.Duration) {
	a := f.hosting()
	for i := range 3 {
		a.does("spawn", fmt.Sprint("p", i))
	}
	below := watch(a.below())
	defer below.close()
	a.signal(syscall.SIGSTOP)
	<-time.After(d)
	a.signal(syscall.SIGCONT)
	for i := range 3 {
		a.does("victim", fmt.Sprint("p", i), "pid")
	}
	for i, fd := range below.fds {
		f.want(!awaitEnd(fd, time.Now()), "it lives", below.who[i])
	}
	for i := range 3 {
		e := a.does("terminate", fmt.Sprint("p", i), "5s").Exit
		f.want(e.OK(), "it ends by itself", shown(e))
	}
}

// created returns a function that waits until a file is made in dir.
func (f *fixture) created(dir string) (wait func()) {
	f.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	f.must(err)
	f.Cleanup(func() { unix.Close(fd) })
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
	f.must(err)
	return func() {
		f.Helper()
		if !awaitEnd(fd, time.Now().Add(patience)) {
			f.Errorf("nothing is made in %s", dir)
		}
	}
}
