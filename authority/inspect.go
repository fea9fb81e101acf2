package authority

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"
)

// Info is what a certificate says, without a check of whether it is true.
type Info struct {
	Kind        string // "authority", "issuer", "host" or "proc"
	Fleet       string
	Name        string // the URI
	From, Until time.Time
	SHA256      string // of the certificate, in hexadecimal
}

// Inspect returns what the certificates in some PEM say. It fails for those
// that are not of a fleet.
func Inspect(pem []byte) ([]Info, error) {
	certs, err := parseCertificates(pem)
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, c := range certs {
		i, err := inspect(c)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}

func inspect(c *x509.Certificate) (Info, error) {
	sum := sha256.Sum256(c.Raw)
	i := Info{From: c.NotBefore, Until: c.NotAfter, SHA256: hex.EncodeToString(sum[:])}
	if fleet, err := fleetOf(c); err == nil {
		i.Kind, i.Fleet, i.Name = "authority", fleet, fleetURI(fleet)
		return i, nil
	}
	n, err := NameOf(c)
	if err != nil {
		return Info{}, err
	}
	i.Fleet, i.Name = n.Fleet, n.String()
	switch {
	case c.IsCA:
		i.Kind = "issuer"
	case n.Proc != "":
		i.Kind = "proc"
	default:
		i.Kind = "host"
	}
	return i, nil
}
