package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/hyperactor/hyperactor/id"
)

// What an envelope may hold at most, besides the length of a name (id.MaxName).
const (
	MaxVia        = 32   // procs in a source route
	MaxCode       = 256  // bytes in an error code
	MaxTraceState = 512  // bytes of a Trace's State, as the W3C's recommendation asks for
	MaxParts      = 1024 // Bulk parts
)

// maxInterned bounds each table of a Decoder; a full one starts over.
const maxInterned = 1024

// Decoder reads envelopes. It remembers the names that it has seen, a bounded
// number of them, so that a message between known actors costs no allocation.
// The zero Decoder is ready; it is for one goroutine.
type Decoder struct {
	actors map[string]id.Actor // by binary form
	names  map[string]string   // checked names
}

// Decode reads the binary form of an envelope, all of b. Body and Parts alias b.
//
// An error wraps Malformed. What came before the fault is in the envelope
// then; From, if it is not zero, is who can be told.
func (d *Decoder) Decode(b []byte) (e Envelope, err error) {
	err = d.DecodeInto(&e, b)
	return e, err
}

// DecodeInto is Decode into e, whatever is in it: for many, one after the other.
func (d *Decoder) DecodeInto(e *Envelope, b []byte) error {
	*e = Envelope{}
	if e.DecodeUnnamed(b) {
		return nil
	}
	r := reader{rest: b, dec: d}
	sizes := r.envelope(e)
	if r.fault != "" {
		return fmt.Errorf("%w: envelope of %d bytes: %s", Malformed, len(b), r.fault)
	}
	return e.Join(r.rest, sizes, nil)
}

// unnamed is how all that comes after the call begins in an envelope as most of
// them are: From, To, Via, Method and Code are empty, a flow stands for them.
const unnamed = "\x00\x00\x00\x00\x00"

// DecodeUnnamed reads such an envelope into e, whose From, To and Method stay.
// It reports false, and leaves e alone, if b is not one, or has anything else
// that is unusual: that is left to Decode, so it alone says what is an error.
// Body aliases b.
func (e *Envelope) DecodeUnnamed(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	kind, reason := Kind(b[0]), Reason(b[2])
	call, size := uint64(b[3]), 1
	if call >= 0x80 {
		call, size = binary.Uvarint(b[3:])
		if size <= 0 || size != uvarintSize(call) {
			return false
		}
	}
	rest := b[3+size:]
	if len(rest) < len(unnamed) || string(rest[:len(unnamed)]) != unnamed || !kind.Valid() || reason != 0 && !reason.Valid() {
		return false
	}
	e.Kind, e.TTL, e.Reason, e.Call = kind, b[1], reason, call
	e.Via, e.Code, e.Trace, e.Body, e.Parts, e.body, e.own, e.lent = nil, "", nil, nil, nil, nil, false, false
	if len(rest) > len(unnamed) {
		e.Body = rest[len(unnamed):len(rest):len(rest)]
	}
	return true
}

// envelope reads everything that comes before the body into e, and returns the
// sizes of the parts.
func (r *reader) envelope(e *Envelope) (sizes []uint64) {
	kind := r.byte()
	e.Kind = Kind(kind &^ (hasTrace | hasParts))
	e.TTL = r.byte()
	e.Reason = Reason(r.byte())
	e.Call = r.uvarint()
	e.From = r.actor()
	e.To = r.actor()
	e.Via = r.via()
	e.Method = r.name()
	e.Code = r.code()
	if kind&hasTrace != 0 {
		e.Trace = r.trace()
	}
	if kind&hasParts != 0 {
		sizes = r.sizes()
	}
	if r.fault == "" && !e.Kind.Valid() {
		r.fault = "unknown kind"
	}
	if r.fault == "" && e.Reason != 0 && !e.Reason.Valid() {
		r.fault = "unknown reason"
	}
	return sizes
}

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool { return Send <= k && k <= Attached }

// reader takes an envelope apart. After the first fault it returns zeros.
type reader struct {
	rest  []byte
	fault string
	dec   *Decoder
}

