package probe

import (
	"context"
	"net"
)

// TCP is a Check that connects to Addr, "host:port", and hangs up. Without a
// host it asks this machine.
type TCP struct{ Addr string }

// Check connects; see the interface Check.
func (c TCP) Check(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (c TCP) String() string { return Spec{KindTCP, c.Addr}.String() }
