package wire

import (
	"bytes"
	"reflect"
)

// Most messages with large bytes are nothing but them. Their body is a seat
// that says so, without the detour of looking for Bulks in a value.

// largePlain is how long a []byte must be to travel as a part: shorter ones are
// copied faster than they are looked after.
const largePlain = 16 << 10

// solePart returns the only part of what v points to, if it is large bytes.
func solePart(v any) (part Bulk, ok bool, err error) {
	switch v := v.(type) {
	case *[]byte:
		return NewBulk(*v), len(*v) >= largePlain, nil
	case *Bulk:
		if v.seat == nil && v.Len() > 0 {
			part, err = v.Share()
			return part, err == nil, err
		}
	}
	return Bulk{}, false, nil
}

// soleSeat returns the body of a message that is nothing but a part of n bytes.
func soleSeat(n int) []byte {
	b := make([]byte, 0, len(seatHead)+1+9)
	return appendCBORUint(append(append(b, seatHead...), 0), uint64(n))
}

// isSoleSeat reports whether body is what soleSeat(n) returns.
func isSoleSeat(body []byte, n int) bool {
	rest, ok := bytes.CutPrefix(body, []byte(seatHead+"\x00"))
	if !ok {
		return false
	}
	kind, size, rest := readPlainHead(rest)
	return kind == cborUint && size == uint64(n) && len(rest) == 0
}

// unmarshalSole reads a message that is nothing but part into v, and releases
// the part unless v holds it. It reports false if v may have a place for a Bulk
// further down.
func unmarshalSole(part Bulk, v any) (done bool, err error) {
	switch v := v.(type) {
	case *Bulk:
		*v = part
		return true, nil
	case *[]byte:
		defer part.Release()
		return true, part.View(func(p []byte) error {
			// The copy is cheaper than it looks: what is read into memory that is
			// used again, and warm, is read so much faster.
			own := make([]byte, len(p)) // not cleared: this and the copy are one
			copy(own, p)
			*v = own
			return nil
		})
	}
	if layoutOf(reflect.TypeOf(v)) != nil {
		return false, nil
	}
	defer part.Release()
	return true, part.View(func(p []byte) error {
		return Unmarshal(append(appendHead(nil, cborBytes, uint64(len(p)), len(p)), p...), v)
	})
}
