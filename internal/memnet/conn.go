package memnet

import (
	"io"
	"net"
	"time"
)

// Conn is one end of a connection. It is a net.Conn that can also shut one
// direction down.
type Conn struct {
	network     *Network
	node        *Node
	dialed      string
	in, out     *pipe
	local, peer addr
}

func (c *Conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *Conn) Write(b []byte) (int, error) { return c.out.write(b) }

// CloseWrite ends our direction: the peer reads what is left, and io.EOF.
func (c *Conn) CloseWrite() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.out.finishLocked(io.EOF)
	return nil
}

// Close ends both directions. What was written still arrives.
func (c *Conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.closeLocked()
	return nil
}

func (c *Conn) closeLocked() {
	delete(c.network.conns, c)
	c.out.finishLocked(io.EOF)
	c.out.writerClosed = true
	c.in.closeReaderLocked()
	c.out.changed.Broadcast()
}

// resetLocked breaks the connection for both ends, with what is on its way.
func (c *Conn) resetLocked() {
	c.in.breakLocked(errReset)
	c.out.breakLocked(errReset)
}

// LocalAddr returns the address that was dialed, at the listener's end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address that was dialed, at the dialer's end.
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds reads, those under way too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.in.readBy = t
	c.in.changed.Broadcast()
	return nil
}

// SetWriteDeadline bounds writes, those under way too.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.out.writeBy = t
	c.out.changed.Broadcast()
	return nil
}
