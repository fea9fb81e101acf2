package tree

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// Leader is the process that was started: the leader of its session and of its
// process group, known by its pidfd.
type Leader struct {
	PID int

	fd          int      // the pidfd
	file        *os.File // owns fd, for the netpoller
	groupSignal bool     // the group can be signalled through fd, also after the reap
}

func newLeader(pid, pidfd int, groupSignal bool) *Leader {
	return &Leader{PID: pid, fd: pidfd, file: pidfdFile(pidfd), groupSignal: groupSignal}
}

// pidfdFile hands a pidfd to the netpoller, which takes non-blocking ones.
func pidfdFile(fd int) *os.File {
	_ = unix.SetNonblock(fd, true) // without it Await blocks a thread instead
	return os.NewFile(uintptr(fd), "pidfd")
}

// Close frees the pidfd.
func (l *Leader) Close() { l.file.Close() }

// Await returns when the process has ended, all of its threads, and can be
// reaped. The goroutine is parked in the netpoller meanwhile.
func (l *Leader) Await() {
	rc, err := l.file.SyscallConn()
	if err == nil {
		err = rc.Read(func(fd uintptr) bool { return reapable(int(fd), unix.WNOHANG) })
	}
	if err != nil { // the netpoller did not take it
		_ = unix.SetNonblock(l.fd, false)
		reapable(l.fd, 0)
	}
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
	var usage unix.Rusage
	info, err := waitid(l.fd, unix.WEXITED|unix.WNOHANG, &usage)
	if err != nil || info.Signo == 0 {
		return l.stolen(err)
	}
	e := End{Usage: launch.Rusage{
		User:   time.Duration(usage.Utime.Nano()),
		System: time.Duration(usage.Stime.Nano()),
		MaxRSS: int64(usage.Maxrss) * 1024,
	}}
	const (
		cldExited = 1
		cldDumped = 3
	)
	if status := childStatus(&info); info.Code == cldExited {
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

// stolen asks the pidfd for a record that some other part of this program has
// taken with a wait for any child. Linux 6.15 still knows it then.
func (l *Leader) stolen(cause error) End {
	if cause == nil {
		cause = unix.ECHILD
	}
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
// reaped. (Afterwards only where groupSignal is set.)
func (l *Leader) Signal(sig syscall.Signal) error {
	if l.groupSignal {
		return unix.PidfdSendSignal(l.fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	}
	return unix.Kill(-l.PID, sig)
}
