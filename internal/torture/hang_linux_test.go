package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// hangRows is about starts that do not come to an end.
func hangRows() []row {
	return []row{
		{number: 26, name: "start that hangs, given up", with: everyKind, needs: root,
			done:  "the exec of a program hangs in the kernel, in a file system that is not known to be local, as when its server is dead; its start is given up after 100 ms, the launcher is closed",
			holds: "the start ends with the cause of its ctx, the close ends, and nothing is left",
			run:   hangingStart},
		{number: 26, name: "lookup that hangs, given up", with: everyKind, needs: root,
			done:  "the same with the program's lookup, before anything is forked",
			holds: "the same",
			run:   hangingLookup},
		{number: 26, name: "start that hangs, launcher closed", with: everyKind, needs: root,
			done:  "a launcher is closed while a start hangs that nobody gives up",
			holds: "the start ends: the launcher is closed; the close ends, and nothing is left",
			run:   hangingClosed},
		{number: 26, name: "start that cannot be killed, given up", with: everyKind, needs: root | freezer,
			done:  "the same, and the process that hangs is in a frozen cgroup of version 1, which no SIGKILL ends; later it is thawed",
			holds: "the start ends with the cause of its ctx, and of the native launcher the close; thawed, nothing is left",
			run:   hangingFrozen},
		{number: 26, name: "start that hangs, and others", with: everyKind, needs: root,
			done:  "the same; meanwhile another program is started, and a third, that runs already, is killed",
			holds: "neither has to wait for the first",
			run:   hangingAndOthers},
		{number: 64, name: "host dies in a start that hangs", with: everyKind, needs: root,
			done:  "the same; the program that launches is killed, which has other children",
			holds: "within 3 s nothing of it is left",
			run:   diesInHangingStart},
	}
}

// hanging makes a program whose exec hangs until the row ends.
func (f *fixture) hanging() (path string) { return f.hangingAt(unix.FAN_OPEN_EXEC_PERM) }

// hangingAt makes a program of which something hangs until the row ends. Others
// may decide over it, and here nobody does.
func (f *fixture) hangingAt(what uint64) (path string) {
	f.Helper()
	content, err := os.ReadFile("/bin/true")
	f.must(err)
	dir := f.scratch()
	if err := unix.Mount("hanging", dir, "ramfs", 0, ""); err != nil {
		f.Skip("not on this machine: no ramfs: ", err)
	}
	f.Cleanup(func() { f.must(unix.Unmount(dir, unix.MNT_DETACH)) })
	path = filepath.Join(dir, "hanging")
	f.must(os.WriteFile(path, content, 0o755))
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, what, unix.AT_FDCWD, path)
		f.Cleanup(func() { unix.Close(fd) }) // lets all of them go on
	}
	if err != nil {
		f.Skip("not on this machine: no fanotify: ", err)
	}
	return path
}

func hangingStart(f *fixture) { f.givesUp(f.hanging()) }

func hangingLookup(f *fixture) { f.givesUp(f.hangingAt(unix.FAN_OPEN_PERM)) }

// givesUp gives a start of path up after 100 ms.
func (f *fixture) givesUp(path string) {
	f.Helper()
	l := f.kind.open()
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

func hangingClosed(f *fixture) {
	l := f.kind.open()
	s := sh("")
	s.Path = f.hanging()
	launched := make(chan error, 1)
	go func() {
		_, err := l.Launch(f.Context(), s)
		launched <- err
	}()
	f.forked(func() []process { return descendants(os.Getpid()) })
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	for _, want := range []struct {
		over <-chan error
		err  error
	}{{launched, launch.ErrClosed}, {closed, nil}} {
		select {
		case err := <-want.over:
			f.want(errors.Is(err, want.err), "an end", err)
		case <-time.After(patience):
			f.Fatal("it is not given up")
		}
	}
}

func hangingFrozen(f *fixture) {
	c := f.cgroup(v1 + "freezer")
	l := f.kind.open()
	s := sh("")
	s.Path = f.hanging()
	ctx, cancel := context.WithCancelCause(f.Context())
	launched := make(chan error, 1)
	go func() {
		_, err := l.Launch(ctx, s)
		launched <- err
	}()
	c.take(f.forked(func() []process { return descendants(os.Getpid()) }))
	c.freeze()
	defer c.thaw()
	cancel(errGivenUp)
	err := <-launched
	f.want(errors.Is(err, errGivenUp), "the cause", err)
	if f.kind.name == "native" {
		f.no(l.Close())
	}
	c.thaw()
	f.no(l.Close())
}

func hangingAndOthers(f *fixture) {
	a := f.launching()
	path := f.hanging()
	a.does("launch", "running", "sh", "echo ready; exec sleep 60")
	hanging := a.ask("launch-file", path)
	f.forked(a.below)
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
	f.forked(a.below)
	below := watch(a.below())
	a.signal(syscall.SIGKILL)
	f.gone(below, settleBound)
	a.answer(hanging)
	a.dies()
}

// forked waits until some process of those below is in an exec that hangs: there
// is one then that has no program of its own yet, and that is returned.
func (f *fixture) forked(below func() []process) (pid int) {
	f.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for _, p := range below() {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", p.pid))
			if err == nil && string(b) == "fanotify_get_response" || err == nil && string(b) == "fanotify_handle_event" {
				return p.pid
			}
		}
	}
	f.Fatal("nobody hangs in an exec")
	return 0
}
