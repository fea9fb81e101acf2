package launchtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

func socketpair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}

// nested starts a child of its own, which shares its lifeline, and holds.
func nested(l launch.Launcher) int {
	s := spec("hold")
	s.Control = os.NewFile(3, "lifeline")
	ready := make(chan struct{}, 1)
	s.Output = func(launch.Stream, []byte) { ready <- struct{}{} }
	if _, err := l.Launch(context.Background(), s); err != nil {
		return exitCode(err)
	}
	<-ready
	fmt.Println("ready")
	hold()
	return 0
}

// starved launches with fewer descriptors than a launch needs, at every point
// where they can run out, and checks that each failure says so and leaks none.
func starved(l launch.Launcher) error {
	ctx := context.Background()
	p, err := l.Launch(ctx, spec("exit", "0")) // what is opened once is open now
	if err != nil {
		return err
	}
	p.Wait()
	base := len(openDescriptors())
	failures := 0
	for spare := 0; ; spare++ {
		restore, err := limitDescriptors(spare)
		if err != nil {
			return err
		}
		p, err := l.Launch(ctx, spec("exit", "7"))
		if err == nil {
			code := p.Wait().Code
			restore()
			if code != 7 || failures == 0 {
				return fmt.Errorf("with %d descriptors: exit code %d after %d failures", spare, code, failures)
			}
			return l.Close()
		}
		restore()
		failures++
		short := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ETOOMANYREFS) // of those that others send, too
		if !errors.Is(err, launch.ErrLimit) || !short {
			return fmt.Errorf("with %d descriptors: %w", spare, err)
		}
		if got := len(openDescriptors()); got != base {
			return fmt.Errorf("with %d descriptors: %d are open afterwards, %d before", spare, got, base)
		}
	}
}

// limitDescriptors leaves room for n more descriptors.
func limitDescriptors(n int) (restore func(), err error) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return nil, err
	}
	limit, free := 0, n
	for {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err != nil {
			if free == 0 {
				break
			}
			free--
		}
		limit++
	}
	low := unix.Rlimit{Cur: uint64(limit), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return nil, err
	}
	return func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }, nil
}

// openDescriptors returns the descriptors of this process.
func openDescriptors() (fds []int) {
	for fd := range 4096 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
}

// unprivileged asks for what only root may have, and for a limit on a set-uid
// program, which must not lose its privileges by it.
func unprivileged(l launch.Launcher, setuid string) (err error) {
	defer func() {
		if err = errors.Join(err, l.Close()); err != nil {
			return
		}
		if left, cerr := launch.Children(); cerr != nil || len(left) > 0 {
			err = fmt.Errorf("children left: %v, %v", left, cerr)
		}
	}()
	nice := launch.Limits{Nice: new(5)}
	refused := map[string]launch.Limits{
		"user 0":         {User: &launch.User{}},
		"niceness -5":    {Nice: new(-5)},
		"OOM score -999": {OOMScore: new(-999)},
		"rlimit core=":   {Rlimits: []launch.Rlimit{{Name: "core", Soft: 0, Hard: launch.Unlimited}}},
		"a memory limit": {Memory: 1 << 30},
		"a pids limit":   {PIDs: 100},
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	for what, limits := range refused {
		if err := refusedFor(l, launch.Spec{Path: "/bin/true", Limits: limits}, what); err != nil {
			return err
		}
	}
	if err := refusedOrSame(l, setuid, nice); err != nil {
		return err
	}
	p, err := l.Launch(context.Background(), launch.Spec{Path: "/bin/true", Limits: nice})
	if err != nil {
		return err
	}
	if e := p.Wait(); !e.OK() {
		return fmt.Errorf("with limits that anybody may have: %v", e)
	}
	return nil
}

// refusedFor checks that s is refused because of a limit that cannot be enforced.
func refusedFor(l launch.Launcher, s launch.Spec, what string) error {
	p, err := l.Launch(context.Background(), s)
	if err == nil {
		return fmt.Errorf("%s: started: %v", what, p.Wait())
	}
	if !errors.Is(err, launch.ErrNotEnforced) || !strings.Contains(err.Error(), what) {
		return fmt.Errorf("%s: got %w", what, err)
	}
	return nil
}

// refusedOrSame checks that id, set-uid, is either refused under limits or says
// what it says without.
func refusedOrSame(l launch.Launcher, id string, limits launch.Limits) error {
	want, err := exec.Command(id, "-u").Output()
	if err != nil {
		return err
	}
	var got bytes.Buffer
	p, err := l.Launch(context.Background(), launch.Spec{Path: id, Args: []string{"-u"}, Limits: limits, Stdout: &got})
	if err != nil {
		return refusedFor(l, launch.Spec{Path: id, Limits: limits}, "set-uid")
	}
	if e := p.Wait(); !e.OK() || got.String() != string(want) {
		return fmt.Errorf("set-uid: %v, runs as user %q instead of %q", e, &got, want)
	}
	return nil
}

// headless ends its first thread, says so and lives on until its lifeline ends.
func headless(code int) int {
	gone := make(chan struct{})
	go func() {
		<-gone
		fmt.Println("ready")
		buf := make([]byte, 1)
		_, _ = syscall.Read(3, buf) // a plain read: the netpoller may have lost its thread
		os.Exit(code)
	}()
	endFirstThread(gone)
	return 0
}

// endFirstThread takes threads until it has the first one, and ends that. The
// others stay locked, so that the scheduler has to hand out the first.
func endFirstThread(gone chan struct{}) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		go endFirstThread(gone)
		select {}
	}
	close(gone)
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
}
