package torture

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// shortageRows is about what runs out while something is started.
func shortageRows() []row {
	return []row{
		{number: 11, name: "no descriptors, launching", with: everyKind,
			done:  "starts with room for 0, 1, 2 … more descriptors, until one works",
			holds: "an error that says EMFILE each time, no descriptor leaks, the next start works",
			run:   func(f *fixture) { withoutDescriptors(f, f.launching(), "launch", "x", "sh", "exit 7") }},
		{number: 11, name: "no descriptors, spawning", with: everyKind,
			done:  "the same with spawns of procs by a host",
			holds: "the same; the host lives, and the procs that it has",
			run:   func(f *fixture) { withoutDescriptors(f, f.hosting(), "spawn", "x") }},
		{number: 12, name: "no files in the system", with: everyKind,
			done:  "ENFILE from pipe2 and from socketpair, injected by a filter",
			holds: "an error that says ENFILE; what runs already goes on",
			run: func(f *fixture) {
				denied(f, f.launching(), unix.ENFILE, "pipe2")
				denied(f, f.hosting(), unix.ENFILE, "socketpair")
			}},
		{number: 13, name: "no fork, EAGAIN", with: onlyNative,
			done:  "EAGAIN from every clone that is no thread, injected by a filter",
			holds: "an error: limit, EAGAIN; the agent and what runs already go on",
			run:   func(f *fixture) { denied(f, f.launching(), unix.EAGAIN, "clone3", "fork") }},
		{number: 13, name: "no fork for a while", with: onlyNative, needs: root | pids,
			done:  "a pids cgroup without room around the program that launches; later with room",
			holds: "an error: limit, EAGAIN; with room the next start works",
			run:   forkForbidden},
		{number: 14, name: "no fork, ENOMEM", with: onlyNative,
			done:  "ENOMEM from every clone that is no thread, injected by a filter",
			holds: "an error: limit, ENOMEM; the agent and what runs already go on",
			run:   func(f *fixture) { denied(f, f.launching(), unix.ENOMEM, "clone3", "fork") }},
		{number: 13, name: "no fork for the keeper", with: onlyKeeper, needs: root | pids,
			done:  "a pids cgroup without room around the keeper, in which its own runtime gets no thread either",
			holds: "errors, or a new keeper; with room the next start works; nothing is left",
			run:   keeperWithoutPids},
		{number: 15, name: "pid limit of a child", with: everyKind, needs: root | pids,
			done:  "a child with a limit of 4 pids tries 20 forks, while the host starts 20 threads",
			holds: "the child is refused, the host is not: its threads are not in the child's cgroup (PS-7)",
			run:   childLimit},
	}
}

// withoutDescriptors gives an order with fewer descriptors than it needs, at
// every point where they can run out.
func withoutDescriptors(f *fixture, a *agent, order ...string) {
	withdraw := func(name string) {
		if order[0] == "spawn" {
			a.does("kill", name)
		} else {
			f.want(a.does("end", name).Exit.Code == 7, "exit 7", name)
		}
	}
	give := func(name string) reply {
		words := append([]string{order[0], name}, order[2:]...)
		return a.tell(words...)
	}
	give("first") // what is opened once is open now
	withdraw("first")
	base := strings.Fields(a.does("count").Text)[0]
	failures := 0
	for spare := 0; ; spare++ {
		a.does("starve", strconv.Itoa(spare))
		name := fmt.Sprint("with-", spare)
		r := give(name)
		a.does("feed")
		if r.Err == "" {
			withdraw(name)
			break
		}
		failures++
		if !strings.Contains(r.Err, "too many open files") && !strings.Contains(r.Err, "exited") || spare > 40 {
			f.Fatalf("with %d descriptors: %s", spare, r.Err)
		}
		if got := strings.Fields(a.does("count").Text)[0]; got != base {
			f.Errorf("with %d descriptors: %s are open afterwards, %s before\n%s", spare, got, base, a.does("fds").Text)
		}
	}
	f.want(failures > 2, "it fails with fewer", failures)
	f.want(give("last").Err == "", "the next one works", "not")
	withdraw("last")
}

// denied has system calls fail in an agent that has a child, and sees that
// both go on.
func denied(f *fixture, a *agent, errno unix.Errno, calls ...string) {
	call := calls[0]
	start, alive := []string{"launch", "first", "sh", "echo ready; sleep 60"}, []string{"kill-process", "first"}
	if call == "socketpair" {
		start, alive = []string{"spawn", "first"}, []string{"victim", "first", "pid"}
	}
	pid := a.does(start...).PID
	child := f.mustWatch(pid)
	a.does("spare-threads", "30") // a runtime that gets no thread ends the program
	for _, c := range calls {
		a.does("deny", c, strconv.Itoa(int(errno)))
	}
	start[1] = "second"
	for range 3 {
		r := a.tell(start...)
		f.want(r.Errno == errno, fmt.Sprint("it fails with ", errno), r.Err)
		f.want(call == "socketpair" || r.Reason == launch.ErrLimit, "the reason is a limit", r.Err)
	}
	f.want(len(living(child.who)) == 1, "the first one lives", child.who)
	a.does(alive...)
}

// forkForbidden puts an agent and what it has into a cgroup that takes no more.
func forkForbidden(f *fixture) {
	c := f.cgroup(v1 + "pids")
	a := f.launching()
	a.does("launch", "first", "sh", "echo ready; exec sleep 60")
	a.does("launch", "warm", "sh", "exit 0")
	a.does("spare-threads", "30") // for the runtime must not fail, which ends the program
	c.take(a.cmd.Process.Pid)
	c.set("pids.max", "1")
	for range 3 {
		r := a.tell("launch", "second", "sh", "exit 7")
		f.want(r.Reason == launch.ErrLimit && r.Errno == unix.EAGAIN, "it fails", r.Err)
	}
	c.set("pids.max", "max")
	a.does("launch", "third", "sh", "exit 7")
	f.want(a.does("end", "third").Exit.Code == 7, "it works then", "not")
}

// keeperWithoutPids puts the keeper alone into a cgroup that takes no more.
func keeperWithoutPids(f *fixture) {
	c := f.cgroup(v1 + "pids")
	a := f.launching()
	pid := a.does("launch", "first", "sh", "echo ready; exec sleep 60").PID
	c.take(f.keeperOf(pid).pid)
	c.set("pids.max", "1")
	for range 3 {
		a.tell("launch", "second", "sh", "exit 7") // it fails, unless the keeper has died of it and there is another
	}
	c.set("pids.max", "max")
	a.does("launch", "third", "sh", "exit 7")
	f.want(a.does("end", "third").Exit.Code == 7, "it works then", "not")
}

func childLimit(f *fixture) {
	l := f.launcher()
	s := sh("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; echo ready; wait")
	s.Limits.PIDs = 4
	c := f.start(l, s)
	endThreads(20)
	e := f.end(c)
	f.want(e.Code != 0 && strings.Contains(strings.ToLower(e.Stderr), "fork"), "the child is refused", shown(e))
	f.want(f.run(l, sh("exit 7")).Code == 7, "others are not", "they are")
}
