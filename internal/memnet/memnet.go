// Package memnet is a network in memory: named nodes, connections with a
// buffer, a delay and a rate, and everything that happens to real ones:
// partitions one way or both, resets and ends at a given byte, peers that vanish
// without a word, stopped and killed processes. It blocks on condition variables
// and channels only, so it works inside testing/synctest.
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

// Network is one network. Make it with New, in the bubble that uses it. All
// methods may be called concurrently.
//
// One lock guards the network with its nodes, listeners and connections: it is
// for tests, not for speed.
type Network struct {
	mu        sync.Mutex // guards everything in this package
	seed      uint64
	link      Link // of paths that have none of their own
	nodes     map[string]*Node
	paths     map[[2]string]*path
	listeners map[string]*listener
	conns     map[*Conn]struct{}
	breakAt   map[string]int
	cut       map[string]bool
	serial    int
	turn      chan struct{} // closed when a dial that waits should look again
}

// Link says how one direction between two nodes is. The zero Link takes no time
// and holds 64 KiB.
type Link struct {
	Delay  time.Duration // that bytes take
	Jitter time.Duration // up to which a write takes longer, at random; order within a connection stays
	Rate   int           // bytes per second, shared by all connections; no limit if zero
	Buffer int           // bytes that fit into each connection; 64 KiB if zero
}

const defaultBuffer = 64 << 10

// New returns a network whose links are all the zero Link.
func New() *Network { return NewSeeded(1) }

// NewSeeded is New with a seed for what is random.
func NewSeeded(seed uint64) *Network {
	return &Network{
		seed:      seed,
		nodes:     make(map[string]*Node),
		paths:     make(map[[2]string]*path),
		listeners: make(map[string]*listener),
		conns:     make(map[*Conn]struct{}),
		breakAt:   make(map[string]int),
		cut:       make(map[string]bool),
		turn:      make(chan struct{}),
	}
}

// SetDelay sets how long bytes take that are written later, on all links that
// SetLink has not set.
func (n *Network) SetDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link.Delay = d
}

// SetBuffer sets how many bytes fit into each direction of a connection, on all
// links that SetLink has not set.
func (n *Network) SetBuffer(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link.Buffer = bytes
}

// SetLink sets how the direction between two nodes is, for what is written
// later. An address that is dialed belongs to the node that listens there.
func (n *Network) SetLink(from, to string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pathLocked(from, to).own = &l
}

// Conns returns how many ends of connections are open.
func (n *Network) Conns() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

// Dial connects to a listener, from the node without a name.
func (n *Network) Dial(ctx context.Context, address string) (net.Conn, error) {
	return n.Node("").Dial(ctx, address)
}

// Listen listens on address, on the node without a name.
func (n *Network) Listen(ctx context.Context, address string) (net.Listener, error) {
	return n.Node("").Listen(ctx, address)
}

// Node is a place on the network. It dials and listens; what it dials and what
// it listens on is told apart from what others do by its name.
type Node struct {
	network *Network
	name    string
	paused  bool
	dead    bool
	late    time.Duration // until a connection is accepted
}

// Node returns the node called name. There is no need to make one first.
func (n *Network) Node(name string) *Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes[name] == nil {
		n.nodes[name] = &Node{network: n, name: name}
	}
	return n.nodes[name]
}

// Name returns what the node is called.
func (f *Node) Name() string { return f.name }

// Dial connects to a listener. It takes the time of a round trip, and until the
// end of ctx when the network lets nothing through.
func (f *Node) Dial(ctx context.Context, address string) (net.Conn, error) {
	n := f.network
	for waited := false; ; {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("dial mem:%s: %w", address, err)
		}
		n.mu.Lock()
		to := ""
		if l := n.listeners[address]; l != nil {
			to = l.node.name
		}
		there, back := n.pathLocked(f.name, to), n.pathLocked(to, f.name)
		turn, blocked := n.turn, f.paused || there.held || back.held
		trip := there.link().Delay + back.link().Delay
		if !blocked && (waited || trip == 0) {
			c, err := f.connectLocked(address)
			n.mu.Unlock()
			return c, err
		}
		n.mu.Unlock()
		if blocked {
			waited = false
			wait(ctx, turn, 0)
		} else {
			waited = wait(ctx, nil, trip)
		}
	}
}

// wait waits for turn, or for d if that is not zero, or the end of ctx. It
// reports whether d has passed.
func wait(ctx context.Context, turn <-chan struct{}, d time.Duration) bool {
	var passed <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		passed = t.C
	}
	select {
	case <-turn:
	case <-ctx.Done():
	case <-passed:
		return true
	}
	return false
}

// connectLocked makes a connection, if somebody listens at address.
func (f *Node) connectLocked(address string) (net.Conn, error) {
	n := f.network
	l := n.listeners[address]
	if l == nil || f.dead || n.cut[address] || n.pathLocked(f.name, l.node.name).refused {
		return nil, fmt.Errorf("dial mem:%s: %w", address, syscall.ECONNREFUSED)
	}
	there, back := newPipe(n, f, l.node), newPipe(n, l.node, f)
	if at, ok := n.breakAt[address]; ok {
		there.breakIn = at
		delete(n.breakAt, address)
	}
	there.other, back.other = back, there
	near := &Conn{network: n, node: f, dialed: address, in: back, out: there, peer: addr(address)}
	far := &Conn{network: n, node: l.node, dialed: address, in: there, out: back, local: addr(address)}
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	l.offerLocked(far)
	return near, nil
}

// Listen listens on address; an empty one, or "0", becomes a free one.
func (f *Node) Listen(_ context.Context, address string) (net.Listener, error) {
	n := f.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if address == "" || address == "0" {
		n.serial++
		address = fmt.Sprintf("auto%d", n.serial)
	}
	if f.dead || n.listeners[address] != nil {
		return nil, fmt.Errorf("listen mem:%s: %w", address, syscall.EADDRINUSE)
	}
	l := &listener{node: f, address: addr(address)}
	l.changed.L = &n.mu
	n.listeners[address] = l
	return l, nil
}

type addr string

func (addr) Network() string  { return "mem" }
func (a addr) String() string { return string(a) }

// errReset is what both ends of a broken connection get.
var errReset = errors.Join(errors.New("the network broke the connection"), syscall.ECONNRESET)
