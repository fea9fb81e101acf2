package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a connection. It is a net.Conn that can also shut one
// direction down.
type Conn struct {
	network     *Network
	in, out     *pipe
	local, peer addr
}

func (c *Conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *Conn) Write(b []byte) (int, error) { return c.out.write(b) }

// CloseWrite ends our direction: the peer reads what is left, and io.EOF.
func (c *Conn) CloseWrite() error {
	c.out.finish(io.EOF)
	return nil
}

// Close ends both directions. What was written still arrives.
func (c *Conn) Close() error {
	c.network.forget(c)
	c.out.finish(io.EOF)
	c.out.closeWriter()
	c.in.closeReader()
	return nil
}

func (c *Conn) reset() {
	c.in.breakNow(errReset)
	c.out.breakNow(errReset)
}

// LocalAddr returns the address that was dialed, at the listener's end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address that was dialed, at the dialer's end.
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline bounds reads, those under way too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline bounds writes, those under way too.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// pipe is one direction.
type pipe struct {
	capacity int
	delay    time.Duration
	other    *pipe // the other direction, if this one can break

	mu           sync.Mutex // guards the following
	changed      sync.Cond
	chunks       []chunk
	size         int
	breakAt      int   // bytes that pass before the connection breaks; -1 for never
	end          error // what the reader gets after the last chunk
	broken       error // what both get at once
	readerClosed bool
	writerClosed bool
	readBy       time.Time
	writeBy      time.Time
}

// chunk is what one write wrote, and when it arrives.
type chunk struct {
	at time.Time
	b  []byte
}

func newPipe(capacity int, delay time.Duration) *pipe {
	p := &pipe{capacity: capacity, delay: delay, breakAt: -1}
	p.changed.L = &p.mu
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readerClosed:
			return 0, net.ErrClosed
		case p.broken != nil:
			return 0, p.broken
		case past(p.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(p.chunks) > 0 && !time.Now().Before(p.chunks[0].at):
			return p.takeLocked(b), nil
		case len(p.chunks) == 0 && p.end != nil:
			return 0, p.end
		}
		p.waitLocked(p.readBy)
	}
}

func (p *pipe) takeLocked(b []byte) int {
	n := copy(b, p.chunks[0].b)
	if p.chunks[0].b = p.chunks[0].b[n:]; len(p.chunks[0].b) == 0 {
		p.chunks = p.chunks[1:]
	}
	p.size -= n
	p.changed.Broadcast()
	return n
}

func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for {
		switch {
		case p.writerClosed || p.end != nil && p.end == io.EOF:
			return written, net.ErrClosed
		case p.broken != nil:
			return written, p.broken
		case p.end != nil:
			return written, p.end
		case p.readerClosed:
			return written, syscall.EPIPE
		case past(p.writeBy):
			return written, os.ErrDeadlineExceeded
		case len(b) == 0:
			return written, nil
		case p.size < p.capacity:
			n := p.putLocked(b)
			written += n
			b = b[n:]
			continue
		}
		p.waitLocked(p.writeBy)
	}
}

// putLocked takes what fits of b, or what may pass before the pipe breaks.
func (p *pipe) putLocked(b []byte) int {
	n := min(len(b), p.capacity-p.size)
	if p.breakAt >= 0 {
		n = min(n, p.breakAt)
		if p.breakAt -= n; p.breakAt == 0 {
			p.end = errReset
			p.other.finish(errReset)
		}
	}
	if n > 0 {
		p.chunks = append(p.chunks, chunk{time.Now().Add(p.delay), append([]byte(nil), b[:n]...)})
		p.size += n
	}
	p.changed.Broadcast()
	return n
}

// waitLocked waits for a change, the next arrival or the deadline.
func (p *pipe) waitLocked(deadline time.Time) {
	if len(p.chunks) > 0 && time.Now().Before(p.chunks[0].at) && (deadline.IsZero() || p.chunks[0].at.Before(deadline)) {
		deadline = p.chunks[0].at
	}
	if !deadline.IsZero() {
		t := time.AfterFunc(time.Until(deadline), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.changed.Broadcast()
		})
		defer t.Stop()
	}
	p.changed.Wait()
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (p *pipe) setDeadline(which *time.Time, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*which = t
	p.changed.Broadcast()
}

func (p *pipe) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == nil {
		p.end = err
	}
	p.changed.Broadcast()
}

func (p *pipe) breakNow(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = err
	}
	p.changed.Broadcast()
}

func (p *pipe) closeReader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readerClosed = true
	p.chunks, p.size = nil, 0
	p.changed.Broadcast()
}

func (p *pipe) closeWriter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writerClosed = true
	p.changed.Broadcast()
}
