package wire

import (
	"encoding/binary"

	"github.com/hyperactor/hyperactor/id"
)

// The binary form of an Envelope, in this order:
//
//	kind, ttl, reason   one byte each; a trace or parts are bits of kind
//	call                uvarint
//	from, to            actors
//	via                 uvarint count, then that many procs
//	method, code        strings
//	trace               if there: id 16 bytes, span 8, flags 1, state as a string
//	parts               if there: uvarint count, then the length of each as a uvarint
//	body                the rest, without the parts
//	the parts           each as it is
//
// A string is a uvarint length and its bytes. A proc is host and name as
// strings and the UID as 8 bytes, or the single byte 0 for the zero Proc. An
// actor is its proc and, unless that is zero, its name. Every envelope has
// one form: a uvarint that is longer than need be is refused.
//
// From comes early so that the sender of an envelope that turns out to be
// malformed further on can still be told.

// Bits of the byte that holds the kind.
const (
	hasTrace = 0x80
	hasParts = 0x40
)

// Append appends the binary form of e to b and returns the extended slice.
// The parts must not have been released.
func (e *Envelope) Append(b []byte) []byte {
	b = append(e.AppendHeader(b), e.Body...)
	for i := range e.Parts {
		b = e.Parts[i].appendTo(b)
	}
	return b
}

// AppendHeader appends everything that comes before the body, so that a large
// body need not be copied.
func (e *Envelope) AppendHeader(b []byte) []byte {
	kind := byte(e.Kind)
	if e.Trace != nil {
		kind |= hasTrace
	}
	if len(e.Parts) > 0 {
		kind |= hasParts
	}
	b = append(b, kind, e.TTL, byte(e.Reason))
	b = binary.AppendUvarint(b, e.Call)
	b = appendActor(b, e.From)
	b = appendActor(b, e.To)
	b = binary.AppendUvarint(b, uint64(len(e.Via)))
	for _, p := range e.Via {
		b = appendProc(b, p)
	}
	b = appendString(b, e.Method)
	b = appendString(b, e.Code)
	if t := e.Trace; t != nil {
		b = append(append(append(b, t.ID[:]...), t.Span[:]...), t.Flags)
		b = appendString(b, t.State)
	}
	if len(e.Parts) > 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Parts)))
	}
	for i := range e.Parts {
		b = binary.AppendUvarint(b, uint64(e.Parts[i].Len()))
	}
	return b
}

// AppendUnnamed is AppendHeader without From, To and Method, for which a flow
// stands.
func (e *Envelope) AppendUnnamed(b []byte) []byte {
	if len(e.Via) == 0 && e.Code == "" && e.Trace == nil && len(e.Parts) == 0 { // most
		b = binary.AppendUvarint(append(b, byte(e.Kind), e.TTL, byte(e.Reason)), e.Call)
		return append(b, unnamed...)
	}
	short := *e
	short.From, short.To, short.Method = id.Actor{}, id.Actor{}, ""
	return short.AppendHeader(b)
}

// Size returns the length of the binary form of e.
func (e *Envelope) Size() int {
	n := 3 + uvarintSize(e.Call) + actorSize(e.From) + actorSize(e.To) + uvarintSize(uint64(len(e.Via)))
	for _, p := range e.Via {
		n += procSize(p)
	}
	if t := e.Trace; t != nil {
		n += 25 + stringSize(t.State)
	}
	if len(e.Parts) > 0 {
		n += uvarintSize(uint64(len(e.Parts)))
	}
	for i := range e.Parts {
		n += uvarintSize(uint64(e.Parts[i].Len())) + e.Parts[i].Len()
	}
	return n + stringSize(e.Method) + stringSize(e.Code) + len(e.Body)
}

func appendActor(b []byte, a id.Actor) []byte {
	b = appendProc(b, a.Proc)
	if a.Proc.Host == "" {
		return b
	}
	return appendString(b, a.Name)
}

func appendProc(b []byte, p id.Proc) []byte {
	b = appendString(b, p.Host)
	if p.Host == "" {
		return b
	}
	b = appendString(b, p.Name)
	return binary.BigEndian.AppendUint64(b, p.UID)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func actorSize(a id.Actor) int {
	if a.Proc.Host == "" {
		return 1
	}
	return procSize(a.Proc) + stringSize(a.Name)
}

func procSize(p id.Proc) int {
	if p.Host == "" {
		return 1
	}
	return stringSize(p.Host) + stringSize(p.Name) + 8
}

func stringSize(s string) int { return uvarintSize(uint64(len(s))) + len(s) }

func uvarintSize(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}
