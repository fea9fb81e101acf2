package channel

import (
	"io"
	"net"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// line is one connection of a session, after both sides have said hello.
type line struct {
	net.Conn
	in   input
	try  tryWriter  // nil if the connection cannot be written without blocking
	peer wire.Hello // what the peer said on it
	said uint64     // what our own hello acknowledged

	// Session.mu guards the following.
	cause      error  // why it is given up, if the connection itself will not say
	torn       bool   // the last frame that was written is not whole
	closeSaid  bool   // our Close frame is on it, or about to be
	closeHeard bool   // the peer's Close frame came over it
	shut       bool   // our direction is shut down
	farewell   []byte // what to say before it is closed
}

func newLine(conn net.Conn, hub *Hub) *line {
	l := &line{Conn: conn, try: newTryWriter(conn)}
	l.in.init(conn, hub)
	return l
}

// writeAll writes all of v and consumes it. A connection that puts what it
// writes into records is given all at once, so that it can fill them.
func (l *line) writeAll(v *net.Buffers) error {
	if c, ok := l.Conn.(interface {
		WriteBuffers(v *net.Buffers) (int64, error)
	}); ok {
		_, err := c.WriteBuffers(v)
		return err
	}
	_, err := v.WriteTo(l.Conn)
	return err
}

// giveUpLocked makes reads and writes on l fail soon, because of cause. It does
// not block, as closing might.
func (l *line) giveUpLocked(cause error) {
	if l.cause == nil {
		l.cause = cause
	}
	l.SetDeadline(time.Unix(1, 0))
}

// closeWrite ends our direction; of a connection that has none of its own, both.
func (l *line) closeWrite() {
	if c, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
		return
	}
	l.Close()
}

// sayLast writes the farewell, if the peer can make sense of it and takes it
// soon, and closes l. Nobody else writes any more.
func (l *line) sayLast() {
	if len(l.farewell) > 0 && !l.torn {
		l.SetWriteDeadline(time.Now().Add(farewellTime))
		l.Write(l.farewell)
	}
	if c, ok := l.Conn.(interface{ NetConn() net.Conn }); ok && (l.torn || l.cause != nil) {
		c.NetConn().Close() // a closing TLS connection would wait for the peer
	}
	l.Close()
}

// farewellTime bounds how long the last frame may take to be written.
const farewellTime = 100 * time.Millisecond

// input reads from a connection. It has a large buffer only while there is
// something to read: a session that waits holds none, if the connection is a
// socket, and a small one otherwise.
type input struct {
	conn net.Conn
	hub  *Hub
	raw  syscall.RawConn       // nil if the connection is not a socket
	fn   func(fd uintptr) bool // made once: a closure a call would be an allocation a call
	n    int                   // what fn has read
	err  error                 // and what went wrong

	small []byte // what buf is without a large one; nil if the connection is a socket
	block *block // a large buffer, or nil
	buf   []byte // where it reads to
	r, w  int    // buf[r:w] has been read and not used
	next  int    // how much the next fill reads at most; 0 for all that there is room for
}

// smallRead is the buffer for hello, and of a connection that is not a socket
// until more comes at once.
const smallRead = wire.FrameHeader + wire.MaxHello

func (in *input) init(conn net.Conn, hub *Hub) {
	in.conn, in.hub, in.buf = conn, hub, make([]byte, smallRead)
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			in.raw, in.fn = raw, in.readRaw
			return
		}
	}
	in.small = in.buf
}

// bytes returns what has been read and not used.
func (in *input) bytes() []byte { return in.buf[in.r:in.w] }

// use marks the first n of bytes as used.
func (in *input) use(n int) { in.r += n }

// fill waits until more bytes are there. There is room for a frame of
// largeBlock bytes.
func (in *input) fill() error {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.raw != nil {
		in.makeRoom()
		if err := in.raw.Read(in.fn); err != nil {
			return err
		}
		in.next = 0
		return in.took(in.n, in.err)
	}
	if in.w == 0 {
		in.release()
	}
	in.makeRoom()
	n, err := in.conn.Read(in.room())
	in.next = 0
	if n > 0 {
		err = nil // it comes again
	}
	return in.took(n, err)
}

func (in *input) took(n int, err error) error {
	in.w += max(n, 0)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return err
}

// readRaw reads what is there. If nothing is, the buffer goes back until
// something comes.
func (in *input) readRaw(fd uintptr) bool {
	in.makeRoom()
	for {
		in.n, in.err = syscall.Read(int(fd), in.room())
		switch in.err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if in.w == 0 {
				in.release()
			}
			return false
		}
		return true
	}
}

// room is where the next bytes go.
func (in *input) room() []byte {
	b := in.buf[in.w:]
	if in.next > 0 {
		b = b[:min(in.next, len(b))]
	}
	return b
}

// makeRoom sees to it that buf has room after w.
func (in *input) makeRoom() {
	if in.w < len(in.buf) {
		return
	}
	if in.block != nil {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
		return
	}
	b := in.hub.block(true)
	in.w = copy(b.b, in.buf[in.r:in.w])
	in.r = 0
	in.block, in.buf = b, b.b
}

// release gives the large buffer back; nothing must be in it.
func (in *input) release() {
	if in.block != nil {
		in.hub.free(in.block)
	}
	in.block, in.buf, in.r, in.w = nil, in.small, 0, 0
}

// read reads into b what has been read already, or else what comes. If b has
// capacity left, it may be used for what comes after that.
func (in *input) read(b []byte) (int, error) {
	if in.r < in.w {
		n := copy(b, in.buf[in.r:in.w])
		in.r += n
		return n, nil
	}
	n, err := in.conn.Read(b[:min(len(b)+overread, cap(b))])
	if n > len(b) {
		in.r, in.w = 0, 0
		in.makeRoom()
		in.w = copy(in.buf, b[len(b):n])
		n = len(b)
	}
	return n, err
}
