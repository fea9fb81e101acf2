package authority

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"time"
)

// backdated is how much earlier than it is issued a certificate becomes valid,
// so that a peer whose clock is behind takes it.
const backdated = 5 * time.Minute

// minValid is the shortest life of a certificate. X.509 counts in seconds.
const minValid = time.Second

// signer is who issues: a fleet's authority, or a host.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// String returns what the certificate says.
func (s signer) String() string {
	if s.cert == nil {
		return ErrNone.Error()
	}
	i, err := inspect(s.cert)
	if err != nil {
		return err.Error()
	}
	return i.Kind + " " + i.Name
}

// Format writes String, whatever the verb is: never the key.
func (s signer) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue has a log say String.
func (s signer) LogValue() slog.Value { return slog.StringValue(s.String()) }

// selfSigned returns the certificate of a new authority.
func selfSigned(fleet string, valid time.Duration) (signer, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return signer{}, err
	}
	t, err := template(valid)
	if err != nil {
		return signer{}, err
	}
	t.Subject = subject(fleet, "")
	t.URIs = []*url.URL{{Scheme: "hyper", Host: fleet, Path: "/"}}
	t.IsCA, t.MaxPathLen, t.KeyUsage = true, 1, x509.KeyUsageCertSign
	t.PermittedURIDomains, t.PermittedDNSDomainsCritical = []string{"." + fleet}, true
	cert, err := create(t, t, public, key)
	return signer{cert, key}, err
}

// leaf returns a new key and the certificate of name for it.
func (s signer) leaf(name Name, valid time.Duration) (*x509.Certificate, crypto.Signer, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	cert, err := s.certify(name, public, valid)
	return cert, key, err
}

// certify returns the certificate of name for a public key.
func (s signer) certify(name Name, public ed25519.PublicKey, valid time.Duration) (*x509.Certificate, error) {
	return s.issue(public, valid, func(t *x509.Certificate) {
		t.URIs = []*url.URL{name.url()}
		t.KeyUsage = x509.KeyUsageDigitalSignature
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	})
}

// host returns a new key and the certificate with which a host issues those of
// its procs.
func (s signer) host(name Name, valid time.Duration) (*x509.Certificate, crypto.Signer, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	cert, err := s.issue(public, valid, func(t *x509.Certificate) {
		t.Subject = subject(name.Fleet, name.Host)
		t.URIs = []*url.URL{name.url()}
		t.KeyUsage = x509.KeyUsageCertSign
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		t.IsCA, t.MaxPathLenZero = true, true
		t.PermittedURIDomains, t.PermittedDNSDomainsCritical = []string{name.domain()}, true
	})
	return cert, key, err
}

func (s signer) issue(public ed25519.PublicKey, valid time.Duration, fill func(*x509.Certificate)) (*x509.Certificate, error) {
	t, err := template(valid)
	if err != nil {
		return nil, err
	}
	if err := checkTime(s.cert, time.Now()); err != nil {
		return nil, fmt.Errorf("the issuer's own: %w", err)
	}
	if t.NotAfter.After(s.cert.NotAfter) {
		t.NotAfter = s.cert.NotAfter // nobody would take it for longer
	}
	fill(t)
	return create(t, s.cert, public, s.key)
}

// template is what all certificates have.
func template(valid time.Duration) (*x509.Certificate, error) {
	if valid < minValid {
		return nil, fmt.Errorf("a certificate that is valid for %v: choose %v or more", valid, minValid)
	}
	serial := make([]byte, 16)
	rand.Read(serial) // never fails: crypto/rand.Read
	serial[0] |= 0x80 // so that it is never 0, and always as long
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), BasicConstraintsValid: true,
		NotBefore: now.Add(-backdated), NotAfter: now.Add(valid),
	}, nil
}

// subject is for people who look at a certificate with other tools, and for
// X.509, in which an issuer is found by it. We decide nothing by it.
func subject(fleet, host string) pkix.Name {
	n := pkix.Name{Organization: []string{"hyper fleet " + fleet}}
	if host != "" {
		n.OrganizationalUnit = []string{"host " + host}
	}
	return n
}

func create(t, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
