// Package memnet is a network in memory: connections with a buffer and a
// delay that can be made to break at a given byte, cut and healed. It blocks on
// condition variables only, so it works inside testing/synctest.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Network is one network. Make it with New, in the bubble that uses it.
type Network struct {
	mu        sync.Mutex // guards the following
	listeners map[string]*listener
	conns     map[*Conn]string // both ends of each connection, by the address that was dialed
	cut       map[string]bool
	delay     time.Duration
	buffer    int
	breakAt   map[string]int
	serial    int
}

// New returns a network without delay, whose connections hold 64 KiB each way.
func New() *Network {
	return &Network{
		listeners: make(map[string]*listener), conns: make(map[*Conn]string),
		cut: make(map[string]bool), buffer: 64 << 10, breakAt: make(map[string]int),
	}
}

// SetDelay sets how long bytes take on connections that are made later.
func (n *Network) SetDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// SetBuffer sets how many bytes fit into each direction of connections that
// are made later.
func (n *Network) SetBuffer(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buffer = bytes
}

// BreakAt makes the next connection to address break for both ends when the
// dialer has written that many bytes; those before arrive.
func (n *Network) BreakAt(address string, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.breakAt[address] = bytes
}

// Cut breaks all connections to address and lets nobody dial it until Heal.
func (n *Network) Cut(address string) {
	n.mu.Lock()
	n.cut[address] = true
	var conns []*Conn
	for c, to := range n.conns {
		if to == address {
			conns = append(conns, c)
		}
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
}

// Heal ends Cut.
func (n *Network) Heal(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, address)
}

// Conns returns how many ends of connections are open.
func (n *Network) Conns() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

// Dial connects to a listener.
func (n *Network) Dial(ctx context.Context, address string) (net.Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[address]
	if l == nil || n.cut[address] {
		return nil, fmt.Errorf("dial mem:%s: %w", address, syscall.ECONNREFUSED)
	}
	there, back := newPipe(n.buffer, n.delay), newPipe(n.buffer, n.delay)
	if at, ok := n.breakAt[address]; ok {
		there.breakAt, there.other = at, back
		delete(n.breakAt, address)
	}
	near := &Conn{network: n, in: back, out: there, peer: addr(address)}
	far := &Conn{network: n, in: there, out: back, local: addr(address)}
	if !l.offer(far) {
		return nil, fmt.Errorf("dial mem:%s: %w", address, syscall.ECONNREFUSED)
	}
	n.conns[near], n.conns[far] = address, address
	return near, nil
}

// Listen listens on address; an empty one, or "0", becomes a free one.
func (n *Network) Listen(ctx context.Context, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address == "" || address == "0" {
		n.serial++
		address = fmt.Sprintf("auto%d", n.serial)
	}
	if n.listeners[address] != nil {
		return nil, fmt.Errorf("listen mem:%s: %w", address, syscall.EADDRINUSE)
	}
	l := &listener{network: n, address: addr(address)}
	l.changed.L = &l.mu
	n.listeners[address] = l
	return l, nil
}

func (n *Network) forget(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

type addr string

func (addr) Network() string  { return "mem" }
func (a addr) String() string { return string(a) }

type listener struct {
	network *Network
	address addr

	mu      sync.Mutex // guards the following
	changed sync.Cond
	queue   []*Conn
	closed  bool
}

func (l *listener) offer(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, c)
	l.changed.Signal()
	return true
}

func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.changed.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "mem", Addr: l.address, Err: net.ErrClosed}
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

func (l *listener) Addr() net.Addr { return l.address }

// Close closes the listener and the connections that nobody accepted.
func (l *listener) Close() error {
	l.mu.Lock()
	queue := l.queue
	l.queue, l.closed = nil, true
	l.changed.Broadcast()
	l.mu.Unlock()
	for _, c := range queue {
		c.Close()
	}
	n := l.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[string(l.address)] == l {
		delete(n.listeners, string(l.address))
	}
	return nil
}

// errReset is what both ends of a broken connection get.
var errReset = errors.Join(errors.New("the network broke the connection"), syscall.ECONNRESET)
