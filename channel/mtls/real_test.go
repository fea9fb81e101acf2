package mtls_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
)

// onDisk returns a transport of credentials in files, and their directory.
func onDisk(t *testing.T, a *authority.Authority, host string, log io.Writer) (*mtls.Transport, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), host)
	if err := newHost(t, a, host, time.Hour).Save(dir); err != nil {
		t.Fatal(err)
	}
	tr, err := mtls.New(mtls.Config{Files: authority.HostFiles(dir), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return tr, dir
}

func listen(t testing.TB, tr channel.Transport) net.Listener {
	t.Helper()
	l, err := tr.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// MS-15: certificates in files are replaced while connections are up.
func TestRealRotation(t *testing.T) {
	demo := newAuthority(t, "demo")
	var log bytes.Buffer
	alpha, dir := onDisk(t, demo, "alpha", &log)
	beta, _ := onDisk(t, demo, "beta", io.Discard)
	l := listen(t, alpha)
	old, far := pair(t, l, beta, l.Addr().String(), procB, procA)
	h := newHost(t, demo, "alpha", 2*time.Hour)
	if err := h.Save(dir); err != nil {
		t.Fatal(err)
	}
	near, _ := pair(t, l, beta, l.Addr().String(), procB, procA)
	shown := near.(*mtls.Conn).ConnectionState().PeerCertificates[0]
	if !shown.Equal(h.Credentials.Chain[0]) || !strings.Contains(log.String(), "was replaced") {
		t.Errorf("it shows the certificate until %v: %s", shown.NotAfter, &log)
	}
	if shown := old.(*mtls.Conn).ConnectionState().PeerCertificates[0]; shown.Equal(h.Credentials.Chain[0]) {
		t.Error("the connection from before shows the new certificate")
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := hears(old); err != nil {
		t.Errorf("the connection from before: %v", err)
	}
}

func TestRealConfig(t *testing.T) {
	demo := newAuthority(t, "demo")
	c := newHost(t, demo, "alpha", time.Hour).Credentials
	ask := func() (authority.Credentials, error) { return c, nil }
	for name, cfg := range map[string]mtls.Config{
		"nothing":  {},
		"both":     {Files: authority.HostFiles("x"), Credentials: ask},
		"no files": {Files: authority.HostFiles(t.TempDir())},
	} {
		if tr, err := mtls.New(cfg); err == nil || tr != nil || !strings.Contains(err.Error(), "mtls: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// MS-15: strangers over real sockets, all of them at a listener that serves its
// own meanwhile.
func TestRealStrangers(t *testing.T) {
	demo := newAuthority(t, "demo")
	beta := newTransport(t, nil, newHost(t, demo, "beta", time.Hour).Credentials)
	l := listen(t, beta)
	tcp := channel.System(channel.SystemConfig{})["tcp"]
	impostor := newHost(t, newAuthority(t, "demo"), "alpha", time.Hour).Credentials
	gamma := newHost(t, demo, "gamma", time.Hour).Credentials
	refused := make(chan error)
	for name, c := range map[string]struct {
		dial func(string) error
		want string
	}{
		"wrong CA":       {stranger(t, tcp, &impostor), "does not come from the fleet's authority"},
		"another host":   {stranger(t, tcp, &gamma), "its certificate says hyper://gamma.demo/gamma"},
		"no certificate": {stranger(t, tcp, nil), "didn't provide a certificate"},
		"plain text": {func(address string) error {
			raw, err := tcp.Dial(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			raw.Write([]byte("hello, is anybody there?"))
			_, err = io.ReadAll(raw)
			return cmp.Or(err, io.EOF)
		}, "does not speak TLS"},
	} {
		var wg sync.WaitGroup
		wg.Go(func() {
			conn, err := l.Accept()
			if err != nil {
				refused <- err
				return
			}
			defer conn.Close()
			refused <- meet(t, conn, procA)
		})
		wg.Go(func() {
			if err := c.dial(l.Addr().String()); err == nil {
				t.Errorf("%s: it hears something", name)
			}
		})
		if err := <-refused; err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tls with 127.0.0.1:") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		wg.Wait()
	}
	alpha := newTransport(t, nil, newHost(t, demo, "alpha", time.Hour).Credentials)
	pair(t, l, alpha, l.Addr().String(), procA, procB)
}

// MS-15: one of us at a port where TLS is not spoken.
func TestRealTLSOnThePlainPort(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha := newTransport(t, nil, newHost(t, demo, "alpha", time.Hour).Credentials)
	l := listen(t, channel.System(channel.SystemConfig{})["tcp"])
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.Write([]byte("220 ready\r\n"))
		io.Copy(io.Discard, conn)
	})
	conn, err := alpha.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	err = meet(t, conn, procB)
	if !errors.Is(err, mtls.ErrNotTLS) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
	conn.Close()
	wg.Wait()
}

// The error on our side does not wait for a peer that says nothing.
func TestRealCancelledHandshake(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha := newTransport(t, nil, newHost(t, demo, "alpha", time.Hour).Credentials)
	l := listen(t, channel.System(channel.SystemConfig{})["tcp"])
	conn, err := alpha.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errLate)
	if err := conn.(*mtls.Conn).HandshakeContext(ctx); !errors.Is(err, errLate) {
		t.Errorf("got %v", err)
	}
}

// The other side learns that its peer has said all, as over plain TCP.
func TestRealCloseWrite(t *testing.T) {
	demo := newAuthority(t, "demo")
	beta := newTransport(t, nil, newHost(t, demo, "beta", time.Hour).Credentials)
	alpha := newTransport(t, nil, newHost(t, demo, "alpha", time.Hour).Credentials)
	l := listen(t, beta)
	near, far := pair(t, l, alpha, l.Addr().String(), procA, procB)
	near.Write([]byte("all"))
	if err := near.(*mtls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "all" {
		t.Errorf("got %q, %v", got, err)
	}
	far.Write([]byte("answer"))
	got := make([]byte, 6)
	if _, err := io.ReadFull(near, got); err != nil || string(got) != "answer" {
		t.Errorf("the other direction: %q, %v", got, err)
	}
	far.Close()
	if _, err := near.Read(got); err != io.ErrUnexpectedEOF {
		t.Errorf("a peer that breaks off: %v", err)
	}
	if v := near.(*mtls.Conn).ConnectionState(); v.Version != tls.VersionTLS13 || v.DidResume {
		t.Errorf("version %x, resumed %v", v.Version, v.DidResume)
	}
}
