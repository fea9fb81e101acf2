package authority

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Trust is the certificates that a fleet's peers are checked against: that of
// its authority, and a second one while an authority replaces another. It does
// not change and may be used concurrently.
type Trust struct {
	fleet string
	roots []*x509.Certificate
	pool  *x509.CertPool
}

// maxChain is how many certificates lead to the authority: the peer's own and
// that of its host's issuer.
const maxChain = 2

// ParseTrust reads the certificates of a fleet's authority in PEM.
func ParseTrust(pem []byte) (*Trust, error) {
	roots, err := parseCertificates(pem)
	if err != nil {
		return nil, err
	}
	return newTrust(roots)
}

func newTrust(roots []*x509.Certificate) (*Trust, error) {
	t := &Trust{roots: roots, pool: x509.NewCertPool()}
	for _, c := range roots {
		fleet, err := fleetOf(c)
		if err == nil && !c.IsCA {
			err = fmt.Errorf("%w: the certificate of fleet %s is not that of an authority", ErrUntrusted, fleet)
		}
		if err == nil && t.fleet != "" && t.fleet != fleet {
			err = fmt.Errorf("%w: authorities of %s and of %s; keep them apart", ErrFleet, t.fleet, fleet)
		}
		if err != nil {
			return nil, err
		}
		t.fleet = fleet
		t.pool.AddCert(c)
	}
	return t, nil
}

// Fleet returns the name of the fleet.
func (t *Trust) Fleet() string { return t.fleet }

// PEM returns what ParseTrust reads.
func (t *Trust) PEM() []byte { return appendCertificates(nil, t.roots) }

// Verify checks, as of at, the certificates that a peer shows, its own first,
// and returns whom they speak for. Each way to fail has an error of its own in
// this package.
func (t *Trust) Verify(chain []*x509.Certificate, at time.Time) (Name, error) {
	if len(chain) == 0 {
		return Name{}, ErrNone
	}
	if len(chain) > maxChain {
		return Name{}, fmt.Errorf("%w: %d certificates, want at most %d", ErrUntrusted, len(chain), maxChain)
	}
	name, err := NameOf(chain[0])
	if err != nil {
		return Name{}, err
	}
	if name.Fleet != t.fleet {
		return Name{}, fmt.Errorf("%w: %v, want fleet %s", ErrFleet, name, t.fleet)
	}
	if err := t.verify(chain, name, at); err != nil {
		return Name{}, fmt.Errorf("%v: %w", name, err)
	}
	return name, nil
}

// verify checks that chain leads from a peer called name to the authority.
func (t *Trust) verify(chain []*x509.Certificate, name Name, at time.Time) error {
	if chain[0].IsCA {
		return fmt.Errorf("%w: it is that of an issuer, which speaks for nobody", ErrUntrusted)
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		if err := checkIssuer(c, name); err != nil {
			return err
		}
		intermediates.AddCert(c)
	}
	for _, c := range chain {
		if err := checkTime(c, at); err != nil {
			return err
		}
	}
	return t.leads(chain[0], intermediates, at)
}

// leads checks that signatures lead from c to the authority.
func (t *Trust) leads(c *x509.Certificate, intermediates *x509.CertPool, at time.Time) error {
	_, err := c.Verify(x509.VerifyOptions{
		Roots: t.pool, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err == nil {
		return nil
	}
	if ended := t.check(at); ended != nil {
		return ended
	}
	return fmt.Errorf("%w: %w", ErrUntrusted, err)
}

// check checks that a certificate of the authority is valid at a time.
func (t *Trust) check(at time.Time) (err error) {
	for _, root := range t.roots {
		if err = checkTime(root, at); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the authority of %s: %w", t.fleet, err)
}

// checkIssuer checks that c, which issued the certificate of name, is that of
// name's own host. The constraint inside c says so, too, in the words of X.509.
func checkIssuer(c *x509.Certificate, name Name) error {
	issuer, err := NameOf(c)
	if err != nil {
		return err
	}
	if issuer != HostName(name.Fleet, name.Host) {
		return fmt.Errorf("%w: %v", ErrOtherHost, issuer)
	}
	return nil
}

func checkTime(c *x509.Certificate, at time.Time) error {
	switch {
	case at.Before(c.NotBefore):
		return fmt.Errorf("%w: it will be on %s; is a clock wrong?", ErrNotYetValid, when(c.NotBefore))
	case at.After(c.NotAfter):
		return fmt.Errorf("%w, on %s", ErrExpired, when(c.NotAfter))
	}
	return nil
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }
