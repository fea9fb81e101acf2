package mtls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/id"
)

// refusal is somebody who is not taken, and what our error says.
type refusal struct {
	shown *authority.Credentials
	want  error
	text  string
}

// refusals are of a fleet "demo" in which the peer should be procA. Its clock is
// two hours further at the end.
func refusals(t *testing.T, demo *authority.Authority) map[string]refusal {
	alpha := newHost(t, demo, "alpha", time.Hour)
	gamma := newHost(t, demo, "gamma", 10*time.Hour)
	proc := newProc(t, newHost(t, demo, "alpha", 10*time.Hour), procA)
	<-time.After(2 * time.Hour)
	late := newHost(t, newAuthority(t, "demo"), "alpha", time.Hour)
	other := newHost(t, newAuthority(t, "other"), "alpha", time.Hour)
	longer, err := newHost(t, demo, "alpha", 10*time.Hour).Issuer.Proc(id.Proc{Host: "alpha", Name: "a", UID: 7}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]refusal{
		"wrong CA":        {&late.Credentials, authority.ErrUntrusted, "hyper://alpha.demo/alpha: "},
		"other fleet":     {&other.Credentials, authority.ErrFleet, "hyper://alpha.other/alpha, want fleet demo"},
		"expired":         {&alpha.Credentials, authority.ErrExpired, "hyper://alpha.demo/alpha: the certificate has expired, on 2000-01-01T01:00:00Z"},
		"expired proc":    {&proc, authority.ErrExpired, "/alpha/a~0000000000000001: "},
		"of another host": {&gamma.Credentials, authority.ErrAnother, "the peer says that it is alpha/a~0000000000000001, its certificate says hyper://gamma.demo/gamma"},
		"of another proc": {&longer, authority.ErrAnother, "its certificate says hyper://alpha.demo/alpha/a~0000000000000007"},
	}
}

// MS-15: whoever connects and is none of us gets nothing.
func TestStrangersWhoConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo := newAuthority(t, "demo")
		all := refusals(t, demo)
		all["no certificate"] = refusal{nil, nil, "didn't provide a certificate"}
		beta := newHost(t, demo, "beta", time.Hour)
		for name, r := range all {
			n, start := one(), time.Now()
			accepted, dialed := visit(t, n, beta.Credentials, "beta", procA, stranger(t, n, r.shown))
			checkRefused(t, name, r, accepted)
			if dialed == nil {
				t.Errorf("%s: it hears something", name)
			}
			if took := time.Since(start); took > helloTimeout {
				t.Errorf("%s: it took %v", name, took)
			}
		}
	})
}

func checkRefused(t *testing.T, name string, r refusal, err error) {
	t.Helper()
	if err == nil || r.want != nil && !errors.Is(err, r.want) || !strings.Contains(err.Error(), r.text) || !strings.Contains(err.Error(), "tls with ") {
		t.Errorf("%s: %v, want %v with %q and an address", name, err, r.want, r.text)
	}
}

// MS-15: whoever answers is checked just as well.
func TestStrangersWhoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo := newAuthority(t, "demo")
		all := refusals(t, demo)
		beta := newHost(t, demo, "beta", time.Hour)
		for name, r := range all {
			n := one()
			l, err := n.Listen(t.Context(), "alpha")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				raw, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer raw.Close()
				io.Copy(io.Discard, tls.Server(raw, tlsConfig(r.shown)))
			})
			conn, err := newTransport(t, n, beta.Credentials).Dial(t.Context(), "alpha")
			if err != nil {
				t.Fatal(err)
			}
			checkRefused(t, name, r, meet(t, conn, procA))
			conn.Close()
			wg.Wait()
			l.Close()
		}
	})
}

// MS-15: the clock of the peer that issued is ahead by more than is made up for.
func TestNotYetValid(t *testing.T) {
	for ahead, want := range map[time.Duration]error{4 * time.Minute: nil, 6 * time.Minute: authority.ErrNotYetValid} {
		var c authority.Credentials
		var a *authority.Authority
		synctest.Test(t, func(t *testing.T) {
			a = newAuthority(t, "demo")
			<-time.After(ahead)
			c = newHost(t, a, "alpha", time.Hour).Credentials
		})
		synctest.Test(t, func(t *testing.T) { // back at the beginning
			n := one()
			accepted, _ := visit(t, n, newHost(t, a, "beta", time.Hour).Credentials, "beta", procA, stranger(t, n, &c))
			if !errors.Is(accepted, want) {
				t.Errorf("issued %v ahead: %v, want %v", ahead, accepted, want)
			}
		})
	}
}

