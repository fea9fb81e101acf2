package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Trace is a W3C trace context: https://www.w3.org/TR/trace-context/.
type Trace struct {
	ID    [16]byte // trace-id; never zero
	Span  [8]byte  // parent-id: the span that sent the message; never zero
	Flags byte     // trace-flags
	State string   // tracestate, MaxTraceState bytes at most
}

// Sampled is the bit of Trace.Flags that says that somebody records the trace.
const Sampled = 0x01

// knownFlags are the bits that have a meaning: sampled, and random trace-id.
const knownFlags = 0x03

// Valid reports whether t is a trace that a message can carry: it has an ID
// and a Span, and its State is empty or as the recommendation wants it.
func (t Trace) Valid() bool {
	return t.ID != [16]byte{} && t.Span != [8]byte{} && validState(t.State)
}

// String returns the header traceparent.
func (t Trace) String() string {
	return fmt.Sprintf("00-%x-%x-%02x", t.ID, t.Span, t.Flags&knownFlags)
}

// ErrTraceparent is wrapped by the errors of ParseTraceparent.
var ErrTraceparent = errors.New("not a traceparent")

const traceparentSize = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

// ParseTraceparent reads the two headers of a trace context. As the
// recommendation asks for, it accepts later versions by what this one knows of
// them, and drops a state that it cannot read or, entry by entry, what is too
// much of it: neither is an error.
func ParseTraceparent(parent, state string) (Trace, error) {
	fault := func(why string) (Trace, error) {
		return Trace{}, fmt.Errorf("%w: %s: %.80q", ErrTraceparent, why, parent)
	}
	if len(parent) < traceparentSize || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return fault("want version-id-span-flags")
	}
	var t Trace
	var version, flags [1]byte
	if !readHex(version[:], parent[:2]) || !readHex(t.ID[:], parent[3:35]) || !readHex(t.Span[:], parent[36:52]) || !readHex(flags[:], parent[53:55]) {
		return fault("want digits and a to f")
	}
	t.Flags = flags[0]
	switch more := parent[traceparentSize:]; {
	case version[0] == 0xff:
		return fault("version ff is not one")
	case version[0] == 0 && more != "" || more != "" && more[0] != '-':
		return fault("too long")
	case version[0] > 0:
		t.Flags &= knownFlags
	}
	if !t.Valid() {
		return fault("id or span is zero")
	}
	t.State = readState(state)
	return t, nil
}

// readHex reads lower-case hexadecimal digits that fill b.
func readHex(b []byte, s string) bool {
	_, err := hex.Decode(b, []byte(s))
	return err == nil && strings.ToLower(s) == s
}

const (
	maxStateEntries = 32
	longStateEntry  = 128 // the first to go when there is too much
)

// readState returns the tracestate s as it is sent on: without white space,
// within MaxTraceState, or empty if s is none.
func readState(s string) string {
	var entries []string
	for e := range strings.SplitSeq(s, ",") {
		if e = strings.Trim(e, " \t"); e != "" {
			entries = append(entries, e)
		}
	}
	if !validEntries(entries) {
		return ""
	}
	size := len(strings.Join(entries, ","))
	for _, longest := range []int{longStateEntry, 0} {
		for i := len(entries) - 1; i >= 0 && size > MaxTraceState; i-- {
			if len(entries[i]) > longest {
				size -= len(entries[i]) + 1
				entries = slices.Delete(entries, i, i+1)
			}
		}
	}
	return strings.Join(entries, ",")
}

// validState reports whether s is a tracestate that readState would not change.
func validState(s string) bool {
	return s == "" || len(s) <= MaxTraceState && validEntries(strings.Split(s, ","))
}

func validEntries(entries []string) bool {
	if len(entries) > maxStateEntries { // before we compare each with each
		return false
	}
	for i, e := range entries {
		key, value, ok := strings.Cut(e, "=")
		same := func(other string) bool { return strings.HasPrefix(other, key+"=") }
		if !ok || !validStateKey(key) || !validStateValue(value) || slices.ContainsFunc(entries[:i], same) {
			return false
		}
	}
	return true
}

// validStateKey takes a name of up to 256 bytes that starts with a letter, or
// tenant@system: up to 241 that start with a letter or digit, and up to 14.
func validStateKey(key string) bool {
	tenant, system, multi := strings.Cut(key, "@")
	if multi {
		return stateName(tenant, 241) && stateName(system, 14) && isLetter(system[0])
	}
	return stateName(key, 256) && isLetter(key[0])
}

func stateName(s string, limit int) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && !isDigit(c) && (i == 0 || !strings.ContainsRune("_-*/", rune(c))) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= limit
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// validStateValue takes what is printable but "," and "=", with no space at the end.
func validStateValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return 0 < len(v) && len(v) <= 256 && v[len(v)-1] != ' '
}
