package channel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// ErrInsecure is wrapped by the refusal to use tcp beyond loopback (MS-15).
var ErrInsecure = errors.New("tcp beyond this machine is neither private nor authenticated; set Insecure to allow it")

// tcpTransport is TCP with TCP_NODELAY, whose connections the kernel gives up
// when the peer answers nothing for a while, also those that nobody watches
// with heartbeats (MS-11).
type tcpTransport struct{ insecure bool }

const (
	tcpIdle        = 12 * defaultSuspect // without a byte, before the kernel asks the peer
	tcpUserTimeout = 2 * defaultSuspect  // without an answer, before it gives up
)

func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: tcpIdle, Interval: defaultSuspect, Count: 3}
}

func tcpControl(_, _ string, c syscall.RawConn) error { return setUserTimeout(c, tcpUserTimeout) }

func (t tcpTransport) Dial(ctx context.Context, address string) (net.Conn, error) {
	if err := t.check(address); err != nil {
		return nil, err
	}
	d := net.Dialer{KeepAliveConfig: keepAlive(), Control: tcpControl}
	return d.DialContext(ctx, "tcp", address)
}

func (t tcpTransport) Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := t.check(address); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive(), Control: tcpControl}
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
