package mtls

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// stream is what TLS is spoken over: a connection that can hold back records,
// so that several cost one system call.
//
// It also remembers that it has ended, which anybody on the way can have made
// it do: crypto/tls takes that for the end of what the peer said if it comes
// between two records.
type stream struct {
	net.Conn
	ended bool            // whoever reads owns it
	raw   syscall.RawConn // nil if Conn is not a socket
	fn    func(fd uintptr) bool

	mu      sync.Mutex // guards the following, and has one caller at a time write
	holding bool
	held    []byte // what is held back
	rest    []byte // what a socket that was full did not take; it goes first
	broken  error  // of a write that failed
	gone    int    // how much of held fn has written
}

func newStream(conn net.Conn) *stream {
	s := &stream{Conn: conn}
	if c, ok := conn.(syscall.Conn); ok {
		s.raw, _ = c.SyscallConn() // nil if it fails
	}
	s.fn = s.tryHeldLocked // made once: a closure a call would be an allocation a call
	return s
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.ended = s.ended || err == io.EOF
	return n, err
}

// Write writes b, or holds it back. The error of what was held back is that of
// a later Write, or of release.
func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.holding {
		return s.writeLocked(b)
	}
	if len(s.held)+len(b) <= cap(s.held) {
		s.held = append(s.held, b...)
		return len(b), nil
	}
	if _, err := s.writeLocked(s.held); err != nil {
		return 0, err
	}
	s.held = s.held[:0]
	if len(b) > cap(s.held) {
		return s.writeLocked(b)
	}
	s.held = append(s.held, b...)
	return len(b), nil
}

// writeLocked writes the rest and b. After a failure nothing is written: some
// record may be out in part.
func (s *stream) writeLocked(b []byte) (n int, err error) {
	if s.broken == nil && len(s.rest) > 0 {
		_, s.broken = s.Conn.Write(s.rest)
		s.rest = nil
	}
	if s.broken == nil && len(b) > 0 {
		n, s.broken = s.Conn.Write(b)
	}
	return n, s.broken
}

// hold begins to hold back what is written, as much as fits into buf.
func (s *stream) hold(buf []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding, s.held = true, buf[:0]
}

// release writes what was held back.
func (s *stream) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.writeLocked(s.held)
	s.holding, s.held = false, nil
	return err
}

// tryRelease writes as much of what was held back as goes without waiting. It
// reports whether that was all; if not, release or the next Write goes on.
func (s *stream) tryRelease() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = 0
	if s.broken == nil && len(s.rest) == 0 {
		s.raw.Write(s.fn)
	}
	s.rest = append(s.rest, s.held[s.gone:]...)
	s.holding, s.held = false, nil
	return len(s.rest) == 0
}

// tryHeldLocked writes as much of held as the socket takes at once. An error
// shows as nothing: whoever writes the rest gets it.
func (s *stream) tryHeldLocked(fd uintptr) bool {
	n, _ := syscall.Write(int(fd), s.held)
	s.gone = max(n, 0)
	return true // never wait for the socket
}
