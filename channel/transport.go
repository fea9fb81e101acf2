package channel

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// Transport makes connections of one kind. Its methods may be called
// concurrently; ctx bounds the call, not what it returns.
//
// One that also has a method Local() bool, and returns true, promises that peers
// are on this very machine: a connection ends only with its peer, and a dial is
// refused only if the peer is gone.
//
// What Dial and Accept return may have more to offer than a net.Conn has:
// HandshakeContext(ctx) error runs before hello, VerifyPeer(id.Proc) error
// proves that the peer is who it says (MS-15), and for a proc with no name but
// its host's that it speaks for all procs of that.
type Transport interface {
	Dial(ctx context.Context, address string) (net.Conn, error)

	// Listen listens on address. The Addr of the listener is what a peer dials.
	Listen(ctx context.Context, address string) (net.Listener, error)
}

// Transports are transports by the name that an Addr begins with. The value is
// not changed once it is in use.
type Transports map[string]Transport

// SystemConfig says what the transports of the operating system may do.
type SystemConfig struct {
	// Insecure lets tcp listen and dial beyond loopback, where anybody on the
	// way can read and forge messages (MS-15).
	Insecure bool
}

// System returns the transports of the operating system: unix and tcp.
func System(cfg SystemConfig) Transports {
	return Transports{"unix": unixTransport{}, "tcp": tcpTransport{insecure: cfg.Insecure}}
}

// Listen listens on addr and returns the listener with the real address: the
// port that "tcp:127.0.0.1:0" became.
func (t Transports) Listen(ctx context.Context, addr Addr) (net.Listener, Addr, error) {
	tr, err := t.find(addr)
	if err != nil {
		return nil, "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	l, err := tr.Listen(ctx, addr.Address())
	if err != nil {
		return nil, "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, Addr(addr.Network() + ":" + l.Addr().String()), nil
}

// Dial connects to addr and exchanges hellos.
func (t Transports) Dial(ctx context.Context, addr Addr, cfg Config) (*Session, error) {
	tr, err := t.find(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	s, err := Dial(ctx, tr, addr.Address(), cfg)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return s, nil
}

func (t Transports) find(addr Addr) (Transport, error) {
	tr, ok := t[addr.Network()]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(t)), ", ")
		return nil, fmt.Errorf("transport %q is not known, there are: %s", addr.Network(), known)
	}
	return tr, nil
}
