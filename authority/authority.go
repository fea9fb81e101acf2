// Package authority says who belongs to a fleet: it makes the certificates of
// its hosts and procs, and checks them.
//
// A fleet has one authority, a key that stays where its operator keeps it. From
// it each host has two certificates: one that shows who the host is, and one
// that lets the host issue certificates to the procs that it spawns, to those
// and to no others. A peer is who its certificate says (MS-15): a Name in a URI,
// which this package alone interprets. No other name in a certificate counts,
// and nothing asks DNS.
//
// Keys are Ed25519: signing needs no randomness that could be bad, there are no
// parameters to get wrong, keys and signatures are short. Keys of P-256 are read,
// too. Every certificate is valid from five minutes before it was made, for
// clocks that are behind. There is no list of revoked certificates: what should
// end soon is issued for a short time.
//
// The package opens no sockets; channel/mtls does.
package authority

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

// Authority issues the certificates of a fleet's hosts.
type Authority struct {
	signer
	trust *Trust
}

// New makes the authority of a new fleet.
func New(fleet string, valid time.Duration) (*Authority, error) {
	if err := CheckFleet(fleet); err != nil {
		return nil, err
	}
	s, err := selfSigned(fleet, valid)
	if err != nil {
		return nil, err
	}
	return newAuthority(s)
}

func newAuthority(s signer) (*Authority, error) {
	trust, err := newTrust(certificates(s.cert))
	if err != nil {
		return nil, err
	}
	return &Authority{s, trust}, nil
}

// Parse reads an authority in PEM: certificates of which one belongs to the key.
// The others are authorities of the same fleet that hosts are to trust as well.
func Parse(certs, key []byte) (*Authority, error) {
	trust, err := ParseTrust(certs)
	if err != nil {
		return nil, err
	}
	k, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	for _, c := range trust.roots {
		if belongs(c, k) == nil {
			return &Authority{signer{c, k}, trust}, nil
		}
	}
	return nil, errors.New("the private key is not that of the certificate")
}

// Fleet returns the name of the fleet.
func (a *Authority) Fleet() string { return a.trust.fleet }

// Trust returns what the fleet's peers are checked against.
func (a *Authority) Trust() *Trust { return a.trust }

// Until returns when the authority expires, and with it all that it issued.
func (a *Authority) Until() time.Time { return a.cert.NotAfter }

// Host is what a host gets from the authority.
type Host struct {
	Credentials Credentials // speak for every proc of the host
	Issuer      *Issuer     // makes those of single procs
}

// Host issues new certificates to a host. They are valid as long as asked for,
// or as long as the authority if that is shorter.
func (a *Authority) Host(host string, valid time.Duration) (Host, error) {
	name := HostName(a.Fleet(), host)
	if err := name.check(); err != nil {
		return Host{}, err
	}
	own, key, err := a.leaf(name, valid)
	if err != nil {
		return Host{}, err
	}
	cert, issuerKey, err := a.host(name, valid)
	if err != nil {
		return Host{}, err
	}
	return Host{
		Credentials{name, certificates(own), key, a.trust},
		&Issuer{signer{cert, issuerKey}, name, a.trust},
	}, nil
}

// Issuer makes the certificates of the procs of one host. It may be used
// concurrently.
type Issuer struct {
	signer
	name  Name // of the host
	trust *Trust
}

// NewIssuer reads an issuer in PEM: its certificate, the key of that, and the
// certificates of the fleet's authority.
func NewIssuer(cert, key, trust []byte) (*Issuer, error) {
	t, err := ParseTrust(trust)
	if err != nil {
		return nil, fmt.Errorf("the authority: %w", err)
	}
	certs, err := parseCertificates(cert)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	name, err := NameOf(certs[0])
	if err != nil {
		return nil, err
	}
	if !certs[0].IsCA || name.Proc != "" {
		return nil, fmt.Errorf("%v: the certificate is not that of an issuer", name)
	}
	k, err := parseKey(key)
	if err == nil {
		err = belongs(certs[0], k)
	}
	if err == nil {
		err = t.leads(certs[0], x509.NewCertPool(), certs[0].NotBefore)
	}
	if err != nil {
		return nil, err
	}
	return &Issuer{signer{certs[0], k}, name, t}, nil
}

// Host returns the name of the host.
func (i *Issuer) Host() string { return i.name.Host }

// Until returns when the issuer expires, and with it all that it issued.
func (i *Issuer) Until() time.Time { return i.cert.NotAfter }

// Proc makes the credentials of a proc of this host, in memory and with the
// key. They are valid as long as asked for, or as long as the issuer if that is
// shorter.
func (i *Issuer) Proc(p id.Proc, valid time.Duration) (Credentials, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Credentials{}, err
	}
	chain, err := i.certify(p, public, valid)
	if err != nil {
		return Credentials{}, err
	}
	return newCredentials(chain, key, i.trust)
}

// Grant certifies that whoever has the private key of public, which is one of
// Ed25519, is a proc of this host. It returns what Granted makes credentials
// from, which is no secret. They are valid as those of Proc.
func (i *Issuer) Grant(p id.Proc, public []byte, valid time.Duration) ([]byte, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("certificate for %v: a public key of %d bytes, those of Ed25519 have %d", p, len(public), ed25519.PublicKeySize)
	}
	chain, err := i.certify(p, public, valid)
	if err != nil {
		return nil, err
	}
	return appendCertificates(appendCertificates(nil, chain), i.trust.roots), nil
}

// certify returns a certificate of p for a public key, and our own.
func (i *Issuer) certify(p id.Proc, public ed25519.PublicKey, valid time.Duration) ([]*x509.Certificate, error) {
	name := ProcName(i.name.Fleet, p)
	if err := name.check(); err != nil {
		return nil, err
	}
	if p.Host != i.name.Host || p.Name == "" {
		return nil, fmt.Errorf("%w: %s cannot issue to %v", ErrOtherHost, i.name.Host, p)
	}
	cert, err := i.signer.certify(name, public, valid)
	if err != nil {
		return nil, err
	}
	chain := certificates(cert, i.cert)
	_, err = i.trust.Verify(chain, time.Now())
	return chain, err
}
