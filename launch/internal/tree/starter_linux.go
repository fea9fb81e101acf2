package tree

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Starter starts processes on one locked OS thread. PDEATHSIG fires
// when the thread that forked ends, so this one lives from the first start
// until all children are reaped.
type Starter struct {
	WithoutGroupSignal bool // behave as on a kernel before 6.9, for tests

	mu    sync.Mutex // guards the following
	calls chan func()
	wg    sync.WaitGroup

	// The following belong to the thread.
	ready       bool
	null        *os.File // stdin of every child
	groupSignal bool     // the kernel signals a group through its leader's pidfd
}

// Start starts a process on the thread and waits for its exec.
func (s *Starter) Start(r Request) (lead *Leader, err error) {
	done := make(chan struct{})
	s.queue() <- func() {
		lead, err = s.fork(r)
		close(done)
	}
	<-done
	return lead, err
}

// queue returns the way to the thread, which is started for the first call.
func (s *Starter) queue() chan<- func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		calls := make(chan func())
		s.calls = calls
		s.wg.Go(func() { s.run(calls) })
	}
	return s.calls
}

// Stop ends the thread. No start may follow and no child may be left.
func (s *Starter) Stop() {
	s.mu.Lock()
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	if calls != nil {
		close(calls)
	}
	s.wg.Wait()
}

func (s *Starter) run(calls <-chan func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for call := range calls {
		call()
	}
	if s.null != nil {
		s.null.Close()
	}
}

// prepare runs before the first start.
func (s *Starter) prepare() error {
	if s.ready {
		return nil
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	if err := closeInherited(); err != nil {
		null.Close()
		return err
	}
	s.null, s.ready = null, true
	return nil
}

// closeInherited makes sure that descriptors which this process has inherited
// do not reach its children (PS-6). Those that Go opens never do.
func closeInherited() error {
	const all = 1<<32 - 1
	if unix.CloseRange(3, all, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	fds, err := os.ReadDir("/proc/self/fd") // before linux 5.11
	if err != nil {
		return fmt.Errorf("find inherited descriptors: %w", err)
	}
	for _, entry := range fds {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

func (s *Starter) fork(r Request) (*Leader, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	files := []uintptr{s.null.Fd(), r.Stdout.Fd(), r.Stderr.Fd()}
	if r.Control != nil {
		fd, err := dup(r.Control)
		if err != nil {
			return nil, fmt.Errorf("control descriptor: %w", err)
		}
		defer unix.Close(fd)
		files = append(files, uintptr(fd))
	}
	pidfd := -1
	pid, err := syscall.ForkExec(r.Prog.Path, r.Prog.Argv, &syscall.ProcAttr{
		Dir:   r.Dir,
		Env:   r.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	runtime.KeepAlive(r)
	if err != nil {
		return nil, err
	}
	if pidfd < 0 {
		// Our own child and not reaped yet: the numbers are its own.
		_ = unix.Kill(-pid, unix.SIGKILL)
		_, _ = wait4(pid)
		return nil, fmt.Errorf("the kernel has no pidfd, linux 5.4 is needed: %w", errors.ErrUnsupported)
	}
	s.probe(pidfd)
	return newLeader(pid, pidfd, s.groupSignal), nil
}

// probe finds out once whether the kernel knows signals to the group of a pidfd.
func (s *Starter) probe(pidfd int) {
	if !s.groupSignal && !s.WithoutGroupSignal {
		s.groupSignal = unix.PidfdSendSignal(pidfd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP) == nil
	}
}

// dup copies a descriptor without touching its mode: File.Fd could switch the
// caller's file to blocking.
func dup(f *os.File) (fd int, err error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := rc.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	return fd, errors.Join(cerr, err)
}

func wait4(pid int) (int, error) {
	for {
		got, err := unix.Wait4(pid, nil, 0, nil)
		if err != unix.EINTR {
			return got, err
		}
	}
}
