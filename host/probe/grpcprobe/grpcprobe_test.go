package grpcprobe

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/hyperactor/hyperactor/host/probe"
)

// server is a gRPC server with a health service.
type server struct {
	*health.Server
	grpc     *grpc.Server
	accepted *accepts
}

// accepts is a listener that counts.
type accepts struct {
	net.Listener
	n atomic.Int32
}

func (a *accepts) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err == nil {
		a.n.Add(1)
	}
	return c, err
}

func serve(t *testing.T, network, addr string) *server {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{health.NewServer(), grpc.NewServer(), &accepts{Listener: l}}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.Server)
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.accepted) }()
	t.Cleanup(func() {
		s.grpc.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func newCheck(t *testing.T, cfg Config) *Check {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestRealHealth(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0")
	addr := s.accepted.Addr().String()
	whole, one := newCheck(t, Config{Addr: addr}), newCheck(t, Config{Addr: addr, Service: "db"})
	if err := whole.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := one.Check(t.Context()); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
	s.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_SERVING)
	if err := one.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s.Shutdown()
	for range 3 {
		if err := whole.Check(t.Context()); err == nil || err.Error() != "health is NOT_SERVING" {
			t.Errorf("got %v", err)
		}
	}
	if n := s.accepted.n.Load(); n != 1+2 {
		t.Errorf("%d connections, want one each, and one more after the error", n)
	}
	if whole.String() != "grpc="+addr {
		t.Errorf("got %v", whole)
	}
}

// TestRealRestart has a server that comes and goes: the next try sees it.
func TestRealRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c := newCheck(t, Config{Addr: "unix:" + path})
	for i := range 5 { // it may have noticed the end of the last one or not
		if err := c.Check(t.Context()); status.Code(err) != codes.Unavailable || i == 0 && !strings.Contains(err.Error(), "no such file") {
			t.Errorf("got %v", err)
		}
		s := serve(t, "unix", path)
		for range 3 {
			if err := c.Check(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := s.accepted.n.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		s.grpc.Stop()
	}
}

// TestRealHang asks somebody who accepts connections and says nothing.
func TestRealHang(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCheck(t, Config{Addr: l.Addr().String()})
	err = probe.Asked{Check: c, Config: probe.Config{Interval: time.Millisecond, Timeout: 50 * time.Millisecond}}.AwaitFailure(t.Context())
	if _, ok := errors.AsType[*probe.FailedError](err); !ok || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("got %v", err)
	}
}

func TestRealClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCheck(t, Config{Addr: l.Addr().String()})
	asked := make(chan error, 1)
	go func() { asked <- c.Check(context.Background()) }()
	if conn, err := l.Accept(); err == nil {
		defer conn.Close()
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-asked; err == nil {
		t.Error("a check went well on a closed connection")
	}
	if err := c.Check(t.Context()); err == nil || err.Error() != "the probe is closed" {
		t.Errorf("got %v", err)
	}
}

func TestRealNew(t *testing.T) {
	if _, err := New(Config{Addr: "%zz"}); err == nil || !strings.Contains(err.Error(), "write grpc=HOST:PORT") {
		t.Errorf("got %v", err)
	}
}
