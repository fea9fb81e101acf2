package authority

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"

	"github.com/hyperactor/hyperactor/id"
)

// Name is whom a certificate speaks for: every proc of a host, or one of them.
//
// In a certificate it is a URI whose path is the id that package id writes, and
// whose domain stands for the host, as a single label, in the fleet:
//
//	hyper://alpha.demo/alpha                            any proc of alpha
//	hyper://alpha.demo/alpha/worker~4f2a91c03b7d55e1    that proc
//	hyper://x--6j0…g.demo/rack.7                        any proc of rack.7
//
// The label exists for the name constraints of X.509, which know domains and
// nothing else: "b" admits "a.b" and "B", too. So a host whose name is not
// lower-case letters, digits and inner hyphens has a label made of a hash, and
// no host's domain is within that of another one.
type Name struct {
	Fleet string
	Host  string
	Proc  string // with UID, the only proc; empty if it is every proc of Host
	UID   uint64
}

const scheme = "hyper://"

// ParseName reads the URI of a certificate. It takes the one spelling that
// Name.String writes.
func ParseName(uri string) (Name, error) {
	rest, ok := strings.CutPrefix(uri, scheme)
	domain, path, ok2 := strings.Cut(rest, "/")
	_, fleet, ok3 := strings.Cut(domain, ".")
	if !ok || !ok2 || !ok3 {
		return Name{}, fmt.Errorf("%w: %.200q, want hyper://LABEL.FLEET/HOST or …/HOST/PROC~UID", ErrName, uri)
	}
	n := Name{Fleet: fleet, Host: path}
	if strings.Contains(path, "/") {
		p, err := id.ParseProc(path)
		if err != nil {
			return Name{}, fmt.Errorf("%w: %.200q: %w", ErrName, uri, err)
		}
		n = ProcName(fleet, p)
	}
	if err := n.check(); err != nil {
		return Name{}, fmt.Errorf("%w: %.200q: %w", ErrName, uri, err)
	}
	if n.String() != uri {
		return Name{}, fmt.Errorf("%w: %.200q, which is written %s", ErrName, uri, n)
	}
	return n, nil
}

// HostName returns the name of every proc of a host.
func HostName(fleet, host string) Name { return Name{Fleet: fleet, Host: host} }

// ProcName returns the name of one proc.
func ProcName(fleet string, p id.Proc) Name {
	return Name{Fleet: fleet, Host: p.Host, Proc: p.Name, UID: p.UID}
}

// String returns the URI.
func (n Name) String() string {
	path := n.Host
	if n.Proc != "" {
		path = id.Proc{Host: n.Host, Name: n.Proc, UID: n.UID}.String()
	}
	return scheme + n.domain() + "/" + path
}

// Covers reports whether n speaks for p.
func (n Name) Covers(p id.Proc) bool {
	return p.Host == n.Host && (n.Proc == "" || p.Name == n.Proc && p.UID == n.UID)
}

func (n Name) check() error {
	if err := CheckFleet(n.Fleet); err != nil {
		return err
	}
	if err := id.CheckName(n.Host); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if n.Proc == "" && n.UID == 0 {
		return nil
	}
	if err := id.CheckName(n.Proc); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if n.UID == 0 {
		return fmt.Errorf("proc %q has no uid: %w", n.Proc, id.ErrSyntax)
	}
	return nil
}

// url is String in the form that certificates are made from.
func (n Name) url() *url.URL {
	u, err := url.Parse(n.String())
	if err != nil {
		panic(fmt.Sprintf("authority: the URI of a checked name %q: %v", n, err))
	}
	return u
}

// domain is what a certificate of n's host is confined to.
func (n Name) domain() string { return label(n.Host) + "." + n.Fleet }

const (
	maxLabel = 63 // of a domain name
	hashed   = "x--"
)

// label returns the part of a domain that stands for a host.
func label(host string) string {
	if plainLabel(host) && !strings.HasPrefix(host, hashed) {
		return host
	}
	sum := sha256.Sum256([]byte(host))
	return hashed + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// plainLabel reports whether s can be a label of a domain as it is, everywhere.
func plainLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// CheckFleet reports whether name may name a fleet: 1 to 63 lower-case letters,
// digits and inner hyphens.
func CheckFleet(name string) error {
	if !plainLabel(name) {
		return fmt.Errorf("fleet %.70q: use 1 to %d lower-case letters, digits and hyphens, with no hyphen at the ends", name, maxLabel)
	}
	return nil
}

// NameOf returns whom the certificate of a host or a proc speaks for, if it is
// one that Trust.Verify has taken. Only its URI counts: what else a certificate
// can say makes it one that is not ours.
func NameOf(c *x509.Certificate) (Name, error) {
	if err := onlyURI(c); err != nil {
		return Name{}, err
	}
	return ParseName(c.URIs[0].String())
}

// fleetOf returns the fleet that a certificate of an authority is for.
func fleetOf(c *x509.Certificate) (string, error) {
	if err := onlyURI(c); err != nil {
		return "", err
	}
	uri := c.URIs[0].String()
	rest, _ := strings.CutPrefix(uri, scheme)
	fleet := strings.TrimSuffix(rest, "/")
	if fleetURI(fleet) != uri || CheckFleet(fleet) != nil {
		return "", fmt.Errorf("%w: %.200q, want hyper://FLEET/", ErrName, uri)
	}
	return fleet, nil
}

func fleetURI(fleet string) string { return scheme + fleet + "/" }

func onlyURI(c *x509.Certificate) error {
	others := len(c.DNSNames) + len(c.EmailAddresses) + len(c.IPAddresses)
	if len(c.URIs) != 1 || others != 0 {
		return fmt.Errorf("%w: %d URIs and %d other names, want one URI", ErrName, len(c.URIs), others)
	}
	return nil
}
