package cable

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Cable is a number of hosts, counted from 0, and a line from each to each
// other. All methods may be called concurrently.
type Cable struct {
	hosts []*host // never changes
	quit  chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex    // guards the following, and what is on its way to hosts
	lines  [][]*Line     // by sender and receiver
	serial uint64        // of packets
	sent   chan struct{} // closed when a packet is sent; nil if nobody waits
	reset  [][]bool      // by sender and receiver; see Reset
}

// host is a network namespace and the device in it that the cable ends in.
type host struct {
	namespace *os.File
	device    *os.File
	wake      chan struct{} // for the deliverer, capacity 1
	coming    coming        // Cable.mu guards it
}

// New returns a cable with that many hosts and perfect lines; seed decides
// what they do to packets when they are less than that. It needs a machine that
// Probe finds no fault with. Close ends it.
func New(seed uint64, hosts int) (*Cable, error) {
	c := &Cable{quit: make(chan struct{}), lines: make([][]*Line, hosts), reset: make([][]bool, hosts)}
	for i := range hosts {
		c.lines[i], c.reset[i] = make([]*Line, hosts), make([]bool, hosts)
		for j := range hosts {
			c.lines[i][j] = NewLine(seed*uint64(hosts*hosts) + uint64(i*hosts+j))
		}
		h, err := newHost(c.Addr(i))
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("host %d of a cable: %w", i, err)
		}
		c.hosts = append(c.hosts, h)
	}
	for i, h := range c.hosts {
		c.wg.Go(func() { c.read(i, h.device) })
		c.wg.Go(func() { c.deliver(h) })
	}
	return c, nil
}

// Probe returns nil if this process can make cables here, and why not if it
// cannot.
func Probe() error {
	c, err := New(0, 1)
	if err != nil {
		return fmt.Errorf("network namespaces and TUN devices cannot be made (run as root): %w", err)
	}
	return c.Close()
}

// Addr returns the address of a host.
func (c *Cable) Addr(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(host + 1)}) }

// Set makes the line between two hosts one of that quality, in one direction.
func (c *Cable) Set(from, to int, q Quality) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines[from][to].Set(q)
}

// SetBoth is Set for both directions.
func (c *Cable) SetBoth(a, b int, q Quality) {
	c.Set(a, b, q)
	c.Set(b, a, q)
}

// Pull pulls the plug of a host: no packet leaves or reaches it any more.
func (c *Cable) Pull(host int) {
	for other := range c.hosts {
		if other != host {
			c.SetBoth(host, other, Quality{Cut: true})
		}
	}
}

// Stats returns what became of the packets from one host to another so far.
func (c *Cable) Stats(from, to int) Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines[from][to].Stats()
}

// Await waits until what has become of the packets from one host to another is
// as until says. ctx bounds the wait; its cause is the only error.
func (c *Cable) Await(ctx context.Context, from, to int, until func(Stats) bool) error {
	for {
		c.mu.Lock()
		stats := c.lines[from][to].Stats()
		if c.sent == nil {
			c.sent = make(chan struct{})
		}
		sent := c.sent
		c.mu.Unlock()
		if until(stats) {
			return nil
		}
		select {
		case <-sent:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Inject sends a packet from one host to another as if the first had sent it,
// whatever it says.
func (c *Cable) Inject(from, to int, packet []byte) {
	c.send(from, to, bytes.Clone(packet))
}

// Reset breaks a TCP connection between two hosts: the next one that the first
// has something to say on. Both kernels are told that the other one knows
// nothing of it.
func (c *Cable) Reset(from, to int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset[from][to] = true
}

// In runs f on a thread in the network namespace of a host: sockets that f
// makes and processes that it starts belong to that host.
func (c *Cable) In(host int, f func() error) error { return inside(c.hosts[host].namespace, f) }

// Close takes the hosts and their lines away. Processes in the namespaces keep
// them, without any line.
func (c *Cable) Close() error {
	close(c.quit)
	var errs []error
	for _, h := range c.hosts {
		errs = append(errs, h.device.Close(), h.namespace.Close())
	}
	c.wg.Wait()
	return errors.Join(errs...)
}

// largest is the size of the largest packet: what Ethernet carries.
const largest = 1500

// read takes the packets that a host sends until its device is closed.
func (c *Cable) read(from int, device *os.File) {
	buf := make([]byte, largest)
	for {
		n, err := device.Read(buf)
		if errors.Is(err, fs.ErrClosed) {
			return
		}
		if err != nil {
			panic(fmt.Sprintf("read what host %d sends: %v", from, err)) // the kernel gives no other
		}
		if to, ok := c.receiver(buf[:n]); ok && to != from {
			c.send(from, to, bytes.Clone(buf[:n]))
		}
	}
}

// receiver returns whom a packet is for.
func (c *Cable) receiver(packet []byte) (host int, ok bool) {
	addr, ok := destination(packet)
	for i := range c.hosts {
		if ok && c.Addr(i).As4() == addr {
			return i, true
		}
	}
	return 0, false
}

// send puts a packet on a line.
func (c *Cable) send(from, to int, packet []byte) {
	c.mu.Lock()
	back, forth, ok := resets(packet)
	if ok && c.reset[from][to] {
		c.reset[from][to] = false
		c.offerLocked(to, from, back)
		packet = forth
	}
	c.offerLocked(from, to, packet)
	if c.sent != nil {
		close(c.sent)
		c.sent = nil
	}
	c.mu.Unlock()
}

// offerLocked puts a packet on a line and wakes whoever delivers it.
func (c *Cable) offerLocked(from, to int, packet []byte) {
	l, h := c.lines[from][to], c.hosts[to]
	for _, p := range l.Offer(time.Now(), packet) {
		c.serial++
		heap.Push(&h.coming, onWay{p, l, c.serial})
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// deliver hands a host what arrives for it, each packet at its time.
func (c *Cable) deliver(h *host) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		packet, wait := c.next(h)
		if packet != nil {
			h.device.Write(packet) // what the kernel does not take for a packet is lost, as in a network card
			continue
		}
		if wait >= 0 {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-h.wake:
		case <-c.quit:
			return
		}
	}
}

// next returns a packet whose time has come, or how long it is until there is
// one, less than 0 if none is on its way.
func (c *Cable) next(h *host) ([]byte, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(h.coming) > 0 {
		if wait := time.Until(h.coming[0].At); wait > 0 {
			return nil, wait
		}
		if p := heap.Pop(&h.coming).(onWay); p.line.Arrive() {
			return p.Data, 0
		}
	}
	return nil, -1
}

// onWay is a packet on its way.
type onWay struct {
	Packet
	line   *Line
	serial uint64 // packets that arrive at the same time keep their order
}

// coming is a heap of packets, the next to arrive first.
type coming []onWay

func (c coming) Len() int      { return len(c) }
func (c coming) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c coming) Less(i, j int) bool {
	if d := c[i].At.Compare(c[j].At); d != 0 {
		return d < 0
	}
	return c[i].serial < c[j].serial
}

// Push is for package heap.
func (c *coming) Push(p any) { *c = append(*c, p.(onWay)) }

// Pop is for package heap.
func (c *coming) Pop() any {
	last := len(*c) - 1
	p := (*c)[last]
	(*c)[last] = onWay{}
	*c = (*c)[:last]
	return p
}
