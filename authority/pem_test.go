package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"
)

func TestBadPEM(t *testing.T) {
	demo, err := New("demo", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert := demo.trust.PEM()
	key, err := appendKey(nil, demo.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":         {nil, "no certificate"},
		"text":            {[]byte("hello"), "no certificate"},
		"cut short":       {cert[:len(cert)/2], "cut short"},
		"the second cut":  {append(bytes.Clone(cert), cert[:40]...), "cut short"},
		"a key":           {key, `"PRIVATE KEY"`},
		"a broken one":    {bytes.Replace(cert, cert[100:140], cert[140:180], 1), "not PEM"},
		"without an end":  {[]byte("-----BEGIN CERTIFICATE-----\n"), "cut short"},
		"far too much":    {make([]byte, maxPEM+1), "at most 65536"},
		"an empty block":  {[]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "x509: "},
		"a key behind it": {append(bytes.Clone(cert), key...), "want only"},
	} {
		if _, err := parseCertificates(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if all, err := parseCertificates(append([]byte("Certificate of demo\n"), cert...)); err != nil || len(all) != 1 {
		t.Errorf("text before it: %d certificates, %v", len(all), err)
	}
	if _, err := parseKey(cert); err == nil {
		t.Error("a certificate is a key")
	}
	if _, err := parseKey(key[:len(key)/2]); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("half a key: %v", err)
	}
}

// A host may bring a key of P-256, which lives in more hardware than Ed25519.
func TestKeyOfP256(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := appendKey(nil, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseKey(b)
	if err != nil || !key.PublicKey.Equal(got.Public()) {
		t.Errorf("got %v", err)
	}
}

func TestOtherKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := appendKey(nil, p384)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKey(key); err == nil || !strings.Contains(err.Error(), "P-384, want Ed25519 or P-256") {
		t.Errorf("got %v", err)
	}
}

// While one authority replaces another, hosts trust both.
func TestTwoAuthorities(t *testing.T) {
	var certs, keys [][]byte
	for range 2 {
		a, err := New("demo", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		key, err := appendKey(nil, a.key)
		if err != nil {
			t.Fatal(err)
		}
		certs, keys = append(certs, a.trust.PEM()), append(keys, key)
	}
	both := append(bytes.Clone(certs[0]), certs[1]...)
	for i := range keys {
		alone, err := Parse(certs[i], keys[i])
		if err != nil {
			t.Fatal(err)
		}
		a, err := Parse(both, keys[i])
		if err != nil {
			t.Fatal(err)
		}
		h, err := a.Host("alpha", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alone.trust.Verify(h.Credentials.Chain, time.Now()); err != nil {
			t.Errorf("who trusts authority %d alone: %v", i, err)
		}
		if _, err := h.Credentials.Trust.Verify(h.Credentials.Chain, time.Now()); err != nil || len(h.Credentials.Trust.roots) != 2 {
			t.Errorf("who trusts both: %v", err)
		}
		if _, err := Parse(certs[1-i], keys[i]); err == nil {
			t.Error("an authority with the key of the other one")
		}
	}
	other, err := New("other", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseTrust(append(both, other.trust.PEM()...)); err == nil || !strings.Contains(err.Error(), "keep them apart") {
		t.Errorf("authorities of two fleets: %v", err)
	}
}

// The credentials in testdata are those of a proc of a fleet that is long gone.
func FuzzCredentials(f *testing.F) {
	b, err := os.ReadFile("testdata/proc.pem")
	if err != nil {
		f.Fatal(err)
	}
	var c Credentials
	if err := c.UnmarshalBinary(b); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(appendCertificates(appendCertificates(nil, c.Chain), c.Trust.roots))
	f.Add(b[:len(b)/2])
	f.Add(bytes.ReplaceAll(b, []byte("CERTIFICATE"), []byte("CERT")))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var read Credentials
		if read.UnmarshalBinary(b) == nil {
			if again, err := read.MarshalBinary(); err != nil || read.UnmarshalBinary(again) != nil {
				t.Errorf("what was read does not come back: %v", err)
			}
		}
		if granted, err := Granted(c.Key, b); err == nil && len(granted.Chain) != maxChain {
			t.Errorf("granted a chain of %d", len(granted.Chain))
		}
		parseCertificates(b)
		parseKey(b)
		Inspect(b)
	})
}
