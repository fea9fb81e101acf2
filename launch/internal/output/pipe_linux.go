package output

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

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

// enlarge makes the pipe hold more, if the user's share of pipe memory allows.
func enlarge(pipe *os.File, size int) {
	if rc, err := pipe.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) })
	}
}
