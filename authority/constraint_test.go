package authority

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

// forge has the issuer of a host sign whatever fill asks for, as somebody would
// who has taken its key.
func forge(t *testing.T, i *Issuer, fill func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := template(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.URIs = []*url.URL{HostName("demo", i.Host()).url()}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	fill(c)
	leaf, err := create(c, i.cert, public, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return certificates(leaf, i.cert)
}

// MS-15: a stolen issuer is of use on its own host only.
func TestStolenIssuer(t *testing.T) {
	demo, err := New("demo", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h, err := demo.Host("b", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	named := func(n Name) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.URIs = []*url.URL{n.url()} }
	}
	raw := func(uri string) func(*x509.Certificate) {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *x509.Certificate) { c.URIs = []*url.URL{u} }
	}
	for name, c := range map[string]struct {
		fill func(*x509.Certificate)
		want error
	}{
		"its own host":          {func(*x509.Certificate) {}, nil},
		"another host":          {named(HostName("demo", "a")), ErrOtherHost},
		"a host below":          {named(HostName("demo", "a.b")), ErrOtherHost},
		"a host, upper case":    {named(HostName("demo", "B")), ErrOtherHost},
		"a proc elsewhere":      {named(ProcName("demo", id.Proc{Host: "a", Name: "p", UID: 1})), ErrOtherHost},
		"another fleet":         {named(HostName("other", "b")), ErrFleet},
		"a domain that differs": {raw("hyper://b.demo/a"), ErrName},
		"a domain below":        {raw("hyper://a.b.demo/a"), ErrName},
		"an escape":             {raw("hyper://b.demo/%61"), ErrName},
		"a port":                {raw("hyper://b.demo:1/b"), ErrName},
		"a user":                {raw("hyper://u@b.demo/b"), ErrName},
		"a query":               {raw("hyper://b.demo/b?x"), ErrName},
		"upper case":            {raw("hyper://B.demo/b"), ErrName},
		"no URI":                {func(c *x509.Certificate) { c.URIs = nil; c.Subject.CommonName = "hyper://b.demo/b" }, ErrName},
		"two URIs":              {func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }, ErrName},
		"a DNS name":            {func(c *x509.Certificate) { c.DNSNames = []string{"b.demo"} }, ErrName},
		"an email address":      {func(c *x509.Certificate) { c.EmailAddresses = []string{"a@b.demo"} }, ErrName},
		"for another use":       {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, ErrUntrusted},
		"an issuer": {func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		}, ErrUntrusted},
		"longer than the issuer": {func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := demo.trust.Verify(forge(t, h.Issuer, c.fill), time.Now())
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// The constraint in a host's issuer is one more wall: X.509 alone refuses, too.
func TestConstraintsHoldByThemselves(t *testing.T) {
	demo, err := New("demo", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{{"b", "a"}, {"b", "a.b"}, {"b", "B"}, {"B", "b"}, {"b", "b.b"}, {"a.b", "b"}, {"x--", "x--a"}, {"a_b", "b"}} {
		h, err := demo.Host(pair[0], time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range pair {
			chain := forge(t, h.Issuer, func(c *x509.Certificate) { c.URIs = []*url.URL{HostName("demo", host).url()} })
			between := x509.NewCertPool()
			between.AddCert(chain[1])
			if err := demo.trust.leads(chain[0], between, time.Now()); (err == nil) != (host == pair[0]) {
				t.Errorf("the issuer of %q certifies %q: %v", pair[0], host, err)
			}
		}
	}
	// The authority is confined to its fleet by its own certificate.
	cert, _, err := demo.leaf(HostName("other", "a"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.trust.leads(cert, x509.NewCertPool(), time.Now()); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("the authority of demo certifies a host of other: %v", err)
	}
}
