package channel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrInsecure is wrapped by the refusal to use tcp beyond loopback (MS-15).
var ErrInsecure = errors.New("tcp beyond this machine is neither private nor authenticated; set Insecure to allow it")

// tcpTransport is TCP as Go sets it up: TCP_NODELAY is on.
type tcpTransport struct{ insecure bool }

func (t tcpTransport) Dial(ctx context.Context, address string) (net.Conn, error) {
	if err := t.check(address); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func (t tcpTransport) Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := t.check(address); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

// check refuses what is not loopback by its number. Names are refused too,
// even "localhost": what they stand for is decided elsewhere.
func (t tcpTransport) check(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if t.insecure {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("address %s: %w", address, ErrInsecure)
}
