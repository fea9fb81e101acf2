package channel

import (
	"net"
	"syscall"
)

// attempt writes to a connection without ever blocking. One goroutine uses it
// at a time.
type attempt struct {
	raw syscall.RawConn
	fn  func(fd uintptr) bool // made once: a closure a call would be an allocation a call
	b   []byte
	n   int
}

// newAttempt returns nil if conn is not a socket.
func newAttempt(conn net.Conn) *attempt {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	a := &attempt{raw: raw}
	a.fn = func(fd uintptr) bool {
		a.n, _ = syscall.Write(int(fd), a.b)
		return true // never wait for the socket
	}
	return a
}

// write writes what goes at once and returns how much that was. An error shows
// as 0: whoever writes the rest will get it.
func (a *attempt) write(b []byte) int {
	a.b, a.n = b, 0
	a.raw.Write(a.fn)
	a.b = nil
	return max(a.n, 0)
}
