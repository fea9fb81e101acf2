package torture

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// treeRows is about what a child leaves behind.
func treeRows() []row {
	return []row{
		{number: 46, name: "leaves children in its group", with: everyKind,
			done:  "a process exits with 0 and leaves three children",
			holds: "they are killed before the exit is told, which counts them (PS-3)",
			run: func(f *fixture) {
				ours, theirs := f.pipe()
				s := sh("sleep 60 & sleep 60 & sleep 60 & exit 0")
				s.Control = theirs
				e := f.run(f.launcher(), s)
				theirs.Close()
				f.want(e.OK() && e.Swept == 3, "three are swept", shown(e))
				f.released(ours, settleBound)
			}},
		{number: 46, name: "double fork and setsid", with: reaching,
			done:  "a process leaves a grandchild in a session of its own and exits with 0",
			holds: "it is killed before the exit is told, which counts it",
			run: func(f *fixture) {
				ours, theirs := f.pipe()
				s := sh("(setsid sh -c 'echo up; exec sleep 60' &) ; read x <&3; exit 0")
				s.Control = theirs
				c := f.start(f.launcher(), s)
				theirs.Close()
				f.line(c)
				_, err := ours.Write([]byte("go\n"))
				f.no(err)
				e := f.end(c)
				f.want(e.OK() && e.Swept == 1, "one is swept", shown(e))
				f.released(ours, settleBound)
			}},
		{number: 46, name: "double fork and setsid, native", with: onlyNative,
			done:  "a process leaves a grandchild in a session of its own that holds nothing, and exits with 0",
			holds: "the exit is told at once; the grandchild is counted, or, where no cgroup can be made, is out of reach, as the documentation says",
			run:   outOfReach},
		{number: 46, name: "left without a trace", with: reaching, needs: unified,
			done:  "a process leaves a grandchild in a session of its own with an empty environment, and exits with 0",
			holds: "its cgroup has it: it is killed before the exit is told",
			run: func(f *fixture) {
				ours, theirs := f.pipe()
				s := sh("(env -i /usr/bin/setsid /bin/sh -c 'echo up; exec /bin/sleep 60' &) ; read x <&3; exit 0")
				s.Control = theirs
				c := f.start(f.launcher(), s)
				theirs.Close()
				f.line(c)
				_, err := ours.Write([]byte("go\n"))
				f.no(err)
				e := f.end(c)
				f.want(e.OK() && e.Swept == 1, "one is swept", shown(e))
				f.released(ours, settleBound)
			}},
	}
}

// killedTreeRows is about trees that do not hold still when they are killed.
func killedTreeRows() []row {
	return []row{
		{number: 47, name: "grandchild holds the output", with: everyKind,
			done:  "a process exits and leaves a grandchild in its session that holds stdout, in a group of its own",
			holds: "the exit comes at once, or after the drain bound and says that output was cut (PS-9)",
			run:   outputHeld},
		{number: 48, name: "fork bomb", with: everyKind, needs: root | pids,
			done:  "a child forks without an end inside a limit of 60 pids (PS-7); Kill",
			holds: "nothing of it is left; others start and run meanwhile",
			run:   forkBomb},
		{number: 49, name: "forks while it is killed", with: everyKind,
			done:  "a process of which each copy starts the next one and exits, and that never rests; Kill, ten times",
			holds: "nothing of it is left",
			run:   restless},
		{number: 49, name: "forks and leaves while it is killed", with: reaching,
			done:  "the same, with setsid in each step, so that no group and no session holds it; Kill, five times",
			holds: "nothing of it is left",
			run:   wanderer},
		{number: 50, name: "leaves its group", with: reaching,
			done:  "grandchildren in process groups, and in sessions, of their own; Kill",
			holds: "all are gone",
			run: func(f *fixture) {
				ours, theirs := f.pipe()
				s := sh("set -m; sleep 60 & setsid sleep 60 & (setsid setsid sleep 60 &) ; echo ready; read x <&3")
				s.Control = theirs
				c := f.start(f.launcher(), s)
				theirs.Close()
				f.line(c)
				f.no(c.Kill())
				f.want(killed(f.end(c)), "SIGKILL", "not")
				f.released(ours, settleBound)
			}},
		{number: 51, name: "has nets of its own", with: reaching,
			done:  "a process clears its parent-death signal and is a subreaper with orphans; Kill",
			holds: "all are gone",
			run: func(f *fixture) {
				ours, theirs := f.pipe()
				s := self("adopter")
				s.Control = theirs
				c := f.start(f.launcher(), s)
				theirs.Close()
				f.line(c)
				f.no(c.Kill())
				f.want(killed(f.end(c)), "SIGKILL", "not")
				f.released(ours, settleBound)
			}},
		{number: 51, name: "clears its environment", with: everyKind,
			done:  "a process and its children have an empty environment, so that no marker finds them; Kill",
			holds: "all are gone",
			run: func(f *fixture) {
				ours, theirs := f.pipe()
				s := sh("exec env -i /bin/sh -c '/bin/sleep 60 & echo ready; /bin/sleep 60'")
				s.Control = theirs
				c := f.start(f.launcher(), s)
				theirs.Close()
				f.line(c)
				f.no(c.Kill())
				f.want(killed(f.end(c)), "SIGKILL", "not")
				f.released(ours, settleBound)
			}},
	}
}

