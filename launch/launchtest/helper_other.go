//go:build unix && !linux

package launchtest

import (
	"errors"
	"os"
	"syscall"

	"github.com/hyperactor/hyperactor/launch"
)

func socketpair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}

// What follows is for checks that are made on linux only.

func nested(launch.Launcher) int { return 99 }

func starved(launch.Launcher) error { return errors.ErrUnsupported }

func unprivileged(launch.Launcher, string) error { return errors.ErrUnsupported }

func headless(int) int { return 99 }

func openDescriptors() []int { return nil }
