package keeper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// roleEnv tells a process of our image that it is a guard or a keeper. The
// process removes it at once (PS-6).
const roleEnv = "HYPERACTOR_KEEPER"

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

// IsChild reports whether this process was started as a guard or keeper and
// has not called Child yet.
func IsChild() bool {
	_, ok := os.LookupEnv(roleEnv)
	return ok
}

// Child makes this process the guard or the keeper that it was started as, and
// returns when nothing is left that descends from it; the process then is to
// end. The main goroutine calls it, before anything else that starts goroutines
// or processes. An error says why the process could not do its work.
func Child() error {
	// Here the main goroutine still is where it began: on the first thread, to
	// which the kernel gives orphans, and whose capabilities a guard drops.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	role := os.Getenv(roleEnv)
	if err := os.Unsetenv(roleEnv); err != nil {
		return err
	}
	outliveSignals()
	nameProcess(role)
	var err error
	switch role {
	case roleGuard, roleIsolated:
		err = guard(role == roleIsolated)
	case roleKeeper:
		err = keep()
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

// guard starts the keeper, and when that has ended, kills whatever is left.
func guard(isolated bool) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	if isolated {
		if err := furnish(); err != nil {
			return err
		}
	}
	keeper, lifeline, err := startKeeper()
	if err != nil {
		return err
	}
	defer lifeline.Close()
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) // not inherited by the keeper; root only
	shed()
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if pid == keeper || err == unix.ECHILD {
			break
		}
	}
	tree.BuryAll()
	return nil
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
// sees the end of lifeline, which is this process' alone.
func startKeeper() (pid int, lifeline *os.File, err error) {
	conn := os.NewFile(connFD, "connection")
	defer conn.Close() // else the host would not see the end of the keeper
	end, lifeline, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer end.Close()
	p, err := os.StartProcess(selfExe, os.Args[:1], &os.ProcAttr{
		Env:   append(os.Environ(), roleEnv+"="+roleKeeper),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, conn, end},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		lifeline.Close()
		return 0, nil, fmt.Errorf("start the keeper: %w", err)
	}
	pid = p.Pid
	return pid, lifeline, p.Release() // it is waited for by number
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
	k := &keeper{conn: c, lifeline: lifeline, orphans: orphans, deaths: ends, living: map[uint64]*ward{}}
	return k.run()
}
