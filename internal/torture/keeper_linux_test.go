package torture

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// trio is a program that launches, with its guard, its keeper and some trees.
type trio struct {
	*agent
	guard, keeper watched
	rest          watched
}

// trio starts one, in a program of its own.
func (f *fixture) trio() *trio {
	f.Helper()
	a := f.launching()
	plain := a.does("launch", "plain", "sh", "echo ready; exec sleep 60").PID
	a.does("launch", "deaf", "sh", "trap '' TERM HUP INT; echo ready; while :; do sleep 60; done")
	a.does("launch", "session", "sh", "(setsid setsid sleep 60 &); echo ready; exec sleep 60")
	a.does("launch", "loner", "self", "loner")
	a.does("launch", "adopter", "self", "adopter")
	k := f.keeperOf(plain)
	g, ok := readProcess(k.parent)
	if !ok || g.parent != a.cmd.Process.Pid {
		f.Fatalf("the guard of %v is %v, the agent is %d", k, g, a.cmd.Process.Pid)
	}
	return &trio{
		agent: a, guard: watch([]process{g}), keeper: watch([]process{k}),
		rest: watch(without(a.below(), k.pid, g.pid)),
	}
}

func keeperDies(f *fixture) {
	for _, who := range []string{"keeper", "guard", "both", "stopped keeper", "stopped guard"} {
		t := f.trio()
		switch who {
		case "keeper":
			f.no(t.keeper.signal(syscall.SIGKILL))
		case "guard":
			f.no(t.guard.signal(syscall.SIGKILL))
		case "both":
			f.no(t.keeper.signal(syscall.SIGKILL))
			f.no(t.guard.signal(syscall.SIGKILL))
		case "stopped keeper":
			f.no(t.keeper.signal(syscall.SIGSTOP))
			f.no(t.keeper.signal(syscall.SIGKILL))
		case "stopped guard":
			f.no(t.guard.signal(syscall.SIGSTOP))
			f.no(t.guard.signal(syscall.SIGKILL))
		}
		for _, name := range []string{"plain", "deaf", "session", "loner", "adopter"} {
			e := t.does("end", name).Exit
			f.want(killed(e) || e.Kind == launch.Unknown && e.Cause != "", who+" dies: an exit of "+name, shown(e))
		}
		f.gone(t.rest, settleBound)
		f.gone(t.guard, settleBound)
		f.gone(t.keeper, settleBound)
		r := t.does("launch", "again", "sh", "echo ready; exit 3")
		f.want(t.does("end", "again").Exit.Code == 3, who+" dies: the next launch works", r)
		t.end(patience)
	}
}

func keeperStopped(f *fixture) {
	for _, who := range []string{"keeper", "guard"} {
		t := f.trio()
		w := t.keeper
		if who == "guard" {
			w = t.guard
		}
		f.no(w.signal(syscall.SIGSTOP))
		t.does("kill-process", "plain")
		e := t.tell("end", "plain").Exit
		f.want(killed(e) || e.Kind == launch.Unknown && e.Cause != "", who+" is stopped: an exit", shown(e))
		t.tell("launch", "again", "sh", "exit 3")
		t.end(patience)
		f.gone(t.rest, settleBound)
		t.keeper.close()
		t.guard.close()
	}
}

func hostAndKeeperDie(f *fixture, victims ...string) {
	for _, who := range victims {
		t := f.trio()
		for name := range strings.FieldsSeq(who) {
			switch name {
			case "host":
				t.signal(syscall.SIGKILL)
			case "guard":
				f.no(t.guard.signal(syscall.SIGKILL))
			default:
				f.no(t.keeper.signal(syscall.SIGKILL))
			}
		}
		bound := time.Now().Add(settleBound)
		for i, fd := range t.rest.fds {
			f.want(awaitEnd(fd, bound), "killed: "+who, t.rest.who[i])
		}
		if f.Failed() {
			f.no(t.rest.signal(unix.SIGKILL))
		}
		t.rest.close()
		f.gone(t.guard, time.Until(bound))
		f.gone(t.keeper, time.Until(bound))
		t.end(0)
	}
}
