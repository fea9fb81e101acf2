package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hangRows is about starts that do not come to an end.
func hangRows() []row {
	return []row{
		{number: 26, name: "start that hangs, given up", with: everyKind, needs: root,
			done:   "the exec of a program hangs in the kernel, as on a dead network file system; its start is given up after 100 ms, the launcher is closed",
			holds:  "the start ends with the cause of its ctx, the close ends, and nothing is left",
			broken: "a fork that does not come to its exec cannot be given up: the start, the close and every other start wait for it",
			run:    hangingStart},
		{number: 26, name: "start that hangs, and others", with: everyKind, needs: root,
			done:   "the same; meanwhile another program is started, and a third, that runs already, is killed",
			holds:  "neither has to wait for the first",
			broken: "the starts wait for each other; a keeper, which has one processor, does nothing at all meanwhile, so no end is told",
			run:    hangingAndOthers},
		{number: 64, name: "host dies in a start that hangs", with: everyKind, needs: root,
			done:  "the same; the program that launches is killed, which has other children",
			holds: "within 3 s nothing of it is left",
			run:   diesInHangingStart},
	}
}

// hanging makes a program whose exec hangs until the row ends. Others may
// decide over an exec, and here nobody does.
func (f *fixture) hanging() (path string) {
	f.Helper()
	content, err := os.ReadFile("/bin/true")
	f.must(err)
	path = f.file("hanging", 0o755, content)
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, path)
		f.Cleanup(func() { unix.Close(fd) }) // lets all of them go on
	}
	if err != nil {
		f.Skip("not on this machine: no fanotify: ", err)
	}
	return path
}

func hangingStart(f *fixture) {
	l := f.kind.open()
	path := f.hanging()
	ctx, cancel := context.WithTimeoutCause(f.Context(), 100*time.Millisecond, errGivenUp)
	defer cancel()
	began := time.Now()
	s := sh("")
	s.Path = path
	over := make(chan error, 1)
	go func() {
		_, err := l.Launch(ctx, s)
		over <- errors.Join(err, l.Close())
	}()
	select {
	case err := <-over:
		f.want(errors.Is(err, errGivenUp), "the cause", err)
		f.want(time.Since(began) < patience/3, "at once", time.Since(began))
	case <-time.After(patience):
		f.Error("the start is not given up")
	}
}

func hangingAndOthers(f *fixture) {
	a := f.launching()
	path := f.hanging()
	a.does("launch", "running", "sh", "echo ready; exec sleep 60")
	hanging := a.ask("launch-file", path)
	f.forked(a, path)
	began := time.Now()
	a.does("kill-process", "running")
	f.want(killed(a.does("end", "running").Exit), "killed", "not")
	a.does("launch", "other", "sh", "exit 3")
	f.want(a.does("end", "other").Exit.Code == 3, "the other one runs", "not")
	f.want(time.Since(began) < patience/3, "at once", time.Since(began))
	a.kill()
	a.answer(hanging)
}

func diesInHangingStart(f *fixture) {
	a := f.launching()
	path := f.hanging()
	a.does("launch", "running", "sh", "echo ready; exec sleep 60")
	hanging := a.ask("launch-file", path)
	f.forked(a, path)
	below := watch(a.below())
	a.signal(syscall.SIGKILL)
	f.gone(below, settleBound)
	a.answer(hanging)
	a.dies()
}

// forked waits until some process of the agent is in the exec of path: there is
// one then that has no program of its own yet.
func (f *fixture) forked(a *agent, path string) {
	f.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for _, p := range a.below() {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", p.pid))
			if err == nil && string(b) == "fanotify_get_response" || err == nil && string(b) == "fanotify_handle_event" {
				return
			}
		}
	}
	f.Fatalf("nobody runs %s", path)
}
