package torture

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// thiefRows is about others who have to do with our children: other parts of
// the program, and those that have their numbers later.
func thiefRows() []row {
	return []row{
		{number: 52, name: "numbers used again", with: everyKind, needs: root,
			done:  "in a PID namespace with 400 numbers: 40 canaries live while the numbers go round twice, then Stop and Kill of all that are dead",
			holds: "every canary lives (PS-4)",
			run:   usedAgain},
		{number: 53, name: "records stolen", with: everyKind,
			done:  "some part of the program calls wait4(-1) all the time, while 60 children exit with codes of their own",
			holds: "each code is the right one, or the exit is Unknown and says why; never a made-up 0",
			run:   stolenRecords},
		{number: 53, name: "zombie reaped by somebody else", with: everyKind,
			done:  "the same thief in a host whose procs exit with codes of their own",
			holds: "the same, and the host goes on",
			run:   stolenProcs},
		{number: 54, name: "SIGCHLD ignored", with: everyKind,
			done:  "a program that was started with SIGCHLD ignored, or blocked, launches children",
			holds: "their codes arrive",
			run: func(f *fixture) {
				for _, a := range []*agent{
					f.launching(through("trap '' CHLD")),
					f.launching(variables(childVariable + "=unmask " + fmt.Sprint(int(unix.SIGCHLD)))),
				} {
					for code := range 5 {
						a.does("launch", "a", "sh", fmt.Sprint("exit ", code))
						f.want(a.does("end", "a").Exit.Code == code, "the code", code)
					}
				}
			}},
		{number: 55, name: "unrelated threads end", with: everyKind,
			done:  "200 locked threads of the program end while 20 children are started and run",
			holds: "no child dies of it: none was started from a thread that ends",
			run:   threadsEnd},
	}
}

func usedAgain(f *fixture) {
	if f.kind.name == "isolated" {
		f.Skip("its PID namespace has numbers of its own")
	}
	a := f.launching(spaces(unix.CLONE_NEWPID | unix.CLONE_NEWNS))
	r := a.tell("write", "/proc/sys/kernel/pid_max", "400")
	if r.Err != "" {
		f.Skip("not on this machine: the namespace has no pid_max of its own: ", r.Err)
	}
	r = a.does("churn", "40")
	f.Log(r.Text)
}

// churn keeps n canaries alive, lets numbers be used again, and signals the
// dead that had them.
func (s *server) churn(n int) (reply, error) {
	start := func(script string) (launch.Process, error) { return s.launcher.Launch(s.background(), sh(script)) }
	var dead, canaries []launch.Process
	high, rounds := 0, 0
	again := map[int]bool{}
	for rounds < 2 {
		p, err := start("exit 3")
		if err != nil {
			return reply{}, err
		}
		if e := p.Wait(); e.Code != 3 {
			return reply{}, fmt.Errorf("a child ended with %v", e)
		}
		dead = append(dead, p)
		if p.PID() < high {
			rounds++
		}
		high = p.PID()
		if len(canaries) < n && rounds > 0 { // their numbers belonged to dead ones
			c, err := start("exec sleep 60")
			if err != nil {
				return reply{}, err
			}
			canaries = append(canaries, c)
			high = c.PID()
		}
	}
	for _, p := range dead {
		again[p.PID()] = true
		if p.Stop() != nil || p.Kill() != nil {
			return reply{}, fmt.Errorf("a dead process cannot be signalled")
		}
	}
	hit := 0
	for _, c := range canaries {
		if again[c.PID()] {
			hit++
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(c.PID())); err != nil {
			return reply{}, fmt.Errorf("canary %d is dead: %v", c.PID(), c.Wait())
		}
		if st, ok := readProcess(c.PID()); !ok || st.state == 'Z' {
			return reply{}, fmt.Errorf("canary %d was killed", c.PID())
		}
	}
	for _, c := range canaries {
		if err := c.Kill(); err != nil {
			return reply{}, err
		}
		c.Wait()
	}
	if hit == 0 {
		return reply{}, fmt.Errorf("no canary has the number of a dead process")
	}
	return reply{Text: fmt.Sprintf("%d dead, %d of %d canaries have the number of one", len(dead), hit, len(canaries))}, nil
}

func stolenRecords(f *fixture) {
	a := f.launching()
	a.does("launch", "warm", "sh", "exit 0")
	a.does("end", "warm")
	a.does("steal")
	known := 0
	for i := range 60 {
		name, code := fmt.Sprint("c", i), i+1
		r := a.tell("launch", name, "sh", fmt.Sprint("exit ", code))
		if r.Err != "" {
			f.Errorf("a thief is no reason not to start: %s", r.Err)
			continue
		}
		e := a.does("end", name).Exit
		switch {
		case e.Kind == launch.Unknown:
			f.want(e.Code == 0 && e.Cause != "", "unknown, and why", shown(e))
		case e.Code != code || e.Signal != 0:
			f.Errorf("exit %d became %v", code, shown(e))
		default:
			known++
		}
	}
	f.Logf("%d of 60 records were known", known)
}

func stolenProcs(f *fixture) {
	a := f.hosting()
	a.does("spawn", "first")
	a.does("steal")
	for code := 1; code < 5; code++ {
		a.does("spawn", "a")
		a.tell("victim", "a", "exit", strconv.Itoa(code))
		e := a.does("wait", "a").Exit
		f.want(e.Code == code || e.Kind == launch.Unknown, fmt.Sprint("exit ", code), shown(e))
	}
	a.does("victim", "first", "pid")
	a.does("terminate", "first", "5s")
}

func threadsEnd(f *fixture) {
	l := f.launcher()
	ours, theirs := f.pipe()
	s := sh("echo ready; read x <&3; exit 5")
	s.Control = theirs
	var children []*child
	for range 20 {
		launched := make(chan *child)
		go func() { // starts it from a thread that ends, too
			runtime.LockOSThread()
			endThreads(5)
			c, err := f.try(l, s)
			f.no(err)
			launched <- c
		}()
		if c := <-launched; c.Process != nil {
			children = append(children, c)
		}
		endThreads(5)
	}
	for _, c := range children {
		f.line(c)
	}
	theirs.Close()
	ours.Close()
	for _, c := range children {
		e := f.end(c)
		f.want(e.Code == 5 && e.Signal == 0, "exit 5", shown(e))
	}
}
