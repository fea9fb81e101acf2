package id

import (
	"errors"
	"strings"
	"testing"
)

func TestTextForms(t *testing.T) {
	p := Proc{Host: "alpha", Name: "worker", UID: 0x4f2a91c03b7d55e1}
	if got, want := p.String(), "alpha/worker~4f2a91c03b7d55e1"; got != want {
		t.Errorf("proc: got %s, want %s", got, want)
	}
	if got, want := p.Actor("c1").String(), "alpha/worker~4f2a91c03b7d55e1/c1"; got != want {
		t.Errorf("actor: got %s, want %s", got, want)
	}
	if got, want := p.Actor("c1").Port("counter.add").String(), "alpha/worker~4f2a91c03b7d55e1/c1#counter.add"; got != want {
		t.Errorf("port: got %s, want %s", got, want)
	}
	if got := (Proc{}).String() + (Actor{}).String() + (Port{}).String(); got != "" {
		t.Errorf("zero ids print %q", got)
	}
}

func TestNewProcNeverRepeats(t *testing.T) {
	a, err := NewProc("alpha", "worker")
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewProc("alpha", "worker")
	if err != nil || a == b {
		t.Fatalf("two incarnations are both %v (%v)", a, err)
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"", ".a", "-a", "a/b", "a~b", "a#b", "a b", "é", "a\x00", strings.Repeat("x", MaxName+1)} {
		if err := CheckName(name); !errors.Is(err, ErrSyntax) {
			t.Errorf("CheckName(%q) = %v, want ErrSyntax", name, err)
		}
		if _, err := NewProc("h", name); !errors.Is(err, ErrSyntax) {
			t.Errorf("NewProc(%q) = %v, want ErrSyntax", name, err)
		}
	}
	for _, name := range []string{"a", "_p1", "A.b-c_9", strings.Repeat("x", MaxName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestBadTexts(t *testing.T) {
	for _, s := range []string{"alpha", "alpha/worker", "alpha/worker~", "alpha/worker~1", "alpha/worker~000000000000000000", "alpha/worker~4F2A91C03B7D55E1", "alpha/worker~0000000000000000", "/w~4f2a91c03b7d55e1"} {
		if _, err := ParseProc(s); !errors.Is(err, ErrSyntax) {
			t.Errorf("ParseProc(%q) = %v, want ErrSyntax", s, err)
		}
	}
	for _, s := range []string{"alpha/worker~4f2a91c03b7d55e1/", "alpha/worker~4f2a91c03b7d55e1/a/b"} {
		if _, err := ParseActor(s); !errors.Is(err, ErrSyntax) {
			t.Errorf("ParseActor(%q) = %v, want ErrSyntax", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"alpha/worker~4f2a91c03b7d55e1", "a/b~4f2a91c03b7d55e1/c", "a/b~4f2a91c03b7d55e1/c#d", "a/b~4f2a91c03b7d55e1#d", "", "#", "/", "~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParseProc(s); err == nil && p.String() != s {
			t.Errorf("ParseProc(%q).String() = %q", s, p)
		}
		if a, err := ParseActor(s); err == nil && a.String() != s {
			t.Errorf("ParseActor(%q).String() = %q", s, a)
		}
		if p, err := ParsePort(s); err == nil && p.String() != s {
			t.Errorf("ParsePort(%q).String() = %q", s, p)
		}
	})
}
