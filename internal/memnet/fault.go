package memnet

import (
	"io"
	"time"
)

// BreakAt makes the next connection to address break for both ends when the
// dialer has written that many bytes; those before arrive.
func (n *Network) BreakAt(address string, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.breakAt[address] = bytes
}

// BreakAfter makes the connection break that carries the byte after that many
// more in this direction; those before arrive. It breaks with a reset, or with
// eof as if each end had been told that the other has closed.
func (n *Network) BreakAfter(from, to string, bytes int, eof bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pathLocked(from, to)
	p.breakIn, p.breakHow = bytes, errReset
	if eof {
		p.breakHow = io.EOF
	}
}

// Cut breaks all connections to address, with what is on its way, and lets
// nobody dial it until Heal.
func (n *Network) Cut(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[address] = true
	for c := range n.conns {
		if c.dialed == address {
			c.resetLocked()
		}
	}
}

// Heal ends Cut.
func (n *Network) Heal(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, address)
}

// Refuse refuses dials of the node from to the node to, or ends that.
func (n *Network) Refuse(from, to string, refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pathLocked(from, to).refused = refuse
}

// Block lets nothing through in this direction until Unblock. Connections do
// not notice: bytes wait, and so do dials. What comes the other way arrives, but
// its writer is not told, so it stops when its buffer is full.
func (n *Network) Block(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.pathLocked(from, to); !p.held {
		p.held, p.since = true, time.Now()
	}
}

// Unblock ends Block: what waited sets out.
func (n *Network) Unblock(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unblockLocked(n.pathLocked(from, to))
}

func (n *Network) unblockLocked(p *path) {
	if !p.held {
		return
	}
	p.held = false
	for c := range n.conns {
		for _, one := range []*pipe{c.in, c.out} {
			if one.path == p {
				one.healedLocked(p.since)
			}
			if one.back == p {
				one.acksFlowLocked()
			}
		}
	}
	n.turnLocked()
}

// Restore ends what Block, Cut, Refuse, BreakAfter and Pause began, everywhere.
func (n *Network) Restore() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	clear(n.breakAt)
	for _, p := range n.paths {
		p.refused, p.breakIn = false, -1
		n.unblockLocked(p)
	}
	for _, f := range n.nodes {
		f.pauseLocked(false)
	}
}

// Reset breaks the connections between two nodes, with what is on its way. It
// returns how many ends that were.
func (n *Network) Reset(a, b string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := n.betweenLocked(a, b)
	for _, c := range ends {
		c.resetLocked()
	}
	return len(ends)
}

// ResetOne breaks the connections between two nodes for a alone, as when
// something between them sends a reset to one side: what a has written still
// arrives, later than what it says on its next connection perhaps.
func (n *Network) ResetOne(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.betweenLocked(a, b) {
		if c.node.name == a {
			c.in.breakLocked(errReset)
			c.out.finishLocked(errReset)
		}
	}
}

// Vanish makes the connections between two nodes half open: what is written
// disappears, nothing arrives and nobody is told, as when the machine between
// them has forgotten them. New connections are not affected. What it returns
// resets the old ones, as a kernel does that gives them up.
func (n *Network) Vanish(a, b string) (giveUp func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := n.betweenLocked(a, b)
	for _, c := range ends {
		c.out.vanishLocked()
	}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range ends {
			c.resetLocked()
		}
	}
}

// betweenLocked returns the ends of the connections between two nodes.
func (n *Network) betweenLocked(a, b string) []*Conn {
	var ends []*Conn
	for c := range n.conns {
		from, to := c.out.writer.name, c.out.reader.name
		if from == a && to == b || from == b && to == a {
			ends = append(ends, c)
		}
	}
	return ends
}

// turnLocked lets dials that wait look again.
func (n *Network) turnLocked() {
	close(n.turn)
	n.turn = make(chan struct{})
}

// Pause stops the node's reading, writing, dialing and accepting until Resume,
// as SIGSTOP does. What others write to it waits. Timers of the node's own go
// on, and it can close.
func (f *Node) Pause() { f.pause(true) }

// Resume ends Pause.
func (f *Node) Resume() { f.pause(false) }

func (f *Node) pause(on bool) {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	f.pauseLocked(on)
}

func (f *Node) pauseLocked(on bool) {
	if f.paused == on {
		return
	}
	f.paused = on
	f.wakeLocked()
}

// wakeLocked lets everybody on the node look again.
func (f *Node) wakeLocked() {
	for c := range f.network.conns {
		if c.node == f {
			c.in.changed.Broadcast()
			c.out.changed.Broadcast()
		}
	}
	for _, l := range f.network.listeners {
		if l.node == f {
			l.changed.Broadcast()
		}
	}
	f.network.turnLocked()
}

// SetAcceptDelay sets how long connections wait that are dialed later until
// they are accepted; their dialer does not notice.
func (f *Node) SetAcceptDelay(d time.Duration) {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	f.late = d
}

// Kill ends the node as SIGKILL ends a process: its listeners and connections
// are closed, whatever goes on in it, and it can make no more. What it has
// written still arrives. Network.Node then makes a new one with its name.
func (f *Node) Kill() {
	n := f.network
	n.mu.Lock()
	defer n.mu.Unlock()
	f.dead = true
	f.pauseLocked(false)
	n.turnLocked()
	for c := range n.conns {
		if c.node == f {
			c.closeLocked()
		}
	}
	for _, l := range n.listeners {
		if l.node == f {
			l.closeLocked()
		}
	}
	if n.nodes[f.name] == f {
		delete(n.nodes, f.name)
	}
}
