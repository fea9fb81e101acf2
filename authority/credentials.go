package authority

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// Credentials are what a side proves with who it is, and checks its peers
// against. The functions of this package make them; they are not changed after
// that, and may be used concurrently.
type Credentials struct {
	Name  Name                // whom they speak for
	Chain []*x509.Certificate // the own certificate, then that of the host's issuer if it is from there
	Key   crypto.Signer       `json:"-"` // of the own certificate
	Trust *Trust
}

// NewCredentials puts together what belongs together, all of it in PEM: a
// certificate with the issuer's behind it if there is one, the private key of
// the first, and the certificates of the fleet's authority. When they are valid
// is not checked: see Check.
func NewCredentials(chain, key, trust []byte) (Credentials, error) {
	t, err := ParseTrust(trust)
	if err != nil {
		return Credentials{}, fmt.Errorf("the authority: %w", err)
	}
	certs, err := parseCertificates(chain)
	if err != nil {
		return Credentials{}, fmt.Errorf("the certificate: %w", err)
	}
	k, err := parseKey(key)
	if err != nil {
		return Credentials{}, err
	}
	return newCredentials(certs, k, t)
}

// Granted makes credentials from a key of Ed25519 and what Issuer.Grant
// returned for the public one.
func Granted(key crypto.Signer, grant []byte) (Credentials, error) {
	certs, err := parseCertificates(grant)
	if err != nil {
		return Credentials{}, fmt.Errorf("granted: %w", err)
	}
	if len(certs) <= maxChain {
		return Credentials{}, fmt.Errorf("granted: %d certificates: those of a proc, its host's issuer and the authority are %d or more", len(certs), maxChain+1)
	}
	trust, err := newTrust(certs[maxChain:])
	if err != nil {
		return Credentials{}, fmt.Errorf("granted: the authority: %w", err)
	}
	c, err := newCredentials(certs[:maxChain], key, trust)
	if err != nil {
		return Credentials{}, fmt.Errorf("granted: %w", err)
	}
	return c, nil
}

// newCredentials checks that all of it belongs together.
func newCredentials(chain []*x509.Certificate, key crypto.Signer, trust *Trust) (Credentials, error) {
	if err := belongs(chain[0], key); err != nil {
		return Credentials{}, err
	}
	c := Credentials{Chain: chain, Key: key, Trust: trust}
	var err error
	c.Name, err = trust.Verify(chain, c.begin())
	return c, err
}

// begin returns when the last of the chain becomes valid.
func (c Credentials) begin() time.Time {
	begin := c.Chain[0].NotBefore
	for _, cert := range c.Chain[1:] {
		if cert.NotBefore.After(begin) {
			begin = cert.NotBefore
		}
	}
	return begin
}

// Valid returns from when to when the credentials can be used.
func (c Credentials) Valid() (from, until time.Time) {
	until = c.Chain[0].NotAfter
	for _, cert := range c.Chain[1:] {
		if cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	return c.begin(), until
}

// Check reports whether the credentials can be used at a time. The error wraps
// ErrExpired or ErrNotYetValid.
func (c Credentials) Check(at time.Time) error {
	for _, cert := range c.Chain {
		if err := checkTime(cert, at); err != nil {
			return fmt.Errorf("%v: %w", c.Name, err)
		}
	}
	return c.Trust.check(at)
}

// Equal reports whether o is the same: the same certificates, and so the same
// key.
func (c Credentials) Equal(o Credentials) bool {
	return slices.EqualFunc(c.Chain, o.Chain, (*x509.Certificate).Equal) &&
		slices.EqualFunc(c.Trust.roots, o.Trust.roots, (*x509.Certificate).Equal)
}

// String returns whom the credentials speak for.
func (c Credentials) String() string { return "credentials of " + c.Name.String() }

// Format writes String, whatever the verb is: never the key.
func (c Credentials) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue has a log say String.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalBinary returns all of the credentials, with the private key, for a
// proc that cannot make its own: see Issuer.Grant.
func (c Credentials) MarshalBinary() ([]byte, error) {
	b, err := appendKey(appendCertificates(nil, c.Chain), c.Key)
	if err != nil {
		return nil, err
	}
	return appendCertificates(b, c.Trust.roots), nil
}

// UnmarshalBinary reads what MarshalBinary returned.
func (c *Credentials) UnmarshalBinary(b []byte) error {
	begin := []byte("-----BEGIN " + blockKey + "-----\n")
	end := []byte("-----END " + blockKey + "-----\n")
	chain, rest, ok := bytes.Cut(b, begin)
	key, trust, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		return errors.New("credentials: there is no private key between the certificates")
	}
	read, err := NewCredentials(chain, append(append(begin, key...), end...), trust)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	*c = read
	return nil
}
