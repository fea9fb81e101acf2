package authority_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/id"
)

var worker = id.Proc{Host: "alpha", Name: "worker", UID: 0x4f2a91c03b7d55e1}

func newAuthority(t testing.TB, fleet string) *authority.Authority {
	t.Helper()
	a, err := authority.New(fleet, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newHost(t testing.TB, a *authority.Authority, host string) authority.Host {
	t.Helper()
	h, err := a.Host(host, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newProc has the host of p issue to p.
func newProc(t testing.TB, h authority.Host, p id.Proc) authority.Credentials {
	t.Helper()
	c, err := h.Issuer.Proc(p, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func chain(all ...*x509.Certificate) []*x509.Certificate { return all }

// authorityChain returns the certificate of the authority as if a peer showed it.
func authorityChain(t *testing.T, a *authority.Authority) []*x509.Certificate {
	t.Helper()
	p, _ := pem.Decode(a.Trust().PEM())
	c, err := x509.ParseCertificate(p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return chain(c)
}

// MS-15.
func TestWhoIsTaken(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha := newHost(t, demo, "alpha")
	c := newProc(t, alpha, worker)
	for name, shown := range map[authority.Name]authority.Credentials{
		authority.HostName("demo", "alpha"): alpha.Credentials,
		authority.ProcName("demo", worker):  c,
	} {
		got, err := demo.Trust().Verify(shown.Chain, time.Now())
		if err != nil || got != name || shown.Name != name {
			t.Errorf("%v: got %v, %v", name, got, err)
		}
	}
}

// MS-15.
func TestWhoIsRefused(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha, beta := newHost(t, demo, "alpha"), newHost(t, demo, "beta")
	impostor := newAuthority(t, "demo")
	proc := newProc(t, alpha, worker)
	root := newHost(t, newAuthority(t, "other"), "alpha")
	now := time.Now()
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		at    time.Time
		want  error
		text  string
	}{
		"nothing":           {nil, now, authority.ErrNone, ""},
		"the wrong CA":      {newHost(t, impostor, "alpha").Credentials.Chain, now, authority.ErrUntrusted, "hyper://alpha.demo/alpha"},
		"another fleet":     {root.Credentials.Chain, now, authority.ErrFleet, "hyper://alpha.other/alpha, want fleet demo"},
		"expired":           {alpha.Credentials.Chain, now.Add(61 * time.Minute), authority.ErrExpired, "on 20"},
		"a proc, expired":   {proc.Chain, now.Add(61 * time.Minute), authority.ErrExpired, "worker~4f2a91c03b7d55e1"},
		"not yet valid":     {alpha.Credentials.Chain, now.Add(-6 * time.Minute), authority.ErrNotYetValid, "is a clock wrong?"},
		"without issuer":    {proc.Chain[:1], now, authority.ErrUntrusted, "unknown authority"},
		"another's issuer":  {chain(proc.Chain[0], newProc(t, beta, id.Proc{Host: "beta", Name: "b", UID: 1}).Chain[1]), now, authority.ErrOtherHost, "hyper://beta.demo/beta"},
		"an issuer":         {proc.Chain[1:], now, authority.ErrUntrusted, "issuer"},
		"too many":          {chain(proc.Chain[0], proc.Chain[1], proc.Chain[1]), now, authority.ErrUntrusted, "3 certificates"},
		"the authority":     {authorityChain(t, demo), now, authority.ErrName, "want hyper://"},
		"two of its peers":  {chain(alpha.Credentials.Chain[0], beta.Credentials.Chain[0]), now, authority.ErrOtherHost, "beta"},
		"a proc in between": {chain(proc.Chain[0], proc.Chain[0]), now, authority.ErrOtherHost, "worker"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := demo.Trust().Verify(c.chain, c.at)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || got != (authority.Name{}) {
				t.Errorf("got %v, %v; want %v with %q", got, err, c.want, c.text)
			}
		})
	}
}

// MS-15: the authority itself ends.
func TestAuthorityExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo := newAuthority(t, "demo")
		h, err := demo.Host("alpha", 1000*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, until := h.Credentials.Valid(); !until.Equal(demo.Until()) || !h.Issuer.Until().Equal(demo.Until()) {
			t.Errorf("valid until %v and %v, the authority until %v", until, h.Issuer.Until(), demo.Until())
		}
		c, err := h.Issuer.Proc(worker, 1000*time.Hour)
		if _, until := c.Valid(); err != nil || !until.Equal(demo.Until()) {
			t.Errorf("a proc: valid until %v, %v", until, err)
		}
		<-time.After(25 * time.Hour)
		if _, err := demo.Host("alpha", time.Hour); !errors.Is(err, authority.ErrExpired) {
			t.Errorf("it goes on to issue: %v", err)
		}
		if _, err := h.Issuer.Proc(worker, time.Hour); !errors.Is(err, authority.ErrExpired) {
			t.Errorf("its host goes on to issue: %v", err)
		}
	})
}

// MS-15: a host speaks for its own procs and for no others.
func TestIssuerIssuesToItsOwnProcs(t *testing.T) {
	alpha := newHost(t, newAuthority(t, "demo"), "alpha")
	for name, p := range map[string]id.Proc{
		"of another host":  {Host: "beta", Name: "worker", UID: 1},
		"without a name":   {Host: "alpha"},
		"without a uid":    {Host: "alpha", Name: "worker"},
		"with a bad name":  {Host: "alpha", Name: "a/b", UID: 1},
		"of a longer host": {Host: "x.alpha", Name: "worker", UID: 1},
	} {
		if c, err := alpha.Issuer.Proc(p, time.Hour); err == nil {
			t.Errorf("%s: %v", name, c.Name)
		}
	}
	if _, err := alpha.Issuer.Proc(worker, 0); err == nil || !strings.Contains(err.Error(), "1s or more") {
		t.Errorf("valid for no time: %v", err)
	}
}

func TestBadFleets(t *testing.T) {
	for _, fleet := range []string{"", "Demo", "a.b", "-a", "a-", "a_b", "é", strings.Repeat("x", 64)} {
		if _, err := authority.New(fleet, time.Hour); err == nil || !strings.Contains(err.Error(), "lower-case") {
			t.Errorf("New(%q): %v", fleet, err)
		}
	}
	if _, err := authority.New("demo", 0); err == nil {
		t.Error("an authority for no time")
	}
	if _, err := newAuthority(t, "demo").Host("a/b", time.Hour); !errors.Is(err, id.ErrSyntax) {
		t.Errorf("a bad host: %v", err)
	}
}

// A host certifies the key of a proc, which stays with the proc.
func TestGrant(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha := newHost(t, demo, "alpha")
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := alpha.Issuer.Grant(worker, public, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := authority.Granted(key, grant)
	if err != nil || c.Name != authority.ProcName("demo", worker) || c.Trust.Fleet() != "demo" {
		t.Fatalf("got %v, %v", c.Name, err)
	}
	if name, err := demo.Trust().Verify(c.Chain, time.Now()); err != nil || name != c.Name {
		t.Errorf("at a peer: %v, %v", name, err)
	}
	if bytes.Contains(grant, []byte("PRIVATE")) {
		t.Error("there is a private key in what is no secret")
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Granted(other, grant); err == nil || !strings.Contains(err.Error(), "not that of the certificate") {
		t.Errorf("for another key: %v", err)
	}
	if _, err := authority.Granted(key, demo.Trust().PEM()); err == nil || !strings.Contains(err.Error(), "3 or more") {
		t.Errorf("too few certificates: %v", err)
	}
	for cut := range len(grant) - 1 {
		if _, err := authority.Granted(key, grant[:cut]); err == nil {
			t.Fatalf("%d of %d bytes are enough", cut, len(grant))
		}
	}
	beta := id.Proc{Host: "beta", Name: "worker", UID: 1}
	if _, err := alpha.Issuer.Grant(beta, public, time.Hour); !errors.Is(err, authority.ErrOtherHost) {
		t.Errorf("to a proc of another host: %v", err)
	}
	if _, err := alpha.Issuer.Grant(worker, public[1:], time.Hour); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("half a key: %v", err)
	}
}

// A host hands a proc its credentials as bytes.
func TestCredentialsTravel(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha := newHost(t, demo, "alpha")
	for _, c := range []authority.Credentials{alpha.Credentials, newProc(t, alpha, worker)} {
		b, err := c.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got authority.Credentials
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if got.Name != c.Name || len(got.Chain) != len(c.Chain) || got.Check(time.Now()) != nil {
			t.Errorf("got %v, want %v", got.Name, c.Name)
		}
		for cut := range len(b) {
			if err := got.UnmarshalBinary(b[:cut]); err == nil && cut < len(b)-1 { // but for the last line feed
				t.Fatalf("%d of %d bytes are enough", cut, len(b))
			}
		}
	}
}
