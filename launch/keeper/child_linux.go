package keeper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// roleEnv tells a process of our image that it is a guard or a keeper. The
// process removes it at once (PS-6).
const roleEnv = "HYPERACTOR_KEEPER"

// removeEnv tells a guard what to remove in place of a host that cannot.
const removeEnv = "HYPERACTOR_KEEPER_REMOVE"

// The roles.
const (
	roleGuard    = "guard"
	roleIsolated = "isolated guard" // in namespaces of its own
	roleKeeper   = "keeper"
)

// What guard and keeper inherit beside 0, 1 and 2.
const (
	connFD  = 3 // the connection to the host
	guardFD = 4 // the keeper's: ends when the guard does
)

// selfExe is our own image, whatever lies on the disk by now (PS-6).
const selfExe = "/proc/self/exe"

// A guard and a keeper live and end here: of a program, they run what is
// initialised before this package, and nothing else. Package runtime promises
// the first thread of the process to init functions. That is the one that the
// kernel gives orphans to, and whose capabilities a guard drops.
func init() {
	role, ok := os.LookupEnv(roleEnv)
	if !ok {
		return
	}
	if err := become(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// become makes this process a guard or a keeper, and returns when nothing is
// left that descends from it. An error says why the process could not do its
// work.
func become(role string) error {
	if err := os.Unsetenv(roleEnv); err != nil {
		return err
	}
	outliveSignals()
	nameProcess(role)
	// Should we be stopped when our parent ends, the kernel has us go on.
	err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGCONT), 0, 0, 0)
	switch role {
	case roleGuard, roleIsolated:
		err = errors.Join(err, guard(role == roleIsolated))
	case roleKeeper:
		err = errors.Join(err, keep())
	default:
		err = fmt.Errorf("%s=%q is neither %s nor %s", roleEnv, role, roleGuard, roleKeeper)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// outliveSignals has this process outlive the signals that a terminal, or who
// wants the host to end, sends to everybody. They are caught and not ignored,
// since children inherit the latter; those that are ignored already stay so.
func outliveSignals() {
	dropped := make(chan os.Signal, 1) // never read: what does not fit is dropped
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(dropped, s)
		}
	}
}

// nameProcess sets the name that ps shows, for people.
func nameProcess(role string) {
	_ = os.WriteFile("/proc/self/comm", []byte("hyper-"+strings.TrimPrefix(role, "isolated ")), 0)
}

// guard starts the keeper, and when that has ended, kills whatever is left. It
// continues the keeper when somebody has stopped it, and whenever it was
// continued itself, which the host sees to, and at the host's end the kernel: so
// nobody waits for ever for one of the two because it was stopped (PS-2).
func guard(isolated bool) error {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	if isolated {
		if err := furnish(); err != nil {
			return err
		}
	}
	remove := os.Getenv(removeEnv)
	if err := os.Unsetenv(removeEnv); err != nil {
		return err
	}
	keeper, lifeline, err := startKeeper()
	if err != nil {
		return err
	}
	defer lifeline.Close()
	var passing sync.WaitGroup
	passing.Go(func() { passOn(continued, keeper) })
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) // not inherited by the keeper; root only
	findImage().shed()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WUNTRACED, nil)
		if pid == keeper.Pid && status.Stopped() {
			_ = keeper.Signal(syscall.SIGCONT)
			continue
		}
		if pid == keeper.Pid || err == unix.ECHILD {
			break
		}
	}
	signal.Stop(continued)
	close(continued)
	passing.Wait()
	tree.BuryAll()
	if remove != "" && hostGone() {
		return os.RemoveAll(remove)
	}
	return nil
}

// orphanBound is how long a keeper may take to kill everything when the host is
// gone. One that hangs in the kernel with a start of its own does not get to it.
const orphanBound = time.Second

// passOn continues the keeper when the guard was continued. That may have been
// the kernel's doing at the end of the host: then the keeper is to end, and is
// killed if it does not, which leaves everything to the guard.
func passOn(continued <-chan os.Signal, keeper *os.Process) {
	late := time.AfterFunc(orphanBound, func() {
		if hostGone() {
			_ = keeper.Kill() // it may have ended
		}
	})
	defer late.Stop()
	for range continued {
		_ = keeper.Signal(syscall.SIGCONT)
		late.Reset(orphanBound)
	}
}

// hostGone reports whether nobody reads any more what the guard prints.
func hostGone() bool {
	fds := []unix.PollFd{{Fd: 2}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLERR != 0
}

// furnish gives the processes of a new namespace a /proc that shows them, and
// drops the capability that this takes.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// startKeeper starts the keeper and hands the connection on to it. The keeper
// sees the end of lifeline, which is this process' alone. It is waited for by
// number.
func startKeeper() (keeper *os.Process, lifeline *os.File, err error) {
	conn := os.NewFile(connFD, "connection")
	defer conn.Close() // else the host would not see the end of the keeper
	end, lifeline, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer end.Close()
	keeper, err = os.StartProcess(selfExe, os.Args[:1], &os.ProcAttr{
		Env:   append(os.Environ(), roleEnv+"="+roleKeeper),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, conn, end},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		lifeline.Close()
		return nil, nil, fmt.Errorf("start the keeper: %w", err)
	}
	return keeper, lifeline, nil
}

// inherited takes over a descriptor that this process was started with, and
// sees that no child of ours inherits it in turn.
func inherited(fd int, name string) (*os.File, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("inherited descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// keep is the keeper's life.
func keep() error {
	f, err := inherited(connFD, "connection")
	if err != nil {
		return err
	}
	c, err := newConn(f)
	if err != nil {
		return err
	}
	lifeline, err := inherited(guardFD, "lifeline")
	if err != nil {
		return errors.Join(err, c.close())
	}
	orphans, err := tree.Adopt()
	if err != nil {
		return errors.Join(err, c.close(), lifeline.Close())
	}
	ends, err := newDeaths()
	if err != nil {
		return errors.Join(err, c.close(), lifeline.Close())
	}
	k := &keeper{
		conn: c, lifeline: lifeline, orphans: orphans, deaths: ends, living: map[uint64]*ward{},
		rest: time.NewTimer(rest), image: findImage(),
	}
	return k.run()
}
