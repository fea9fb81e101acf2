package gateway

import (
	"errors"
	"net"
	"sync"
	"time"
)

// door is where those stand who have connected and not said hello yet. There
// is room for a bounded number; when it is full, whoever has stood there longest
// has to go. So any number of connections that say nothing cost bounded memory,
// and nobody who says hello at once has to wait for them (MS-15).
type door struct {
	mu      sync.Mutex // guards the following
	waiting map[net.Conn]uint64
	serial  uint64
	logged  time.Time // when the last refusal was logged
	silent  uint64    // refusals since then
}

// maxWaiting is how many there is room for. It is a question of memory, 16 KiB
// each, and of descriptors.
const maxWaiting = 512

var errOvertaken = errors.New("too many connections that have not said hello, and this one was the oldest")

// enter lets c in. If somebody else has to go for it, it returns that
// connection, which the caller closes.
func (d *door) enter(c net.Conn) (oldest net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = make(map[net.Conn]uint64)
	}
	if len(d.waiting) >= maxWaiting {
		for other, n := range d.waiting {
			if oldest == nil || n < d.waiting[oldest] {
				oldest = other
			}
		}
		delete(d.waiting, oldest)
	}
	d.serial++
	d.waiting[c] = d.serial
	return oldest
}

// leave reports whether c is still there, and takes it away.
func (d *door) leave(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.waiting[c]
	delete(d.waiting, c)
	return ok
}

// refuse counts a peer that did not pass. Of those that come within a second
// only the first is logged, with how many there were since the one before: a
// stranger does not fill our log.
func (g *Gateway) refuse(from net.Addr, err error) {
	g.stats.refused.Add(1)
	if silent, ok := g.door.speak(time.Now()); ok {
		g.cfg.Log.Warn("refused a peer", "from", from, "err", err, "others", silent)
	}
}

// speak reports whether a refusal is to be logged, and how many were not.
func (d *door) speak(now time.Time) (silent uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.logged) < time.Second {
		d.silent++
		return 0, false
	}
	silent, d.silent, d.logged = d.silent, 0, now
	return silent, true
}
