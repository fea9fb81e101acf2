package probe

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// Spec names a probe, as people write it: "process", "log=listening on",
// "tcp=:8080". It is plain data; a program makes the probe of it. The zero
// Spec is "process".
type Spec struct {
	Kind Kind
	Arg  string // "" for KindProcess and KindNotify
}

// Kind is the kind of a probe.
type Kind uint8

// The kinds of probe.
const (
	KindProcess Kind = iota // the process is up: ready at once, and never failed before its end
	KindLog                 // a line of output matches the regular expression Arg: NewLog
	KindTCP                 // somebody listens at Arg: TCP
	KindHTTP                // a GET of Arg is answered well: package httpprobe
	KindGRPC                // the health service at Arg says SERVING: package grpcprobe
	KindNotify              // the process says so itself with sd_notify(3): NewNotify
	KindExec                // the command line Arg exits with 0: NewExec
)

func kindNames() []string {
	return []string{"process", "log", "tcp", "http", "grpc", "notify", "exec"}
}

func (k Kind) String() string { return kindNames()[min(k, KindExec)] }

// forms is what a Spec may look like, for messages.
const forms = "process, log=REGEXP, tcp=HOST:PORT, http=URL, grpc=ADDR, notify or exec=COMMAND"

// Parse reads a Spec. What follows "http=" and "grpc=" is checked by the
// packages that ask it.
func Parse(text string) (Spec, error) {
	name, arg, given := strings.Cut(text, "=")
	kind := slices.Index(kindNames(), name)
	if kind < 0 {
		return Spec{}, fmt.Errorf("probe %q: there is no %q; use %s", text, name, forms)
	}
	s := Spec{Kind(kind), arg}
	if err := s.check(given); err != nil {
		return Spec{}, fmt.Errorf("probe %q: %w", text, err)
	}
	return s, nil
}

func (s Spec) check(given bool) error {
	switch s.Kind {
	case KindProcess, KindNotify:
		if given {
			return fmt.Errorf("%v takes no value; write just %q", s.Kind, s.Kind)
		}
		return nil
	}
	if strings.TrimSpace(s.Arg) == "" {
		return fmt.Errorf("%v needs a value; use one of %s", s.Kind, forms)
	}
	switch s.Kind {
	case KindLog:
		_, err := NewLog(s.Arg)
		return err
	case KindTCP:
		if _, port, err := net.SplitHostPort(s.Arg); err != nil || port == "" {
			return fmt.Errorf("%q is no address; write tcp=HOST:PORT, tcp=:PORT for this machine", s.Arg)
		}
	}
	return nil
}

// String returns what Parse reads.
func (s Spec) String() string {
	switch s.Kind {
	case KindProcess, KindNotify:
		return s.Kind.String()
	}
	return s.Kind.String() + "=" + s.Arg
}
