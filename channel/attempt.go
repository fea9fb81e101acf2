package channel

import (
	"net"
	"syscall"
)

// tryWriter writes to a connection without ever blocking.
type tryWriter interface {
	// TryWrite writes what goes at once and returns how much that was. The rest
	// is written next, before anything else and unchanged: it may have been
	// encrypted already. An error shows as 0: whoever writes the rest will get
	// it.
	TryWrite(b []byte) int
}

// newTryWriter returns nil if conn cannot be written to without blocking.
func newTryWriter(conn net.Conn) tryWriter {
	if t, ok := conn.(tryWriter); ok {
		return t
	}
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

// attempt is the tryWriter of a socket. One goroutine uses it at a time.
type attempt struct {
	raw syscall.RawConn
	fn  func(fd uintptr) bool // made once: a closure a call would be an allocation a call
	b   []byte
	n   int
}

// TryWrite writes what goes at once.
func (a *attempt) TryWrite(b []byte) int {
	a.b, a.n = b, 0
	a.raw.Write(a.fn)
	a.b = nil
	return max(a.n, 0)
}
