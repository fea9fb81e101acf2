// Package grpcprobe asks the gRPC health service of a command whether it
// works. It is apart from package probe because it links gRPC and protobuf,
// which no child process needs.
package grpcprobe

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/hyperactor/hyperactor/host/probe"
)

// Check is a probe.Check that calls grpc.health.v1.Health/Check: SERVING is
// good. It keeps its connection as long as that answers; after a try without
// an answer the next one connects anew, so that it neither hears of an old
// failure nor waits out a pause between connects. Its methods may be called
// concurrently.
type Check struct {
	cfg Config

	mu     sync.Mutex       // guards the following
	conn   *grpc.ClientConn // nil: none yet, or the last one did not answer
	closed bool
}

// Config says what is asked.
type Config struct {
	Addr        string                           // host:port, unix:/path or unix-abstract:name
	Service     string                           // "" asks for the server as a whole
	Credentials credentials.TransportCredentials // nil: plain text
}

// New returns a Check. It connects at the first try.
func New(cfg Config) (*Check, error) {
	if cfg.Credentials == nil {
		cfg.Credentials = insecure.NewCredentials()
	}
	c := &Check{cfg: cfg}
	if _, err := c.connection(); err != nil {
		return nil, err
	}
	return c, nil
}

// Check asks once; see probe.Check.
func (c *Check) Check(ctx context.Context) error {
	conn, err := c.connection()
	if err != nil {
		return err
	}
	req := &grpc_health_v1.HealthCheckRequest{Service: c.cfg.Service}
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, req)
	if err != nil {
		return errors.Join(err, c.drop(conn))
	}
	if s := resp.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health is %v", s)
	}
	return nil
}

// Close hangs up. A Check that runs then fails, and so do later ones.
func (c *Check) Close() error {
	c.mu.Lock()
	conn := c.conn
	c.conn, c.closed = nil, true
	c.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn.Close()
}

func (c *Check) String() string { return probe.Spec{Kind: probe.KindGRPC, Arg: c.cfg.Addr}.String() }

// connection returns the connection, which need not be up.
func (c *Check) connection() (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("the probe is closed")
	}
	if c.conn == nil {
		conn, err := grpc.NewClient(c.cfg.Addr, grpc.WithTransportCredentials(c.cfg.Credentials),
			grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithUserAgent("hyperactor-probe"))
		if err != nil {
			return nil, fmt.Errorf("probe %q: %w; write grpc=HOST:PORT or grpc=unix:/path", c, err)
		}
		c.conn = conn
	}
	return c.conn, nil
}

// drop closes a connection that did not answer, unless another has taken its place.
func (c *Check) drop(conn *grpc.ClientConn) error {
	c.mu.Lock()
	current := c.conn == conn
	if current {
		c.conn = nil
	}
	c.mu.Unlock()
	if !current {
		return nil
	}
	return conn.Close()
}
