package authority

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hyperactor/hyperactor/id"
)

// anyName draws a valid name of a host or a proc, often one of a few letters so
// that names come near one another.
func anyName() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[ab_AB][ab._AB-]{0,3}`),
		rapid.StringMatching(`[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}`),
		rapid.StringMatching(`x--[a-z0-9]{0,60}`),
	)
}

func anyIdentity(t *rapid.T) Name {
	n := Name{Fleet: rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`).Draw(t, "fleet"), Host: anyName().Draw(t, "host")}
	if rapid.Bool().Draw(t, "a proc") {
		n.Proc, n.UID = anyName().Draw(t, "proc"), rapid.Uint64Min(1).Draw(t, "uid")
	}
	return n
}

func TestNamesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := anyIdentity(t)
		got, err := ParseName(n.String())
		if err != nil || got != n {
			t.Fatalf("ParseName(%q) = %+v, %v; want %+v", n, got, err, n)
		}
		u, err := url.Parse(n.String())
		if err != nil || u.String() != n.String() {
			t.Fatalf("as a URL %q is %v, %v", n, u, err)
		}
	})
}

// within is what the constraint "domain" admits: that domain, and all below it,
// in whatever case.
func within(d, domain string) bool {
	d, domain = strings.ToLower(d), strings.ToLower(domain)
	return d == domain || strings.HasSuffix(d, "."+domain)
}

// MS-15: no host is within the constraint of another one.
func TestHostsHaveDomainsOfTheirOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyIdentity(t), anyIdentity(t)
		if rapid.Bool().Draw(t, "one fleet") {
			b.Fleet = a.Fleet
		}
		if rapid.Bool().Draw(t, "named like a label") {
			b.Host = label(a.Host)
		}
		same := a.Fleet == b.Fleet && a.Host == b.Host
		if within(a.domain(), b.domain()) != same {
			t.Fatalf("%q and %q: domains %s and %s", a.Host, b.Host, a.domain(), b.domain())
		}
		for part := range strings.SplitSeq(a.domain(), ".") {
			if !plainLabel(part) {
				t.Fatalf("domain %s of %q has the label %q", a.domain(), a.Host, part)
			}
		}
	})
}

func TestCovers(t *testing.T) {
	p := id.Proc{Host: "alpha", Name: "worker", UID: 1}
	for _, c := range []struct {
		n    Name
		p    id.Proc
		want bool
	}{
		{HostName("demo", "alpha"), p, true},
		{ProcName("demo", p), p, true},
		{HostName("demo", "beta"), p, false},
		{HostName("demo", "Alpha"), p, false},
		{ProcName("demo", p), id.Proc{Host: "alpha", Name: "worker", UID: 2}, false},
		{ProcName("demo", p), id.Proc{Host: "alpha", Name: "other", UID: 1}, false},
		{ProcName("demo", p), id.Proc{Host: "beta", Name: "worker", UID: 1}, false},
		{ProcName("demo", p), id.Proc{Host: "alpha"}, false},
		{Name{}, p, false},
	} {
		if got := c.n.Covers(c.p); got != c.want {
			t.Errorf("%+v covers %v: %v", c.n, c.p, got)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{
		"hyper://alpha.demo/alpha", "hyper://alpha.demo/alpha/worker~4f2a91c03b7d55e1", HostName("demo", "rack.7").String(),
		"hyper://alpha.demo/", "hyper://demo/", "hyper://a.b.demo/b", "hyper://alpha.demo/beta", "hyper://Alpha.demo/Alpha",
		"https://alpha.demo/alpha", "hyper://alpha.demo/alpha?x", "hyper://u@alpha.demo/alpha", "hyper://alpha.demo/%61lpha", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err == nil && n.String() != s {
			t.Errorf("ParseName(%q) is %v", s, n)
		}
		if err != nil && !errors.Is(err, ErrName) {
			t.Errorf("ParseName(%q): %v", s, err)
		}
	})
}
