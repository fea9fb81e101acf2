package mtls

import (
	"net"
	"sync"
)

// record is how much crypto/tls puts into one record.
const record = 16 << 10

// batch is the memory that a write needs while it goes on.
type batch struct {
	plain  [record]byte                     // small pieces that share a record
	sealed [4*record + 4*recordSurplus]byte // records that share a system call
}

// recordSurplus is more than what encryption adds to a record.
const recordSurplus = 256

// batches has those of one transport, so that an idle connection has none.
type batches struct{ pool sync.Pool }

func (p *batches) get() *batch {
	if b, ok := p.pool.Get().(*batch); ok {
		return b
	}
	return new(batch)
}

// Write writes b.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.WriteBuffers(&net.Buffers{b})
	return int(n), err
}

// WriteBuffers writes all of v and consumes it, as v.WriteTo(c) would, but in
// full records and with few system calls.
func (c *Conn) WriteBuffers(v *net.Buffers) (int64, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Conn.Handshake(); err != nil { // nothing is held back while it goes on
		return 0, err
	}
	n := c.skipOwed(v)
	b := c.batches.get()
	defer c.batches.pool.Put(b)
	c.raw.hold(b.sealed[:])
	written, err := c.writeAll(v, b.plain[:0])
	if e := c.raw.release(); err == nil {
		err = e
	}
	return n + written, err
}

// skipOwed takes away what TryWrite has encrypted already.
func (c *Conn) skipOwed(v *net.Buffers) (n int64) {
	for c.owed > 0 && len(*v) > 0 {
		k := min(c.owed, len((*v)[0]))
		consume(v, k)
		c.owed -= k
		n += int64(k)
	}
	return n
}

// consume takes k bytes off the first buffer.
func consume(v *net.Buffers, k int) {
	if (*v)[0] = (*v)[0][k:]; len((*v)[0]) == 0 {
		(*v)[0] = nil
		*v = (*v)[1:]
	}
}

// writeAll encrypts v. Whole records are taken from where they are; what is
// smaller is put together in plain.
func (c *Conn) writeAll(v *net.Buffers, plain []byte) (n int64, err error) {
	for len(*v) > 0 {
		b := (*v)[0]
		k := len(b) - len(b)%record
		if len(plain) > 0 || k == 0 {
			k = min(len(b), cap(plain)-len(plain))
			plain = append(plain, b[:k]...)
		} else if _, err := c.Conn.Write(b[:k]); err != nil {
			return n, err
		}
		consume(v, k)
		n += int64(k)
		if len(plain) == cap(plain) || len(*v) == 0 && len(plain) > 0 {
			if _, err := c.Conn.Write(plain); err != nil {
				return n, err
			}
			plain = plain[:0]
		}
	}
	return n, nil
}

// TryWrite writes b if the socket takes it at once, and returns how much of it
// it wrote. What it did not take the caller must pass, unchanged, to the next
// Write or WriteBuffers: it may be encrypted already.
func (c *Conn) TryWrite(b []byte) int {
	if len(b) > record || c.raw.raw == nil || !c.shaken.Load() || !c.writing.TryLock() {
		return 0
	}
	defer c.writing.Unlock()
	if c.owed > 0 {
		return 0
	}
	p := c.batches.get()
	defer c.batches.pool.Put(p)
	c.raw.hold(p.sealed[:])
	_, err := c.Conn.Write(b)
	if gone := c.raw.tryRelease(); err != nil || !gone {
		c.owed = len(b)
		return 0
	}
	return len(b)
}
