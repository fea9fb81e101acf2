package tree

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/cgroup"
)

// Leader is the process that was started: the leader of its session and of its
// process group, known by its pidfd.
type Leader struct {
	PID int

	fd          int      // the pidfd
	file        *os.File // owns fd, for the netpoller; nil before the first Await
	groupSignal bool     // the group can be signalled through fd, also after the reap
	attached    bool     // it is somebody else's child

	group *cgroup.Group // nil: none
	tells *os.File      // what the hop has to tell; nil: the program runs
}

func newLeader(pid, pidfd int) *Leader { return &Leader{PID: pid, fd: pidfd} }

// Attach returns a Leader for a process that somebody else has started as the
// leader of its group and reaps, known by its pidfd, which the Leader owns from
// now on. Await, Signal and Suspended work as for a child of ours; Reap returns
// what Recall does.
func Attach(pid, pidfd int) *Leader {
	return &Leader{PID: pid, fd: pidfd, groupSignal: signalsGroup(pidfd), attached: true}
}

// Pidfd returns the pidfd, for a process that is to Attach, or to be watched with
// others. It stays the Leader's, until Close.
func (l *Leader) Pidfd() int { return l.fd }

// signalsGroup reports whether the kernel signals a group through the pidfd of
// its leader, also of a dead one.
func signalsGroup(pidfd int) bool {
	err := unix.PidfdSendSignal(pidfd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	return err == nil || err == unix.ESRCH || err == unix.EPERM
}

// ErrStuck is a process that was killed before it has come to its program, and
// does not end: the kernel holds it, in a file system that does not answer, say.
var ErrStuck = errors.New("the kernel holds the process in its exec and does not let it be killed")

// killBound is how long a process that is killed before it has come to its
// program may take to end.
const killBound = time.Second

// Running reports whether AwaitExec has nothing to wait for.
func (l *Leader) Running() bool { return l.tells == nil }

// AwaitExec returns when the process has come to its program, or has ended. It is
// called once after a start; the goroutine is parked in the netpoller meanwhile. An
// errno says why the program does not run: the process ends then by itself.
// After Abandon it returns soon, ErrStuck in the worst case.
func (l *Leader) AwaitExec() error {
	if l.tells == nil {
		return nil
	}
	err := hopErr(l.tells)
	l.tells.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrStuck
	}
	return err
}

// Abandon kills the process, and has AwaitExec return.
func (l *Leader) Abandon() {
	if l.tells != nil {
		_ = l.tells.SetReadDeadline(time.Now().Add(killBound)) // an error means that AwaitExec has returned
	}
	_ = l.Signal(unix.SIGKILL)
}

// pidfdFile hands a pidfd to the netpoller, which takes non-blocking ones.
func pidfdFile(fd int) *os.File {
	_ = unix.SetNonblock(fd, true) // without it Await blocks a thread instead
	return os.NewFile(uintptr(fd), "pidfd")
}

// Close frees the pidfd and has the cgroup removed. A cgroup with a process that
// the kernel cannot kill stays.
func (l *Leader) Close() {
	if l.file != nil {
		l.file.Close()
	} else {
		unix.Close(l.fd)
	}
	l.group.Discard()
}

// Await returns when the process has ended, all of its threads, and can be
// reaped. The goroutine is parked in the netpoller meanwhile, which is told of a
// pidfd only here: who watches many has a better way. One at a time may call it.
func (l *Leader) Await() {
	if l.file == nil {
		l.file = pidfdFile(l.fd)
	}
	rc, err := l.file.SyscallConn()
	if err == nil {
		err = rc.Read(func(fd uintptr) bool { return l.ended(int(fd)) })
	}
	if err != nil { // the netpoller did not take it
		_ = unix.SetNonblock(l.fd, false)
		if l.attached {
			awaitPoll(l.fd)
			return
		}
		reapable(l.fd, 0)
	}
}

// ended looks whether the process has ended, without waiting.
func (l *Leader) ended(fd int) bool {
	if l.attached {
		return dead(fd)
	}
	return reapable(fd, unix.WNOHANG)
}

