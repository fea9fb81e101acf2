package mtls_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
)

// traveller is an actor in a child process of a host alpha in this process. The
// host itself speaks no TLS and joins nobody.
type traveller struct {
	t   *testing.T
	rt  *hyperactor.Runtime
	ref actor.Ref[*visitor]
}

func newTraveller(t *testing.T, identity hyperactor.Identity) *traveller {
	t.Helper()
	rt, err := hyperactor.Start(t.Context(), hyperactor.Config{
		Host: "alpha", Types: visitorTypes(), NoLogs: true, Keeper: hyperactor.NoKeeper, Identity: identity, Log: slog.New(slog.DiscardHandler),
		Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := rt.Context(t.Context())
	h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := newVisitor.Spawn(ctx, h.ID(), "traveller", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	return &traveller{t, rt, ref}
}

// ctx returns one whose calls come from the host.
func (v *traveller) ctx() context.Context { return v.rt.Context(v.t.Context()) }

// issuing is the identity of a host's procs, and how many certificates they got.
type issuing struct {
	mtls.Procs
	issued atomic.Int64
}

func procsOf(t *testing.T, a *authority.Authority, host string) *issuing {
	return &issuing{Procs: mtls.Procs{Issuer: authority.IssuerFiles(saveHost(t, a, host)).Issuer}}
}

func (i *issuing) Issue(p id.Proc, public []byte) ([]byte, error) {
	i.issued.Add(1)
	return i.Procs.Issue(p, public)
}

// reaches requires that the traveller calls an actor in each of some procs.
func (v *traveller) reaches(procs ...id.Proc) {
	v.t.Helper()
	for _, p := range procs {
		if got, err := ask.Call(v.ctx(), v.ref, p); err != nil || got != p {
			v.t.Errorf("%v calls an actor of %v: %v, %v", v.ref, p, got, err)
		}
	}
}

// MS-15: a child process talks to another host, and to a child process of that,
// through a certificate of its own.
func TestRealProcsOfTheirOwn(t *testing.T) {
	demo := newAuthority(t, "demo")
	beta := startHost(t, demo, "beta", "tls:127.0.0.1:0")
	worker := beta.spawn()
	v := newTraveller(t, procsOf(t, demo, "alpha"))
	if _, err := ask.Call(v.ctx(), v.ref, worker); err == nil {
		t.Error("there was a way before")
	}
	for range 2 { // the second one finds it done
		if p, err := join.Call(v.ctx(), v.ref, beta.front); err != nil || p.Host != "beta" {
			t.Fatalf("join: %v, %v", p, err)
		}
	}
	v.reaches(beta.local, worker)
	if got, want := beta.ask("peers"), v.ref.ID().Proc.String(); !strings.Contains(got, want) || strings.Contains(got, "alpha/service") {
		t.Errorf("beta talks with %s, want %s of alpha", got, want)
	}
	addr, err := listenAt.Call(v.ctx(), v.ref, "tls:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gamma := newTraveller(t, procsOf(t, demo, "alpha"))
	if p, err := join.Call(gamma.ctx(), gamma.ref, addr); err != nil || p != v.ref.ID().Proc {
		t.Errorf("join of a proc: %v, %v", p, err)
	}
	gamma.reaches(v.ref.ID().Proc)
}

// The certificate of a proc is renewed while it is connected, and used when the
// connection has to be made again.
func TestRealProcsRenew(t *testing.T) {
	demo := newAuthority(t, "demo")
	beta := startHost(t, demo, "beta", "tls:127.0.0.1:0")
	p := newPipe(t, beta.front.Address())
	procs := procsOf(t, demo, "alpha")
	v := newTraveller(t, procs)
	if _, err := join.Call(v.ctx(), v.ref, p.addr); err != nil {
		t.Fatal(err)
	}
	v.reaches(beta.local)
	if _, err := wait.Call(v.ctx(), v.ref, 6*time.Minute); err != nil { // of ten
		t.Fatal(err)
	}
	v.reaches(beta.local)
	if n := procs.issued.Load(); n != 1 {
		t.Errorf("%d certificates for one connection", n)
	}
	p.cut()
	v.reaches(beta.local)
	if n, certs := p.accepted.Load(), procs.issued.Load(); n != 2 || certs != 2 {
		t.Errorf("%d connections with %d certificates, want a second one of each", n, certs)
	}
}

// MS-15: whoever does not have the certificate of a living proc is refused, and
// counted.
func TestRealProcsRefused(t *testing.T) {
	demo := newAuthority(t, "demo")
	proc := id.Proc{Host: "alpha", Name: "c", UID: 7}
	dir := saveHost(t, demo, "alpha")
	procs := mtls.Procs{Issuer: authority.IssuerFiles(dir).Issuer}
	if _, err := procs.Issue(procB, make([]byte, ed25519.PublicKeySize)); !errors.Is(err, authority.ErrOtherHost) {
		t.Errorf("alpha certifies a proc of beta: %v", err)
	}
	until := time.Now().Add(-time.Second).Truncate(time.Second)
	forged := forgeAs(t, dir, id.Proc{Host: "beta", Name: "c", UID: 7}, time.Now().Add(time.Hour))
	stolen := forgeAs(t, dir, proc, until)
	tcp := channel.System(channel.SystemConfig{})["tcp"]
	for name, c := range map[string]struct {
		want string // empty if it is taken
		come func(beta channel.Addr) error
	}{
		"itself": {"", func(beta channel.Addr) error { return joins(t, procs, proc, proc, beta) }},
		"as another proc": {"the peer says that it is alpha/other~0000000000000001, its certificate says hyper://alpha.demo/alpha/c~0000000000000007",
			func(beta channel.Addr) error {
				return joins(t, procs, proc, id.Proc{Host: "alpha", Name: "other", UID: 1}, beta)
			}},
		"by the issuer of another host": {"the certificate was issued by another host: hyper://alpha.demo/alpha",
			func(beta channel.Addr) error { return stranger(t, tcp, &forged)(beta.Address()) }},
		"after the life of the proc": {"the certificate has expired, on " + until.UTC().Format(time.RFC3339),
			func(beta channel.Addr) error { return stranger(t, tcp, &stolen)(beta.Address()) }},
	} {
		t.Run(name, func(t *testing.T) {
			beta := startHost(t, demo, "beta", "tls:127.0.0.1:0") // a new one: it logs one refusal a second
			if err := c.come(beta.front); (err == nil) != (c.want == "") {
				t.Errorf("got %v", err)
			}
			if c.want != "" {
				beta.refuses(1, c.want)
			}
		})
	}
}

// refuses waits until the host has logged why it refused somebody, and compares
// how many it has refused.
func (h *otherHost) refuses(n int, why string) {
	h.t.Helper()
	for late := time.After(30 * time.Second); !strings.Contains(h.log.String(), why); {
		select {
		case <-h.log.changed:
		case <-late:
			h.t.Fatalf("%q is not in the log", why)
		}
	}
	if got := h.ask("refused"); got != strconv.Itoa(n) {
		h.t.Errorf("%s were refused, want %d", got, n)
	}
}

// joins has a gateway that says that it is self join a host, with a certificate
// of p.
func joins(t *testing.T, procs mtls.Procs, p, self id.Proc, addr channel.Addr) error {
	t.Helper()
	gw := gateway.New(gateway.Config{Self: self, Transports: procs.Transports(p, func(_ context.Context, public []byte) ([]byte, error) {
		return procs.Issue(p, public)
	})})
	defer gw.Close(t.Context())
	_, err := gw.Join(t.Context(), addr)
	return err
}

// forgeAs returns a certificate that somebody makes who has taken the issuer of a
// host from its directory.
func forgeAs(t *testing.T, dir string, p id.Proc, until time.Time) authority.Credentials {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		return block.Bytes
	}
	issuer, err := x509.ParseCertificate(read("issuer.pem"))
	if err != nil {
		t.Fatal(err)
	}
	issuerKey, err := x509.ParsePKCS8PrivateKey(read("issuer-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(authority.ProcName("demo", p).String())
	if err != nil {
		t.Fatal(err)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: until, URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, issuer, public, issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority.Credentials{Chain: []*x509.Certificate{leaf, issuer}, Key: key}
}

// A program whose children could have certificates, on a host that issues none.
func TestRealProcsWithoutIssuer(t *testing.T) {
	v := newTraveller(t, nil)
	_, err := join.Call(v.ctx(), v.ref, "tls:127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "the host issues no certificates") {
		t.Errorf("got %v", err)
	}
}

// A host whose issuer cannot be used does not start, and one that loses it says
// why to its procs.
func TestRealProcsOfABadIssuer(t *testing.T) {
	dir := saveHost(t, newAuthority(t, "demo"), "alpha")
	v := newTraveller(t, mtls.Procs{Issuer: authority.IssuerFiles(dir).Issuer})
	if err := os.Remove(filepath.Join(dir, "issuer-key.pem")); err != nil {
		t.Fatal(err)
	}
	_, err := join.Call(v.ctx(), v.ref, "tls:127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "issuer-key.pem") {
		t.Errorf("got %v", err)
	}
	_, err = hyperactor.Start(t.Context(), hyperactor.Config{Identity: mtls.Procs{Issuer: authority.IssuerFiles(dir).Issuer}})
	if err == nil || !strings.Contains(err.Error(), "issuer-key.pem") {
		t.Errorf("start: %v", err)
	}
}

// MS-15: a host that has the certificate of another one does not start: it would
// be refused by everybody.
func TestRealHostWithTheCertificateOfAnother(t *testing.T) {
	dir := saveHost(t, newAuthority(t, "demo"), "alpha")
	cfg, err := hostConfig("zeta", dir)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := hyperactor.Start(t.Context(), cfg)
	if err == nil {
		rt.Close()
	}
	for _, want := range []string{`Config.Host is "zeta", for Config.Transports["tls"]: `, filepath.Join(dir, "cert.pem"), "it says hyper://alpha.demo/alpha, and we are zeta/service~"} {
		if !errors.Is(err, authority.ErrAnother) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