func (r *reader) fail(fault string) {
	if r.fault == "" {
		r.fault = fault
	}
	r.rest = nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail("cut short")
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		n := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(n)
	}
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || size != uvarintSize(n) {
		r.fail("not a number in its shortest form")
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// string returns the bytes of a string; they alias the input.
func (r *reader) string(limit uint64) []byte {
	n := r.uvarint()
	if n > limit {
		r.fail("a string is too long")
		return nil
	}
	if n > uint64(len(r.rest)) {
		r.fail("cut short")
		return nil
	}
	s := r.rest[:n:n]
	r.rest = r.rest[n:]
	return s
}

// name returns a checked name, or "".
func (r *reader) name() string {
	s := r.string(id.MaxName)
	if len(s) == 0 {
		return ""
	}
	if known, ok := r.dec.names[string(s)]; ok {
		return known
	}
	name := string(s)
	if id.CheckName(name) != nil {
		r.fail("a name has a byte that is not allowed")
		return ""
	}
	r.dec.names = remember(r.dec.names, name, name)
	return name
}

func (r *reader) code() string {
	s := r.string(MaxCode)
	if len(s) == 0 {
		return ""
	}
	if !utf8.Valid(s) {
		r.fail("a code is not UTF-8")
		return ""
	}
	return string(s)
}

// actor looks the whole binary form up at once: one look-up instead of three.
func (r *reader) actor() id.Actor {
	whole := r.rest
	if len(r.string(id.MaxName)) == 0 {
		return id.Actor{}
	}
	r.string(id.MaxName)
	r.skip(8)
	r.string(id.MaxName)
	if r.fault != "" {
		return id.Actor{}
	}
	form := whole[:len(whole)-len(r.rest)]
	if a, ok := r.dec.actors[string(form)]; ok {
		return a
	}
	again := reader{rest: form, dec: r.dec}
	a := id.Actor{Proc: again.proc(), Name: again.name()}
	if again.fault != "" {
		r.fail(again.fault)
		return id.Actor{}
	}
	r.dec.actors = remember(r.dec.actors, string(form), a)
	return a
}

func (r *reader) skip(n int) {
	if len(r.rest) < n {
		r.fail("cut short")
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) uint64() uint64 {
	if len(r.rest) < 8 {
		r.fail("cut short")
		return 0
	}
	n := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return n
}

// proc reads a proc and requires each of its parts.
func (r *reader) proc() id.Proc {
	p := id.Proc{Host: r.name(), Name: r.name(), UID: r.uint64()}
	if r.fault == "" && (p.Host == "" || p.Name == "" || p.UID == 0) {
		r.fail("a proc lacks a part")
	}
	return p
}

func (r *reader) via() []id.Proc {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n > MaxVia {
		r.fail("the source route is too long")
		return nil
	}
	via := make([]id.Proc, 0, n)
	for range n {
		via = append(via, r.proc())
	}
	if r.fault != "" {
		return nil
	}
	return via
}

func (r *reader) trace() *Trace {
	var t Trace
	r.fill(t.ID[:])
	r.fill(t.Span[:])
	t.Flags = r.byte()
	t.State = string(r.string(MaxTraceState))
	if r.fault == "" && !t.Valid() {
		r.fail("a trace without id or span, or with a state that is none")
	}
	return &t
}

func (r *reader) fill(b []byte) {
	from := r.rest
	r.skip(len(b))
	copy(b, from)
}

// sizes reads the sizes of parts.
func (r *reader) sizes() []uint64 {
	n := r.uvarint()
	if r.fault == "" && (n == 0 || n > MaxParts) {
		r.fail("no parts, or too many")
		return nil
	}
	sizes := make([]uint64, 0, n)
	for range n {
		size := r.uvarint()
		if size > MaxMaxBulk {
			r.fail("a part is too long")
		}
		sizes = append(sizes, size)
	}
	return sizes
}

// remember adds to a table, which starts over when it is full.
func remember[V any](table map[string]V, key string, v V) map[string]V {
	if table == nil || len(table) >= maxInterned {
		table = make(map[string]V)
	}
	table[key] = v
	return table
}
