package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// conn is one end of the connection between host and keeper. Many may send,
// one receives. A goroutine that waits is parked in the netpoller.
type conn struct {
	file *os.File
	raw  syscall.RawConn

	sending sync.Mutex // held while a message is written

	// The following belong to the one that receives.
	buf     []byte // for what arrives
	in      []byte // what has arrived and is not used yet, a part of buf
	oob     []byte
	batches []batch // of descriptors, one per message that brings some
}

// batch are the descriptors that came with one message.
type batch struct {
	fds []int
	cut bool // there was no room for all of them: they are lost
}

// connPair returns both ends of a connection. Neither is inherited by a child
// that is not given it.
func connPair() (ours *conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "keeper's end")
	if ours, err = newConn(os.NewFile(uintptr(fds[0]), "host's end")); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// newConn takes over a non-blocking end of a socket pair.
func newConn(f *os.File) (*conn, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &conn{file: f, raw: raw, oob: make([]byte, unix.CmsgSpace(4*maxFiles))}, nil
}

// forget closes the descriptors of a message that has not come to its end. The
// one that receives calls it, when nothing more will come.
func (c *conn) forget() {
	for _, b := range c.batches {
		b.close()
	}
	c.batches = nil
}

// close ends the connection. Who receives gets io.EOF or os.ErrClosed.
func (c *conn) close() error { return c.file.Close() }

// hangUp tells the other side that nothing more will come.
func (c *conn) hangUp() error {
	var err error
	cerr := c.raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(cerr, err)
}

// send writes one message. The descriptors stay open here.
func (c *conn) send(message any, fds ...int) error {
	b, err := appendFrame(nil, message, len(fds))
	if err != nil {
		return err
	}
	if len(fds) == 0 {
		return c.write(b, nil)
	}
	return c.write(b, unix.UnixRights(fds...))
}

// post writes messages without descriptors, at once, and calls done when they
// are written or never will be. It does not wait: if the other side does not
// read now, a goroutine does.
func (c *conn) post(messages []any, done func()) {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = appendFrame(b, m, 0); err != nil {
			done()
			return
		}
	}
	if c.sending.TryLock() {
		n, err := c.writeSome(b, nil, false)
		if err == nil && n == len(b) {
			c.sending.Unlock()
			done()
			return
		}
		go func() {
			defer done()
			defer c.sending.Unlock()
			_ = c.writeLocked(b[n:], nil)
		}()
		return
	}
	go func() {
		defer done()
		_ = c.write(b, nil)
	}()
}

// write writes frames. The descriptors go with the first one.
func (c *conn) write(b, oob []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.writeLocked(b, oob)
}

func (c *conn) writeLocked(b, oob []byte) error {
	for len(b) > 0 {
		n, err := c.writeSome(b, oob, true)
		if err != nil {
			return err
		}
		b, oob = b[n:], nil // descriptors travel with the first byte
	}
	return nil
}

// writeSome writes what there is room for. It waits for room only if it should.
func (c *conn) writeSome(b, oob []byte, wait bool) (n int, err error) {
	cerr := c.raw.Write(func(fd uintptr) bool {
		n, err = ignoringEINTR(func() (int, error) {
			return unix.SendmsgN(int(fd), b, oob, nil, unix.MSG_NOSIGNAL)
		})
		return err != unix.EAGAIN || !wait
	})
	return n, errors.Join(cerr, err)
}

// receive returns the next message. Its body is valid until the next call. If
// there was no room for its descriptors, they are missing and cut is true.
func (c *conn) receive() (f frame, got batch, err error) {
	for {
		f, rest, need, err := cutFrame(c.in)
		if err != nil {
			return f, got, err
		}
		if need == 0 {
			c.in = rest
			return c.withFiles(f)
		}
		if err := c.fill(need); err != nil {
			return f, got, err
		}
	}
}

// withFiles adds the descriptors to a message.
func (c *conn) withFiles(f frame) (frame, batch, error) {
	if f.files == 0 {
		return f, batch{}, nil
	}
	if len(c.batches) == 0 {
		return f, batch{}, fmt.Errorf("%w: descriptors are missing", errProtocol)
	}
	got := c.batches[0]
	c.batches = c.batches[1:]
	if len(got.fds) != f.files {
		got.close()
		got = batch{cut: true}
	}
	return f, got, nil
}

func (b batch) close() {
	for _, fd := range b.fds {
		unix.Close(fd)
	}
}

// files returns the descriptors as files, which own them from now on.
func (b *batch) files() []*os.File {
	all := make([]*os.File, len(b.fds))
	for i, fd := range b.fds {
		all[i] = os.NewFile(uintptr(fd), "received")
	}
	b.fds = nil
	return all
}

const (
	smallRead = 8 << 10
	keptRead  = 64 << 10 // a larger buffer is not kept
)

// fill receives more, until c.in may hold need bytes.
func (c *conn) fill(need int) error {
	c.makeRoom(need)
	free := c.in[len(c.in):cap(c.in)]
	var n, oobn, flags int
	var err error
	cerr := c.raw.Read(func(fd uintptr) bool {
		n, err = ignoringEINTR(func() (got int, err error) {
			got, oobn, flags, _, err = unix.Recvmsg(int(fd), free, c.oob, unix.MSG_CMSG_CLOEXEC)
			return got, err
		})
		return err != unix.EAGAIN
	})
	if err = errors.Join(cerr, err); err != nil {
		return err
	}
	if err := c.takeFiles(c.oob[:oobn], flags&unix.MSG_CTRUNC != 0); err != nil {
		return err
	}
	if n == 0 {
		if len(c.in) > 0 {
			return io.ErrUnexpectedEOF
		}
		return io.EOF
	}
	c.in = c.in[:len(c.in)+n]
	return nil
}

// makeRoom moves what is not used yet to the beginning of a buffer that holds
// need bytes.
func (c *conn) makeRoom(need int) {
	if len(c.buf) < need || len(c.buf) > keptRead && need <= keptRead {
		c.buf = make([]byte, max(need, smallRead))
	}
	c.in = c.buf[:copy(c.buf, c.in)]
}

// takeFiles keeps the descriptors of one reading. The kernel ends a reading
// with the bytes that bring descriptors, so they are those of one message.
func (c *conn) takeFiles(oob []byte, cut bool) error {
	got := batch{cut: cut}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		got.fds = append(got.fds, fds...)
	}
	if cut || len(got.fds) > 0 {
		c.batches = append(c.batches, got)
	}
	return nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
