package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// MarshalParts is Marshal, but the bytes of every Bulk in v are not copied into
// the body: they are the parts, and the body has their numbers (MS-9). A Bulk
// inside an interface value, or inside a type that marshals itself, stays in
// the body. An empty one takes no part.
//
// A large []byte that is all of v is a part as well, without a copy: it must
// not be changed afterwards.
//
// The parts stay valid when those in v are released. A message that needs more
// than MaxParts is refused with TooLarge.
func MarshalParts(v any) (body []byte, parts []Bulk, err error) {
	return marshalParts(v, Marshal)
}

// marshalParts is MarshalParts; marshal is for what has no Bulk in it.
func marshalParts(v any, marshal func(any) ([]byte, error)) (body []byte, parts []Bulk, err error) {
	if part, ok, err := solePart(v); err != nil {
		return nil, nil, fmt.Errorf("marshal %T: %w", v, err)
	} else if ok {
		return soleSeat(part.Len()), []Bulk{part}, nil
	}
	var l *layout
	if !IsPlain(v) {
		l = layoutOf(reflect.TypeOf(v))
	}
	if l == nil {
		body, err = marshal(v)
		return body, nil, err
	}
	if l.fault != "" {
		return nil, nil, fmt.Errorf("marshal %T: %s", v, l.fault)
	}
	var p planter
	stand := reflect.New(reflect.TypeOf(v)) // what is encoded: v with seats in place of bytes
	stand.Elem().Set(reflect.ValueOf(v))
	if err := p.plant(l, stand.Elem(), 0); err != nil {
		return nil, nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	body, err = Marshal(stand.Interface())
	if err != nil {
		return nil, nil, err
	}
	return body, p.parts, nil
}

// UnmarshalParts reads what MarshalParts returned into v, which is a pointer.
// It refuses a body that names a part that is not there or has another length,
// or that does not name each part exactly once. The Bulks in v are the parts
// themselves: they live until released. A []byte is a copy of the part that it
// came in, which is released.
func UnmarshalParts(body []byte, parts []Bulk, v any) error {
	if len(parts) == 0 && UnmarshalPlain(body, v) {
		return nil
	}
	if len(parts) == 1 && isSoleSeat(body, parts[0].Len()) {
		if done, err := unmarshalSole(parts[0], v); done || err != nil {
			return err
		}
	}
	if err := decMode().Unmarshal(body, v); err != nil {
		return err
	}
	f := filler{parts: parts}
	if l := layoutOf(reflect.TypeOf(v)); l != nil {
		f.fault = l.fault
		f.fill(l, reflect.ValueOf(v))
	}
	if f.fault == "" && f.used != len(parts) {
		f.fault = fmt.Sprintf("%d parts, %d of them are named", len(parts), f.used)
	}
	if f.fault != "" {
		return fmt.Errorf("unmarshal %T: %w: %s", v, Malformed, f.fault)
	}
	return nil
}

// seat stands for a Bulk in a body: a CBOR tag and an array of the
// part's number, from 0, and its length.
type seat struct {
	number, size uint64
	planter      *planter // while encoding
	bulk         Bulk     // likewise; what sits there
	seated       bool     // number is known
}

// errNotFilled is what a type gets that reads a Bulk by its own UnmarshalCBOR,
// not with this package.
var errNotFilled = errors.New("a bulk whose bytes are in no part")

// seatHead is how every seat begins: the CBOR tag 0x62756c6b, which reads
// "bulk", and an array of two.
const seatHead = "\xdabulk\x82"

// MarshalCBOR returns a byte string, or the seat that MarshalParts has put
// into the place of b.
func (b Bulk) MarshalCBOR() ([]byte, error) {
	if b.seat == nil {
		p, err := b.Pin()
		if err != nil {
			return nil, err
		}
		defer b.Unpin()
		if p == nil {
			p = []byte{}
		}
		return encMode().Marshal(p)
	}
	s := b.seat
	if s.planter == nil {
		return nil, errNotFilled
	}
	if !s.seated {
		s.number, s.seated = uint64(len(s.planter.parts)), true
		s.planter.parts = append(s.planter.parts, s.bulk)
	}
	out := appendCBORUint([]byte(seatHead), s.number)
	return appendCBORUint(out, s.size), nil
}

// UnmarshalCBOR reads what MarshalCBOR returns. A seat is only for
// UnmarshalParts to fill.
func (b *Bulk) UnmarshalCBOR(raw []byte) error {
	if !bytes.HasPrefix(raw, []byte(seatHead)) {
		*b = Bulk{}
		return decMode().Unmarshal(raw, &b.b)
	}
	s := new(seat)
	rest := raw[len(seatHead):]
	for _, to := range []*uint64{&s.number, &s.size} {
		var err error
		if rest, err = decMode().UnmarshalFirst(rest, to); err != nil {
			return err
		}
	}
	*b = Bulk{seat: s}
	return nil
}

// appendCBORUint appends n as CBOR does.
func appendCBORUint(b []byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, byte(n))
	case n < 1<<8:
		return append(b, 24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 27), n)
}

var _ cbor.Marshaler = Bulk{}
var _ cbor.Unmarshaler = (*Bulk)(nil)
