package native

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

// thread is the one locked OS thread that starts the children. PDEATHSIG fires
// when the thread that forked ends, so this one lives from the first start
// until all children are reaped.
type thread struct {
	withoutGroupSignal bool

	mu    sync.Mutex // guards the following
	calls chan func()
	wg    sync.WaitGroup

	// The following belong to the thread.
	ready       bool
	null        *os.File // stdin of every child
	groupSignal bool     // the kernel signals a group through its leader's pidfd
}

// start starts a process on the thread and waits for its exec.
func (t *thread) start(r startRequest) (lead *leader, err error) {
	done := make(chan struct{})
	t.queue() <- func() {
		lead, err = t.fork(r)
		close(done)
	}
	<-done
	return lead, err
}

// queue returns the way to the thread, which is started for the first call.
func (t *thread) queue() chan<- func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == nil {
		calls := make(chan func())
		t.calls = calls
		t.wg.Go(func() { t.run(calls) })
	}
	return t.calls
}

// stop ends the thread. No start may follow and no child may be left.
func (t *thread) stop() {
	t.mu.Lock()
	calls := t.calls
	t.calls = nil
	t.mu.Unlock()
	if calls != nil {
		close(calls)
	}
	t.wg.Wait()
}

func (t *thread) run(calls <-chan func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for call := range calls {
		call()
	}
	if t.null != nil {
		t.null.Close()
	}
}

// prepare runs before the first start.
func (t *thread) prepare() error {
	if t.ready {
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
	t.null, t.ready = null, true
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

func (t *thread) fork(r startRequest) (*leader, error) {
	if err := t.prepare(); err != nil {
		return nil, err
	}
	files := []uintptr{t.null.Fd(), r.stdout.Fd(), r.stderr.Fd()}
	if r.control != nil {
		fd, err := dup(r.control)
		if err != nil {
			return nil, fmt.Errorf("control descriptor: %w", err)
		}
		defer unix.Close(fd)
		files = append(files, uintptr(fd))
	}
	pidfd := -1
	pid, err := syscall.ForkExec(r.prog.Path, r.prog.Argv, &syscall.ProcAttr{
		Dir:   r.dir,
		Env:   r.env,
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
	t.probe(pidfd)
	return newLeader(pid, pidfd, t.groupSignal), nil
}

// probe finds out once whether the kernel knows signals to the group of a pidfd.
func (t *thread) probe(pidfd int) {
	if !t.groupSignal && !t.withoutGroupSignal {
		t.groupSignal = unix.PidfdSendSignal(pidfd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP) == nil
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

// pipe returns a pipe whose read end is non-blocking and whose write end, which
// goes to a child, is not.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "output"), os.NewFile(uintptr(fds[1]), "output"), nil
}
