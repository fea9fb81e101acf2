package wire

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// nothing is a message without fields, spoken one that says so in its own words,
// and noted one whose field is not for the wire.
type (
	nothing struct{}
	spoken  struct{}
	noted   struct {
		_ struct{} `cbor:",toarray"`
	}
)

func (spoken) MarshalText() ([]byte, error) { return []byte("nothing"), nil }
func (*spoken) UnmarshalText([]byte) error  { return nil }

// plains are pointers to one value of each plain type, and of types that are
// nearly so.
func plains(b []byte, n int64) []any {
	s, i, u := string(b), int(n), uint64(n)
	return []any{&b, &s, &i, &n, &u, new(nothing), new(spoken), new(noted), (*nothing)(nil)}
}

// What is plain has the form that the codec for everything gives it.
func TestPlainIsWhatTheCodecMakes(t *testing.T) {
	sizes := []int{0, 1, 23, 24, 255, 256, 65535, 65536}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "large") {
			b = make([]byte, rapid.SampledFrom(sizes).Draw(t, "size"))
		}
		if rapid.IntRange(0, 9).Draw(t, "nil") == 0 {
			b = nil
		}
		n := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 23, 24, -24, -25, 255, 256, -256, -257, math.MaxUint16, math.MaxUint32, math.MinInt64, math.MaxInt64})).Draw(t, "number")
		for _, v := range plains(b, n) {
			want, err := encMode().Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Marshal(v)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%T: got %x, %v; want %x", v, got, err, want)
			}
			checkPlain(t, want, v)
		}
	})
}

// checkPlain checks that b becomes what the codec for everything makes of it.
func checkPlain(t interface{ Fatalf(string, ...any) }, b []byte, like any) {
	got, want := reflect.New(reflect.TypeOf(like).Elem()), reflect.New(reflect.TypeOf(like).Elem())
	gotErr, wantErr := Unmarshal(b, got.Interface()), decMode().Unmarshal(b, want.Interface())
	if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Fatalf("%x as %T: got %v, %v; want %v, %v", b, like, got.Elem(), gotErr, want.Elem(), wantErr)
	}
}

func FuzzUnmarshalPlain(f *testing.F) {
	for _, v := range append(plains([]byte(strings.Repeat("x", 300)), -300), plains([]byte("é"), 1<<40)...) {
		b, _ := appendPlain(nil, v)
		f.Add(b)
	}
	f.Add([]byte{0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x58, 0x01, 'x'}) // not the shortest form
	f.Add([]byte{0x5f, 0xff})
	f.Add([]byte{0xf6})
	f.Add([]byte{0x62, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range plains(nil, 0) {
			checkPlain(t, b, v)
		}
	})
}

func TestPlainAllocs(t *testing.T) {
	b := make([]byte, 64)
	var body []byte
	for _, tt := range []struct {
		name string
		want float64
		f    func()
	}{
		{"marshal", 1, func() { body, _ = Marshal(&b) }},
		{"unmarshal", 1, func() { Unmarshal(body, &b) }},
	} {
		if got := testing.AllocsPerRun(100, tt.f); got > tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}