func outOfReach(f *fixture) {
	ours, theirs := f.pipe()
	up := f.scratch() + "/up"
	f.must(unix.Mkfifo(up, 0o600))
	s := sh("(setsid sh -c 'exec >/dev/null 2>&1; echo up >\"$1\"; read x <&3' sh \"$1\" &) ; read x <\"$1\"; exit 0", up)
	s.Control = theirs
	e := f.run(f.launcher(), s)
	theirs.Close()
	want := 0
	if reaching.has("native") {
		want = 1
	}
	f.want(e.OK() && e.Swept == want && !e.Cut, fmt.Sprint("swept: ", want), shown(e))
	_, _ = ours.Write([]byte("go\n")) // it goes when it is asked, if it is still there
	f.released(ours, settleBound)
}

func outputHeld(f *fixture) {
	ours, theirs := f.pipe()
	s := sh("set -m; (read x <&3) & exit 4")
	s.Control, s.DrainBound = theirs, 200*time.Millisecond
	e := f.run(f.launcher(), s)
	took := time.Since(e.Ended)
	theirs.Close()
	ours.Close()
	f.want(e.Code == 4, "exit 4", shown(e))
	f.want(e.Cut && took >= s.DrainBound || !e.Cut && e.Swept == 1, "cut after the bound, or swept", shown(e))
	f.want(took < s.DrainBound+2*time.Second, "in time", took)
}

func forkBomb(f *fixture) {
	l := f.launcher()
	ours, theirs := f.pipe()
	s := sh("b() { b | b & }; (while :; do (b; b); done) 2>/dev/null & echo ready; read x <&3")
	s.Control = theirs
	s.Limits.PIDs = 60
	c := f.start(l, s)
	theirs.Close()
	f.line(c)
	for range 5 {
		f.want(f.run(l, sh("exit 5")).Code == 5, "others run", "not")
	}
	f.no(c.Kill())
	e := f.end(c)
	f.want(killed(e), "SIGKILL", shown(e))
	f.released(ours, settleBound)
}

// restless is a process that is never the same for long.
func restless(f *fixture) {
	l := f.launcher()
	for range 10 {
		ours, theirs := f.pipe()
		// The leader waits for nobody: its first copy, and each one after it, is
		// an orphan of the group. The lifeline ends what a fault would leave.
		s := sh(`r() { [ "$1" -gt 0 ] && { r $(($1-1)) & }; }; r 3000 & echo ready; read x <&3`)
		s.Control = theirs
		c := f.start(l, s)
		theirs.Close()
		f.line(c)
		f.no(c.Kill())
		e := f.end(c)
		f.want(killed(e), "SIGKILL", shown(e))
		f.released(ours, settleBound)
		ours.Close()
	}
}

// wanderer is restless, and leaves its session with every step.
func wanderer(f *fixture) {
	l := f.launcher()
	script := f.file("wander", 0o755, []byte("#!/bin/sh\n[ \"$1\" -gt 0 ] && [ -e \"$0\" ] && { setsid \"$0\" $(($1-1)) & }\nexit 0\n"))
	for range 5 {
		ours, theirs := f.pipe()
		s := sh(script + " 3000 & echo ready; read x <&3")
		s.Control = theirs
		c := f.start(l, s)
		theirs.Close()
		f.line(c)
		f.no(c.Kill())
		e := f.end(c)
		f.want(killed(e), "SIGKILL", shown(e))
		f.released(ours, settleBound)
		ours.Close()
	}
	f.must(os.Remove(script)) // a wanderer that was missed ends here
}
