package tree

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch/internal/cgroup"
)

// job is one start, as the thread that forks does it.
type job struct {
	Request
	null  *os.File
	hop   *os.File      // what the child runs first; nil: there is none
	group *cgroup.Group // nil: none
	cwd   *os.File      // what the thread is to take for our working directory; nil: it knows
}

// run starts the process and holds it until its limits are set. AwaitExec tells
// whether it has come to its program.
func (j *job) run() (*Leader, error) {
	files := []uintptr{j.null.Fd(), j.Stdout.Fd(), j.Stderr.Fd()}
	if j.Control != nil {
		fd, err := dup(j.Control)
		if err != nil {
			return nil, fmt.Errorf("control descriptor: %w", err)
		}
		defer unix.Close(fd)
		files = append(files, uintptr(fd))
	}
	if j.cwd != nil {
		if err := j.takePlace(); err != nil {
			return nil, err
		}
	}
	pidfd := -1
	sys := &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd,
		Credential: credential(j.Limits.User), Ptrace: j.held(),
	}
	pid, tells, err := j.fork(files, sys)
	runtime.KeepAlive(j)
	if err != nil {
		return nil, err
	}
	if pidfd < 0 {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = wait4(pid)
		err = fmt.Errorf("the kernel has no pidfd, linux 5.4 is needed: %w", errors.ErrUnsupported)
	} else if sys.Ptrace {
		if err = j.restrain(pid, pidfd, tells != nil); err != nil {
			err = abandon(pidfd, err)
			unix.Close(pidfd)
		}
	}
	if err != nil {
		if tells != nil {
			tells.Close()
		}
		return nil, err
	}
	lead := newLeader(pid, pidfd)
	lead.tells = tells
	return lead, nil
}

// takePlace gives the thread a umask and a working directory of its own, which
// the child inherits.
func (j *job) takePlace() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return notEnforced(fmt.Sprintf("umask %#o: no thread can have its own", *j.Limits.Umask), err)
	}
	if err := unix.Fchdir(int(j.cwd.Fd())); err != nil {
		return fmt.Errorf("enter our working directory: %w", err)
	}
	unix.Umask(*j.Limits.Umask)
	return nil
}

// fork starts the process, by way of the hop if it may hang and that works: then
// tells is what the hop has to tell. A hop that cannot be run, because there is no
// /proc or because programs in memory are forbidden here, is left out.
func (j *job) fork(files []uintptr, sys *syscall.SysProcAttr) (pid int, tells *os.File, err error) {
	if j.Prog.Remote && j.hop != nil {
		pid, tells, err = j.forkHop(files, sys)
		if _, odd := err.(syscall.Errno); !odd || wanting(err) {
			return pid, tells, err
		}
	}
	attr := &syscall.ProcAttr{Dir: j.Dir, Env: j.Env, Files: files, Sys: sys}
	pid, err = j.forkExec(j.Prog.Path, j.Prog.Argv, attr)
	if err == unix.EPERM {
		err = j.whyForbidden(sys)
	}
	return pid, nil, err
}

// forkHop starts the hop, which will run the program.
func (j *job) forkHop(files []uintptr, sys *syscall.SysProcAttr) (pid int, tells *os.File, err error) {
	const none = ^uintptr(0)
	all := append(make([]uintptr, 0, hopSelf+1), files...)
	for len(all) < hopTells {
		all = append(all, none)
	}
	tells, theirs, err := hopPipe()
	if err != nil {
		return 0, nil, err
	}
	defer unix.Close(theirs)
	all = append(all, uintptr(theirs), j.hop.Fd())
	path := j.Prog.Path
	if path == selfExe {
		self, err := unix.Open(selfExe, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, nil, errors.Join(err, tells.Close())
		}
		defer unix.Close(self)
		all, path = append(all, uintptr(self)), hopSelfPath
	}
	attr := &syscall.ProcAttr{Env: j.Env, Files: all, Sys: sys}
	pid, err = j.forkExec(hopPath, hopArgs(j.Dir, path, j.Prog.Argv), attr)
	if err != nil {
		tells.Close()
		return 0, nil, err
	}
	return pid, tells, nil
}

// forkExec forks, into the cgroup if that works.
func (j *job) forkExec(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	sys := attr.Sys
	sys.CgroupFD = j.group.FD()
	sys.UseCgroupFD = sys.CgroupFD >= 0
	pid, err := syscall.ForkExec(path, argv, attr)
	if errno, _ := err.(syscall.Errno); sys.UseCgroupFD && (cannotBeBorn(errno) || errno == unix.ENOENT && j.group.Lost()) {
		if err := j.group.Leave(errno); err != nil {
			return 0, explainLimit(err)
		}
		sys.UseCgroupFD = false
		pid, err = syscall.ForkExec(path, argv, attr)
	}
	return pid, err
}

// cannotBeBorn reports whether clone3 says that it is not known (before linux
// 5.7, or hidden by a sandbox), or that the group takes no process.
func cannotBeBorn(errno syscall.Errno) bool {
	switch errno {
	case unix.ENOSYS, unix.EBUSY, unix.EOPNOTSUPP, unix.ENODEV:
		return true
	}
	return false
}

// whyForbidden finds out what was forbidden. To run the root directory is
// another error, so EPERM comes from what is asked for on the way there.
func (j *job) whyForbidden(sys *syscall.SysProcAttr) error {
	forbids := func(sys *syscall.SysProcAttr) bool {
		_, err := syscall.ForkExec("/", []string{"/"}, &syscall.ProcAttr{Sys: sys})
		return err == unix.EPERM
	}
	switch {
	case sys.Credential != nil && forbids(&syscall.SysProcAttr{Credential: sys.Credential}):
		return notEnforced(fmt.Sprintf("user %d, group %d, groups %v: to become another user takes root, or CAP_SETUID and CAP_SETGID",
			j.Limits.User.UID, j.Limits.User.GID, j.Limits.User.Groups), unix.EPERM)
	case sys.Ptrace && forbids(&syscall.SysProcAttr{Ptrace: true}):
		return notEnforced("to set niceness, CPUs, rlimits, OOM score or a cgroup of version 1 the process is held with ptrace, "+
			"which is forbidden here: see /proc/sys/kernel/yama/ptrace_scope and the seccomp filter", unix.EPERM)
	}
	return unix.EPERM
}

// abandon ends a child that nobody is to see, and returns why. Somebody else in
// this process may have reaped it by now: its number is not to be used.
func abandon(pidfd int, why error) error {
	_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	_, _ = waitid(pidfd, unix.WEXITED, nil)
	return why
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