// reapable looks at a child without reaping it. A child that somebody else has
// reaped counts as well: reap finds out.
func reapable(fd, flags int) bool {
	info, err := waitid(fd, unix.WEXITED|unix.WNOWAIT|flags, nil)
	return err != nil || info.Signo != 0
}

func waitid(fd, flags int, usage *unix.Rusage) (info unix.Siginfo, err error) {
	for {
		err = unix.Waitid(unix.P_PIDFD, fd, &info, flags, usage)
		if err != unix.EINTR {
			return info, err
		}
	}
}

// Reap takes the record of the ended process.
func (l *Leader) Reap() End {
	if l.attached {
		return l.Recall()
	}
	end, there := l.take(0)
	if !there {
		return l.stolen(unix.ECHILD)
	}
	return end
}

// Look returns the record of the ended process and leaves it to be buried. It is
// not there yet while somebody who traces the process was not told: Await then
// waits for it.
func (l *Leader) Look() (end End, there bool) { return l.take(unix.WNOWAIT) }

// Bury reaps the ended process, whose record Look has returned.
func (l *Leader) Bury() { _, _ = waitid(l.fd, unix.WEXITED|unix.WNOHANG, nil) }

// take asks for the record. The evidence in the cgroup is read before (PS-1).
func (l *Leader) take(flags int) (end End, there bool) {
	oom := l.group.OOMKills() > 0
	var usage unix.Rusage
	info, err := waitid(l.fd, unix.WEXITED|unix.WNOHANG|flags, &usage)
	switch {
	case err != nil:
		end = l.stolen(err)
	case info.Signo == 0:
		return End{}, false
	default:
		end = newEnd(&info, &usage)
	}
	end.OOM = oom
	return end, true
}

// newEnd makes an End of what the kernel has said.
func newEnd(info *unix.Siginfo, usage *unix.Rusage) End {
	e := End{Usage: launch.Rusage{
		User:   time.Duration(usage.Utime.Nano()),
		System: time.Duration(usage.Stime.Nano()),
		MaxRSS: int64(usage.Maxrss) * 1024,
	}}
	const (
		cldExited = 1
		cldDumped = 3
	)
	if status := childStatus(info); info.Code == cldExited {
		e.Code = status
	} else {
		e.Signal, e.Core = syscall.Signal(status), info.Code == cldDumped
	}
	return e
}

// childStatus returns si_status, which x/sys does not name: the third word of
// the union that follows the three first words, aligned to a pointer.
func childStatus(info *unix.Siginfo) int {
	const align = unsafe.Sizeof(uintptr(0))
	const union = (3*4 + align - 1) / align * align
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), union+2*4)))
}

// Recall returns what the kernel still knows of an ended process that its
// parent has reaped: code or signal, no usage. From linux 6.15 on that is the
// truth for as long as there is a pidfd; before, and as long as the process is
// not reaped, End.Err says that nothing is known.
func (l *Leader) Recall() End { return l.stolen(unix.ECHILD) }

// stolen asks the pidfd for a record that some other part of this program has
// taken with a wait for any child. Linux 6.15 still knows it then.
func (l *Leader) stolen(cause error) End {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(l.fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return End{Err: fmt.Errorf("somebody else has reaped process %d: %w", l.PID, cause)}
	}
	status := syscall.WaitStatus(uint32(info.Exit_code))
	if status.Signaled() {
		return End{Signal: status.Signal(), Core: status.CoreDump()}
	}
	return End{Code: status.ExitStatus()}
}

// Signal signals the group; it may be called while the leader is not
// reaped. (Afterwards only where groupSignal is set.) Of somebody else's child
// nobody here knows whether it is reaped: on a kernel before 6.9 the signal then
// goes to the leader alone, since the number of the group may be another's (PS-4).
//
// A SIGKILL goes to all of the cgroup as well, wherever they are (PS-3).
func (l *Leader) Signal(sig syscall.Signal) error {
	if sig == unix.SIGKILL {
		_ = l.group.Kill() // what it cannot do, the sweep does
	}
	switch {
	case l.groupSignal:
		return unix.PidfdSendSignal(l.fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	case l.attached:
		return unix.PidfdSendSignal(l.fd, sig, nil, 0)
	default:
		return unix.Kill(-l.PID, sig)
	}
}
