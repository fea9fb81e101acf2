package memnet

import (
	"net"
	"sync"
	"time"
)

// listener is a net.Listener on a node.
type listener struct {
	node    *Node
	address addr

	// Network.mu guards the following.
	changed sync.Cond
	queue   []waiting
	closed  bool
}

// waiting is a connection that nobody has accepted yet.
type waiting struct {
	conn *Conn
	from time.Time // when it can be accepted
}

func (l *listener) offerLocked(c *Conn) {
	l.queue = append(l.queue, waiting{c, time.Now().Add(l.node.late)})
	l.changed.Broadcast()
}

func (l *listener) Accept() (net.Conn, error) {
	mu := &l.node.network.mu
	mu.Lock()
	defer mu.Unlock()
	for {
		var next time.Time
		switch {
		case l.closed:
			return nil, &net.OpError{Op: "accept", Net: "mem", Addr: l.address, Err: net.ErrClosed}
		case len(l.queue) > 0 && !l.node.paused:
			if past(l.queue[0].from) {
				c := l.queue[0].conn
				l.queue = l.queue[1:]
				return c, nil
			}
			next = l.queue[0].from
		}
		waitLocked(&l.changed, next)
	}
}

func (l *listener) Addr() net.Addr { return l.address }

// Close closes the listener and the connections that nobody accepted.
func (l *listener) Close() error {
	mu := &l.node.network.mu
	mu.Lock()
	defer mu.Unlock()
	l.closeLocked()
	return nil
}

func (l *listener) closeLocked() {
	for _, w := range l.queue {
		w.conn.closeLocked()
	}
	l.queue, l.closed = nil, true
	l.changed.Broadcast()
	n := l.node.network
	if n.listeners[string(l.address)] == l {
		delete(n.listeners, string(l.address))
	}
}

// past reports whether t, if it is set, has come.
func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// waitLocked waits for a change or, if it is set, for until.
func waitLocked(changed *sync.Cond, until time.Time) {
	if !until.IsZero() {
		t := time.AfterFunc(time.Until(until), func() {
			changed.L.Lock()
			defer changed.L.Unlock()
			changed.Broadcast()
		})
		defer t.Stop()
	}
	changed.Wait()
}
