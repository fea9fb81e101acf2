package mtls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
)

var (
	procA = id.Proc{Host: "alpha", Name: "a", UID: 1}
	procB = id.Proc{Host: "beta", Name: "b", UID: 2}
)

const helloTimeout = 5 * time.Second

func newAuthority(t testing.TB, fleet string) *authority.Authority {
	t.Helper()
	a, err := authority.New(fleet, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newHost(t testing.TB, a *authority.Authority, host string, valid time.Duration) authority.Host {
	t.Helper()
	h, err := a.Host(host, valid)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newProc(t testing.TB, h authority.Host, p id.Proc) authority.Credentials {
	t.Helper()
	c, err := h.Issuer.Proc(p, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newTransport(t testing.TB, under channel.Transport, c authority.Credentials) *mtls.Transport {
	t.Helper()
	tr, err := mtls.New(mtls.Config{Credentials: func() (authority.Credentials, error) { return c, nil }, Under: under})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// meet shakes hands as the handshake of a session does, with a peer that says
// that it is p.
func meet(t testing.TB, conn net.Conn, p id.Proc) error {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), helloTimeout, errLate)
	defer cancel()
	c := conn.(*mtls.Conn)
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	return c.VerifyPeer(p)
}

var errLate = errors.New("the peer did not say hello in time")

// visit has dial connect to a host called beta that believes it talks to p, and
// returns what the host thinks of it.
func visit(t *testing.T, under channel.Transport, beta authority.Credentials, address string, p id.Proc, dial func(address string) error) (accepted, dialed error) {
	t.Helper()
	l, err := newTransport(t, under, beta).Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if accepted = meet(t, conn, p); accepted == nil {
			conn.Write([]byte("hello"))
			io.Copy(io.Discard, conn)
		}
	})
	dialed = dial(l.Addr().String())
	wg.Wait()
	return accepted, dialed
}

// stranger connects with whatever certificate, and returns an error if it is
// told nothing. What the peer shows it takes.
func stranger(t *testing.T, under channel.Transport, c *authority.Credentials) func(string) error {
	return func(address string) error {
		raw, err := under.Dial(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		conn := tls.Client(raw, tlsConfig(c))
		if err := conn.HandshakeContext(t.Context()); err != nil {
			return err
		}
		return hears(conn)
	}
}

func tlsConfig(c *authority.Credentials) *tls.Config {
	cfg := &tls.Config{InsecureSkipVerify: true}
	if c != nil {
		own := tls.Certificate{PrivateKey: c.Key}
		for _, cert := range c.Chain {
			own.Certificate = append(own.Certificate, cert.Raw)
		}
		cfg.Certificates = []tls.Certificate{own}
	}
	return cfg
}

// hears returns nil if the peer says something.
func hears(conn net.Conn) error {
	_, err := conn.Read(make([]byte, 1))
	return err
}

// one connects to a network on which nothing else happens.
func one() *memnet.Network { return memnet.New() }

// MS-15.
func TestPeersOfOneFleetMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo := newAuthority(t, "demo")
		alpha, beta := newHost(t, demo, "alpha", time.Hour), newHost(t, demo, "beta", time.Hour)
		for _, c := range []authority.Credentials{alpha.Credentials, newProc(t, alpha, procA)} {
			n := one()
			accepted, dialed := visit(t, n, beta.Credentials, "beta", procA, func(address string) error {
				conn, err := newTransport(t, n, c).Dial(t.Context(), address)
				if err != nil {
					return err
				}
				defer conn.Close()
				if err := meet(t, conn, procB); err != nil {
					return err
				}
				return hears(conn)
			})
			if accepted != nil || dialed != nil {
				t.Errorf("%v: %v and %v", c.Name, accepted, dialed)
			}
		}
	})
}

// Replaced credentials are those of the next handshake; a connection that is up
// stays up, whatever becomes of its certificates.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo, n := newAuthority(t, "demo"), one()
		current := newHost(t, demo, "alpha", time.Hour).Credentials
		var log bytes.Buffer
		tr, err := mtls.New(mtls.Config{
			Credentials: func() (authority.Credentials, error) { return current, nil },
			Under:       n, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		l, err := tr.Listen(t.Context(), "alpha")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		beta := newTransport(t, n, newHost(t, demo, "beta", 100*time.Hour).Credentials)
		near, far := pair(t, l, beta, "alpha", procB, procA)
		<-time.After(38 * time.Minute)
		pair(t, l, beta, "alpha", procB, procA)
		if log.Len() > 0 {
			t.Errorf("a warning too early: %s", &log)
		}
		<-time.After(6 * time.Minute)
		pair(t, l, beta, "alpha", procB, procA)
		pair(t, l, beta, "alpha", procB, procA)
		if got := log.String(); strings.Count(got, "expires soon") != 1 || !strings.Contains(got, "left=16m0s") {
			t.Errorf("want one warning: %s", got)
		}
		<-time.After(17 * time.Minute)
		if _, err := tr.Dial(t.Context(), "beta"); !errors.Is(err, authority.ErrExpired) || !strings.Contains(err.Error(), "2000-01-01T01:00:00Z") {
			t.Errorf("dialing with an expired certificate: %v", err)
		}
		if err := accepts(t, l, beta); !errors.Is(err, authority.ErrExpired) || !strings.Contains(err.Error(), "our own credentials") {
			t.Errorf("accepting with an expired certificate: %v", err)
		}
		current = newHost(t, demo, "alpha", time.Hour).Credentials
		pair(t, l, beta, "alpha", procB, procA)
		near.Write([]byte("x"))
		if err := hears(far); err != nil {
			t.Errorf("a connection from before: %v", err)
		}
	})
}

// accepts returns what the side that listens says of a peer that dials it.
func accepts(t *testing.T, l net.Listener, dialer channel.Transport) error {
	t.Helper()
	near, err := dialer.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer near.Close()
	wg.Go(func() { near.(*mtls.Conn).HandshakeContext(t.Context()) })
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	return meet(t, far, procB)
}

// pair connects both ends, which are then closed at the end of the test.
func pair(t testing.TB, l net.Listener, dialer channel.Transport, address string, p, q id.Proc) (near, far net.Conn) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if far, err = l.Accept(); err == nil {
			err = meet(t, far, p)
		}
		if err != nil {
			t.Error(err)
		}
	})
	near, err := dialer.Dial(t.Context(), address)
	if err == nil {
		err = meet(t, near, q)
	}
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}
