package wire

import (
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// Marshal returns the CBOR of v. Types with MarshalText become text, times
// keep their nanoseconds, a Bulk is bytes like any (see MarshalParts).
func Marshal(v any) ([]byte, error) {
	if b, ok := appendPlain(nil, v); ok {
		return b, nil
	}
	return encMode().Marshal(v)
}

// Unmarshal reads the CBOR in b, all of it, into v. It refuses data that is
// nested deeper, or has more elements, than a message needs.
func Unmarshal(b []byte, v any) error { return UnmarshalParts(b, nil, v) }

func encOptions() cbor.EncOptions {
	return cbor.EncOptions{
		Time:          cbor.TimeRFC3339Nano,
		IndefLength:   cbor.IndefLengthForbidden,
		TextMarshaler: cbor.TextMarshalerTextString,
	}
}

func decOptions() cbor.DecOptions {
	return cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  32,
		MaxArrayElements: 1 << 20,
		MaxMapPairs:      1 << 20,
		IndefLength:      cbor.IndefLengthForbidden,
		DefaultMapType:   reflect.TypeFor[map[string]any](),
		TextUnmarshaler:  cbor.TextUnmarshalerTextString,
	}
}

// encMode and decMode are built once, at first use, and immutable: options
// that do not fit together would be a mistake in this file.
var (
	encMode = sync.OnceValue(func() cbor.UserBufferEncMode { return must(encOptions().UserBufferEncMode()) })
	decMode = sync.OnceValue(func() cbor.DecMode { return must(decOptions().DecMode()) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
