package keeper

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// deaths tells which processes have ended. One goroutine waits for all of them,
// since one for each would be most of what the keeper needs: its stack is larger
// than everything else there is to know of a process.
type deaths struct {
	file *os.File // an epoll descriptor
	raw  syscall.RawConn
}

func newDeaths() (*deaths, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for the netpoller
		return nil, errors.Join(err, unix.Close(fd))
	}
	d := &deaths{file: os.NewFile(uintptr(fd), "deaths")}
	if d.raw, err = d.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, d.file.Close())
	}
	return d, nil
}

func (d *deaths) close() error { return d.file.Close() }

// add has wait return id once when the process has ended. It needs no
// descriptor: that of the process is given up with the Leader.
func (d *deaths) add(lead *tree.Leader, id uint64) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(uint32(id)), Pad: int32(id >> 32)}
	return d.control(func(fd int) error { return unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, lead.Pidfd(), &e) })
}

func (d *deaths) control(f func(fd int) error) (err error) {
	cerr := d.raw.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(cerr, err)
}

// wait returns the ids of processes that have ended, at least one. It fails
// when d is closed.
func (d *deaths) wait(ids []uint64) ([]uint64, error) {
	var events [32]unix.EpollEvent
	var n int
	var err error
	cerr := d.raw.Read(func(fd uintptr) bool {
		n, err = ignoringEINTR(func() (int, error) { return unix.EpollWait(int(fd), events[:], 0) })
		return err != nil || n > 0
	})
	if err = errors.Join(cerr, err); err != nil {
		return nil, err
	}
	for _, e := range events[:n] {
		ids = append(ids, uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32)
	}
	return ids, nil
}
