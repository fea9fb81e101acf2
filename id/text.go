package id

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSyntax is wrapped by every error about the text of an id or a name.
var ErrSyntax = errors.New("not a valid id")

// CheckName reports whether name may name a host, a proc, an actor or a
// method: 1 to MaxName bytes of ASCII letters, digits, '.', '-' and '_', not
// starting with '.' or '-'. Names that start with '_' are the runtime's own.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("name is empty: %w", ErrSyntax)
	}
	if len(name) > MaxName {
		return fmt.Errorf("name %.20q… has %d bytes, at most %d are allowed: %w", name, len(name), MaxName, ErrSyntax)
	}
	for i := range len(name) {
		if !nameByte(name[i]) || i == 0 && (name[i] == '.' || name[i] == '-') {
			return fmt.Errorf("name %q: byte %d (%q) is not allowed there, use letters, digits, '.', '-' and '_': %w", name, i, name[i], ErrSyntax)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}

// String returns the text form, or "" for the zero Proc.
func (p Proc) String() string {
	if p.IsZero() {
		return ""
	}
	return string(p.append(make([]byte, 0, len(p.Host)+len(p.Name)+18)))
}

func (p Proc) append(b []byte) []byte {
	b = append(b, p.Host...)
	b = append(b, '/')
	b = append(b, p.Name...)
	b = append(b, '~')
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[p.UID>>shift&15])
	}
	return b
}

// String returns the text form, or "" for the zero Actor.
func (a Actor) String() string {
	if a.IsZero() {
		return ""
	}
	b := a.Proc.append(make([]byte, 0, len(a.Proc.Host)+len(a.Proc.Name)+len(a.Name)+19))
	if a.Name != "" {
		b = append(append(b, '/'), a.Name...)
	}
	return string(b)
}

// String returns the text form, or "" for the zero Port.
func (p Port) String() string {
	if p.IsZero() {
		return ""
	}
	return p.Actor.String() + "#" + p.Method
}

// ParseProc reads the text form of a proc.
func ParseProc(s string) (Proc, error) {
	p, err := parseProc(s)
	if err != nil {
		return Proc{}, fmt.Errorf("proc %q: %w", s, err)
	}
	return p, nil
}

func parseProc(s string) (Proc, error) {
	host, rest, ok := strings.Cut(s, "/")
	name, hex, ok2 := strings.Cut(rest, "~")
	if !ok || !ok2 {
		return Proc{}, fmt.Errorf("want host/name~uid: %w", ErrSyntax)
	}
	uid, err := strconv.ParseUint(hex, 16, 64)
	if err != nil || len(hex) != 16 || uid == 0 || strings.ToLower(hex) != hex {
		return Proc{}, fmt.Errorf("uid %q is not 16 lower-case hexadecimal digits other than 0: %w", hex, ErrSyntax)
	}
	if err := errors.Join(CheckName(host), CheckName(name)); err != nil {
		return Proc{}, err
	}
	return Proc{Host: host, Name: name, UID: uid}, nil
}

// ParseActor reads the text form of an actor.
func ParseActor(s string) (Actor, error) {
	a, err := parseActor(s)
	if err != nil {
		return Actor{}, fmt.Errorf("actor %q: %w", s, err)
	}
	return a, nil
}

func parseActor(s string) (Actor, error) {
	proc, name := s, ""
	if host := strings.IndexByte(s, '/'); host >= 0 {
		if i := strings.IndexByte(s[host+1:], '/'); i >= 0 {
			proc, name = s[:host+1+i], s[host+2+i:]
			if err := CheckName(name); err != nil {
				return Actor{}, err
			}
		}
	}
	p, err := parseProc(proc)
	return Actor{Proc: p, Name: name}, err
}

// ParsePort reads the text form of a port.
func ParsePort(s string) (Port, error) {
	actor, method, ok := strings.Cut(s, "#")
	if !ok {
		return Port{}, fmt.Errorf("port %q: want actor#method: %w", s, ErrSyntax)
	}
	a, err := parseActor(actor)
	if err == nil {
		err = CheckName(method)
	}
	if err != nil {
		return Port{}, fmt.Errorf("port %q: %w", s, err)
	}
	return Port{Actor: a, Method: method}, nil
}

// MarshalText returns String.
func (p Proc) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// MarshalText returns String.
func (a Actor) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalText returns String.
func (p Port) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParseProc; the empty text is the zero Proc.
func (p *Proc) UnmarshalText(b []byte) error { return unmarshal(p, b, ParseProc) }

// UnmarshalText is ParseActor; the empty text is the zero Actor.
func (a *Actor) UnmarshalText(b []byte) error { return unmarshal(a, b, ParseActor) }

// UnmarshalText is ParsePort; the empty text is the zero Port.
func (p *Port) UnmarshalText(b []byte) error { return unmarshal(p, b, ParsePort) }

func unmarshal[T any](to *T, b []byte, parse func(string) (T, error)) error {
	if len(b) == 0 {
		*to = *new(T)
		return nil
	}
	v, err := parse(string(b))
	if err == nil {
		*to = v
	}
	return err
}
