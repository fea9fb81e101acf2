package mtls_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hyperactor/hyperactor/channel"
)

// pipe passes connections on to an address, and can cut them.
type pipe struct {
	addr     channel.Addr
	accepted atomic.Int64
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu    sync.Mutex // guards the following
	conns []net.Conn
	ended bool
}

// newPipe returns a pipe to address that ends with the test.
func newPipe(t *testing.T, address string) *pipe {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{addr: channel.Addr("tls:" + l.Addr().String()), listener: l, to: address}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *pipe) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			near.Close()
			continue
		}
		p.accepted.Add(1)
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		ended := p.ended
		p.mu.Unlock()
		if ended {
			p.cut()
		}
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			p.wg.Go(func() {
				io.Copy(pair[0], pair[1])
				pair[0].Close()
			})
		}
	}
}

// cut breaks all connections.
func (p *pipe) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
