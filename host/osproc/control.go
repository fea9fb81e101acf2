package osproc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The handshake (package handshake) runs over a socket pair whose other end the
// child inherits as a descriptor (PS-5). Afterwards the connection is the lifeline:
// its end tells each side that the other is gone (PS-2).

// controlEnv names the descriptor in the child's environment. The child
// removes it at once, so that no child of its own is taken for a proc (PS-6).
const controlEnv = "HYPERACTOR_CONTROL"

// controlFD is what launch.Spec.Control becomes.
const controlFD = 3

// Errors of the handshake (PS-10).
var (
	ErrVersion  = errors.New("host and proc speak different versions of the handshake")
	ErrProtocol = errors.New("the control connection carried something else than the handshake")
	ErrControl  = errors.New("the control connection was closed before the handshake was over")
)

// controlPair returns both ends of a control connection, neither of which is
// inherited by a child that is not given it.
func controlPair() (host, child *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("control connection: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // so that reads have deadlines and cost no thread
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("control connection: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control of child"), nil
}
