package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"unicode/utf8"
)

// Messages that are nothing, or nothing but bytes, a text or a number are many and
// small: they are encoded and decoded here, in a fraction of the time that a codec
// takes that has to find out what they are. The form is the same. What is
// unusual is left to that codec, so it alone says what is an error.

// The first three bits of an item of CBOR: what it is.
const (
	cborUint  = 0 << 5
	cborNint  = 1 << 5 // -1-n
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborMap   = 5 << 5
)

// cborEmpty is a map without entries, which is what a struct without fields
// becomes.
const cborEmpty byte = cborMap

// appendPlain appends the CBOR of what v points to, if that is plain.
func appendPlain(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case *[]byte:
		if *v == nil {
			return b, false
		}
		return append(appendHead(b, cborBytes, uint64(len(*v)), len(*v)), *v...), true
	case *string:
		return append(appendHead(b, cborText, uint64(len(*v)), len(*v)), *v...), true
	case *int:
		return appendInt(b, int64(*v)), true
	case *int64:
		return appendInt(b, *v), true
	case *uint64:
		return appendHead(b, cborUint, *v, 0), true
	}
	if isEmpty(v) {
		return append(b, cborEmpty), true
	}
	return b, false
}

// isEmpty reports whether v points to a struct that has nothing in it, and no
// methods to say so in another way, as actor.None is.
func isEmpty(v any) bool {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer || t.NumMethod() > 0 || reflect.ValueOf(v).IsNil() {
		return false
	}
	t = t.Elem()
	return t.Kind() == reflect.Struct && t.NumField() == 0
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, cborNint, uint64(^n), 0)
	}
	return appendHead(b, cborUint, uint64(n), 0)
}

// appendHead appends the head of an item, and makes room for more bytes after it.
func appendHead(b []byte, kind byte, n uint64, more int) []byte {
	switch {
	case n < 24:
		return append(room(b, 1+more), kind|byte(n))
	case n <= math.MaxUint8:
		return append(room(b, 2+more), kind|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(room(b, 3+more), kind|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(room(b, 5+more), kind|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(room(b, 9+more), kind|27), n)
}

// room returns b with room for n bytes after its end.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}

// IsBytes reports whether a body is nothing but bytes.
func IsBytes(body []byte) bool { return len(body) > 0 && body[0]&0xe0 == cborBytes }

// CloneBody puts e.Body into memory of its own: if it is nothing but bytes,
// Unmarshal need not copy them again.
func (e *Envelope) CloneBody() { e.Body, e.own, e.lent = bytes.Clone(e.Body), true, false }

// KeepBody is for who has e longer than it was there for: a body that was lent
// (Encoder) is put into memory of its own.
func (e *Envelope) KeepBody() {
	if e.lent {
		e.CloneBody()
	}
}

// Unmarshal is UnmarshalParts of e, but when v points to bytes, they may be
// those in e.Body, which nobody is to use any more then.
func (e *Envelope) Unmarshal(v any) error {
	if to, ok := v.(*[]byte); ok && e.own && len(e.Parts) == 0 {
		if kind, n, rest := readPlainHead(e.Body); kind == cborBytes && n == uint64(len(rest)) {
			*to = rest
			return nil
		}
	}
	return UnmarshalParts(e.Body, e.Parts, v)
}

// IsPlain reports whether what v points to is bytes, a text or a number, which are
// read and written here, at once and without any code of the user's.
func IsPlain(v any) bool {
	switch v.(type) {
	case *[]byte, *string, *int, *int64, *uint64:
		return true
	}
	return false
}

// UnmarshalPlain reads b into what v points to, if both are plain. What it
// refuses may still be for Unmarshal.
func UnmarshalPlain(b []byte, v any) bool {
	switch v := v.(type) {
	case *[]byte:
		if kind, n, rest := readPlainHead(b); kind == cborBytes && n == uint64(len(rest)) {
			*v = append(make([]byte, 0, len(rest)), rest...)
			return true
		}
	case *string:
		if kind, n, rest := readPlainHead(b); kind == cborText && n == uint64(len(rest)) && utf8.Valid(rest) {
			*v = string(rest)
			return true
		}
	case *int:
		if n, ok := unmarshalInt(b); ok && int64(int(n)) == n {
			*v = int(n)
			return true
		}
	case *int64:
		if n, ok := unmarshalInt(b); ok {
			*v = n
			return true
		}
	case *uint64:
		if kind, n, rest := readPlainHead(b); kind == cborUint && len(rest) == 0 {
			*v = n
			return true
		}
	default:
		return len(b) == 1 && b[0] == cborEmpty && isEmpty(v)
	}
	return false
}

func unmarshalInt(b []byte) (n int64, ok bool) {
	kind, u, rest := readPlainHead(b)
	if len(rest) > 0 || u > math.MaxInt64 {
		return 0, false
	}
	if kind == cborNint {
		return ^int64(u), true
	}
	return int64(u), kind == cborUint
}

const notPlain = 0xff // no item begins like this

// readPlainHead reads the head of an item and returns what comes after it.
func readPlainHead(b []byte) (kind byte, n uint64, rest []byte) {
	if len(b) == 0 {
		return notPlain, 0, nil
	}
	kind, rest = b[0]&0xe0, b[1:len(b):len(b)]
	size := 0
	switch info := b[0] & 0x1f; {
	case info < 24:
		return kind, uint64(info), rest
	case info < 28:
		size = 1 << (info - 24)
	}
	if size == 0 || len(rest) < size {
		return notPlain, 0, nil
	}
	for _, c := range rest[:size] {
		n = n<<8 | uint64(c)
	}
	return kind, n, rest[size:]
}