// MS-15: what does not speak TLS, or not TLS 1.3, or nothing at all.
func TestOtherProtocols(t *testing.T) {
	old := tlsConfig(nil)
	old.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]struct {
		say  func(t *testing.T, conn net.Conn)
		want string
		is   error
	}{
		"plain text": {func(t *testing.T, conn net.Conn) { conn.Write([]byte("GET / HTTP/1.1\r\nHost: beta\r\n\r\n")) }, "does not speak TLS", mtls.ErrNotTLS},
		"a hello":    {func(t *testing.T, conn net.Conn) { conn.Write([]byte{0, 0, 0, 30, 1, 1, 2, 3}) }, "does not speak TLS", mtls.ErrNotTLS},
		"TLS 1.2":    {func(t *testing.T, conn net.Conn) { tls.Client(conn, old).HandshakeContext(t.Context()) }, "unsupported versions", nil},
		"nothing":    {func(*testing.T, net.Conn) {}, errLate.Error(), errLate},
		"an end":     {func(t *testing.T, conn net.Conn) { conn.Close() }, "closed the connection during the handshake", io.ErrUnexpectedEOF},
		"half of it": {func(t *testing.T, conn net.Conn) { conn.Write([]byte{22, 3, 1, 2, 0, 1}) }, errLate.Error(), errLate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, start := one(), time.Now()
				beta := newHost(t, newAuthority(t, "demo"), "beta", time.Hour)
				accepted, dialed := visit(t, n, beta.Credentials, "beta", procA, func(address string) error {
					raw, err := n.Dial(t.Context(), address)
					if err != nil {
						t.Fatal(err)
					}
					defer raw.Close()
					c.say(t, raw)
					got, err := io.ReadAll(raw)
					if len(got) > 7 { // an alert
						t.Errorf("it hears %q", got)
					}
					return err
				})
				checkRefused(t, name, refusal{nil, c.is, c.want}, accepted)
				if took := time.Since(start); took > helloTimeout {
					t.Errorf("it took %v (%v)", took, dialed)
				}
			})
		})
	}
}

// recorder keeps what is written.
type recorder struct {
	net.Conn
	written bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.written.Write(b)
	return r.Conn.Write(b)
}

// MS-15: what a peer said once is of no use to who has heard it.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo, n := newAuthority(t, "demo"), one()
		alpha, beta := newHost(t, demo, "alpha", time.Hour), newHost(t, demo, "beta", time.Hour)
		var tape recorder
		accepted, dialed := visit(t, n, beta.Credentials, "beta", procA, func(address string) error {
			raw, err := n.Dial(t.Context(), address)
			if err != nil {
				return err
			}
			defer raw.Close()
			tape.Conn = raw
			conn := tls.Client(&tape, tlsConfig(&alpha.Credentials))
			if err := conn.HandshakeContext(t.Context()); err != nil {
				return err
			}
			conn.Write([]byte("please"))
			return hears(conn)
		})
		if accepted != nil || dialed != nil {
			t.Fatalf("the peer itself: %v and %v", accepted, dialed)
		}
		accepted, _ = visit(t, n, beta.Credentials, "beta", procA, func(address string) error {
			raw, err := n.Dial(t.Context(), address)
			if err != nil {
				return err
			}
			defer raw.Close()
			raw.Write(tape.written.Bytes())
			got, err := io.ReadAll(raw)
			if bytes.Contains(got, []byte("hello")) {
				t.Errorf("it hears %q", got)
			}
			return err
		})
		checkRefused(t, "replay", refusal{nil, nil, "bad record MAC"}, accepted)
	})
}

// MS-15: each connection proves anew who is there.
func TestNothingIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo, n := newAuthority(t, "demo"), one()
		alpha, beta := newHost(t, demo, "alpha", time.Hour), newHost(t, demo, "beta", time.Hour)
		cfg := tlsConfig(&alpha.Credentials)
		cfg.ServerName, cfg.ClientSessionCache = "beta", tls.NewLRUClientSessionCache(1)
		for range 2 {
			accepted, dialed := visit(t, n, beta.Credentials, "beta", procA, func(address string) error {
				raw, err := n.Dial(t.Context(), address)
				if err != nil {
					return err
				}
				defer raw.Close()
				conn := tls.Client(raw, cfg)
				if err := hears(conn); err != nil {
					return err
				}
				if conn.ConnectionState().DidResume {
					t.Error("a connection goes on with what another one has proven")
				}
				return nil
			})
			if _, ok := cfg.ClientSessionCache.Get("beta"); ok || accepted != nil || dialed != nil {
				t.Errorf("it got a ticket: %v; %v and %v", ok, accepted, dialed)
			}
		}
	})
}

// Who is refused is told so, and nothing else.
func TestWhoIsRefusedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, demo := one(), newAuthority(t, "demo")
		next := successor(t, demo)
		alpha := newHost(t, next, "alpha", time.Hour) // trusts both authorities, and is trusted by one
		_, dialed := visit(t, n, newHost(t, demo, "beta", time.Hour).Credentials, "beta", procA, func(address string) error {
			conn, err := newTransport(t, n, alpha.Credentials).Dial(t.Context(), address)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := meet(t, conn, procB); err != nil {
				t.Errorf("the one that dials: %v", err)
			}
			return hears(conn)
		})
		if !errors.Is(dialed, mtls.ErrRefused) || !strings.Contains(dialed.Error(), "bad certificate") || !strings.Contains(dialed.Error(), "tls with beta") {
			t.Errorf("got %v", dialed)
		}
	})
}

// successor returns a new authority that has its hosts trust the old one, too.
func successor(t *testing.T, old *authority.Authority) *authority.Authority {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	next := newAuthority(t, old.Fleet())
	if err := next.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), append(next.Trust().PEM(), old.Trust().PEM()...), 0o600); err != nil {
		t.Fatal(err)
	}
	both, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return both
}
