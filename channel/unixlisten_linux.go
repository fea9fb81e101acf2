package channel

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted; the kernel bounds it
// by net.core.somaxconn.
const backlog = 1 << 15

// listenUnix is net.ListenUnix, which looks up that bound in /proc first: a
// twentieth of a millisecond of the start of every child process.
func listenUnix(path string) (net.Listener, error) {
	fail := func(op string, err error) (net.Listener, error) {
		if op != "socket" && op != "bind" {
			unix.Unlink(path) // nobody else could listen there
		}
		return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError(op, err)}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // the listener has a descriptor of its own
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return fail("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fail("listen", err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return fail("dup", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(true)
	return l, nil
}
