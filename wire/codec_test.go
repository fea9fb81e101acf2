package wire

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

type everything struct {
	B    bool
	I    int64
	U    uint64
	F    float64
	S    string
	Raw  []byte
	List []int
	Map  map[string]int
	Key  map[id.Proc]int
	T    time.Time
	D    time.Duration
	P    id.Proc
	Ptr  *everything
}

func TestCodecRoundTrip(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	p := id.Proc{Host: "h", Name: "n", UID: 1}
	want := everything{
		B: true, I: math.MinInt64, U: math.MaxUint64, F: 0.1, S: "é", Raw: []byte{0, 255}, List: []int{1, -1},
		Map: map[string]int{"a": 1}, Key: map[id.Proc]int{p: 1}, T: when, D: time.Nanosecond, P: p, Ptr: &everything{},
	}
	b, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got everything
	if err := Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !bytes.Contains(b, []byte(p.String())) {
		t.Error("a proc is not its text")
	}
}

func TestCodecRefuses(t *testing.T) {
	deep := bytes.Repeat([]byte{0x81}, 100)
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"nested too deep":   append(deep, 0),
		"a huge array":      {0x9b, 0, 0, 0, 1, 0, 0, 0, 0},
		"a huge map":        {0xbb, 0, 0, 0, 1, 0, 0, 0, 0},
		"a huge string":     {0x5b, 0x7f, 0, 0, 1, 0, 0, 0, 0},
		"indefinite length": {0x9f, 0xff},
		"trailing bytes":    {0, 0},
		"a repeated key":    {0xa2, 0x61, 'a', 1, 0x61, 'a', 2},
		"bad UTF-8":         {0x61, 0xff},
	} {
		var v any
		if err := Unmarshal(b, &v); err == nil {
			t.Errorf("%s decodes as %v", name, v)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	b, _ := Marshal(everything{Ptr: &everything{}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var v everything
		if Unmarshal(b, &v) != nil {
			return
		}
		if _, err := Marshal(v); err != nil {
			t.Errorf("%x decodes and does not encode: %v", b, err)
		}
	})
}

func BenchmarkMarshalInt(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Marshal(42)
	}
}

func BenchmarkUnmarshalInt(b *testing.B) {
	raw, _ := Marshal(42)
	b.ReportAllocs()
	for b.Loop() {
		var n int
		Unmarshal(raw, &n)
	}
}
