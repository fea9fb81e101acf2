package wire

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// album has Bulks wherever they can be.
type album struct {
	Name   string
	Cover  Bulk
	Back   *Bulk
	Pages  []page
	Pair   [2]Bulk
	ByName map[string]Bulk
	Next   *album
	Grid   [][]Bulk
	shelf
	Any     any
	Skipped Bulk `cbor:"-"`
	Maybe   Bulk `cbor:",omitempty"`
	private Bulk //lint:ignore U1000 the codec passes over it
}

type page struct {
	Number int
	Image  Bulk `cbor:"i"`
}

type shelf struct{ Label Bulk }

func fullAlbum() album {
	b := func(s string) Bulk { return NewBulk([]byte(s)) }
	return album{
		Name: "n", Cover: b("cover"), Back: new(b("back")),
		Pages:  []page{{1, b("one")}, {2, Bulk{}}, {3, b("three")}},
		Pair:   [2]Bulk{b("left"), b("right")},
		ByName: map[string]Bulk{"x": b("ex"), "y": b("why"), "z": {}},
		Next:   &album{Cover: b("second")},
		Grid:   [][]Bulk{{b("00"), b("01")}, nil, {b("20")}},
		shelf:  shelf{b("label")},
	}
}

func TestPartsRoundTrip(t *testing.T) {
	want := fullAlbum()
	body, parts, err := MarshalParts(want)
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 13 {
		t.Errorf("%d parts, want 13: %v", len(parts), parts)
	}
	for _, word := range []string{"cover", "three", "label", "why"} {
		if bytes.Contains(body, []byte(word)) {
			t.Errorf("%q is in the body", word)
		}
	}
	var got album
	if err := UnmarshalParts(body, parts, &got); err != nil {
		t.Fatal(err)
	}
	sameAlbum(t, got, want)
	if &got.Cover.Bytes()[0] != &want.Cover.Bytes()[0] {
		t.Error("the bytes were copied")
	}
	if !reflect.DeepEqual(want, fullAlbum()) {
		t.Error("the message was changed")
	}
}

func sameAlbum(t *testing.T, got, want album) {
	t.Helper()
	a, err := Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	got = album{}
	if err := Unmarshal(a, &got); err != nil { // empty Bulks become the same
		t.Fatal(err)
	}
	if b, _ := Marshal(want); len(a) != len(b) || got.Name != want.Name {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if string(got.Next.Cover.Bytes()) != "second" || string(got.ByName["y"].Bytes()) != "why" ||
		string(got.Grid[2][0].Bytes()) != "20" || string(got.Pages[2].Image.Bytes()) != "three" || string(got.Label.Bytes()) != "label" {
		t.Errorf("got %+v", got)
	}
}

func TestPartsOfWholeMessages(t *testing.T) {
	for name, v := range map[string]any{
		"a bulk": NewBulk([]byte("b")), "a pointer": new(NewBulk([]byte("b"))), "bulks": []Bulk{NewBulk([]byte("b"))},
	} {
		body, parts, err := MarshalParts(v)
		if err != nil || len(parts) != 1 || bytes.Contains(body, []byte("b\x62")) {
			t.Errorf("%s: %d parts, %x, %v", name, len(parts), body, err)
			continue
		}
		got := reflect.New(reflect.TypeOf(v))
		if err := UnmarshalParts(body, parts, got.Interface()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlainMarshalKeepsBulkInline(t *testing.T) {
	in := page{1, NewBulk([]byte("picture"))}
	b, err := Marshal(in)
	if err != nil || !bytes.Contains(b, []byte("picture")) {
		t.Fatalf("%q, %v", b, err)
	}
	var got page
	if err := Unmarshal(b, &got); err != nil || string(got.Image.Bytes()) != "picture" {
		t.Errorf("%v, %v", got, err)
	}
	// What is inside an interface stays in the body, and comes as what CBOR has.
	body, parts, err := MarshalParts(album{Any: NewBulk([]byte("inner"))})
	if err != nil || len(parts) != 0 || !bytes.Contains(body, []byte("inner")) {
		t.Errorf("%q, %d parts, %v", body, len(parts), err)
	}
}

// ring has pointers that go in circles.
type ring struct {
	B    Bulk
	Next *ring
}

type plainRing struct{ Next *plainRing }

type withBulk struct{ B Bulk }

type embedsBulk struct {
	Bulk
	N int
}

type embedsPointer struct{ *shelf }

func TestMarshalPartsRefuses(t *testing.T) {
	circle := &ring{}
	circle.Next = circle
	released := Lend([]byte("x"), func() {})
	released.Release()
	for name, v := range map[string]any{
		"circle":              circle,
		"an embedded Bulk":    embedsBulk{},
		"an embedded pointer": embedsPointer{},
		"a released one":      released,
		"too many":            slices.Repeat([]Bulk{NewBulk([]byte("x"))}, MaxParts+1),
	} {
		if _, _, err := MarshalParts(v); err == nil {
			t.Errorf("%s is marshaled", name)
		} else {
			t.Log(err)
		}
	}
	if _, _, err := MarshalParts(slices.Repeat([]Bulk{NewBulk([]byte("x"))}, MaxParts+1)); !errors.Is(err, TooLarge) {
		t.Error("too many parts are not TooLarge")
	}
	if _, parts, err := MarshalParts(slices.Repeat([]Bulk{NewBulk([]byte("x"))}, MaxParts)); err != nil || len(parts) != MaxParts {
		t.Errorf("MaxParts: %v", err)
	}
}

func TestUnmarshalPartsRefusesLies(t *testing.T) {
	seat := func(number, size int) cbor.RawMessage {
		b := appendCBORUint([]byte(seatHead), uint64(number))
		return appendCBORUint(b, uint64(size))
	}
	one, two := NewBulk([]byte("1")), NewBulk([]byte("22"))
	for _, c := range []struct {
		name  string
		body  any
		parts []Bulk
	}{
		{"a part that is not there", []any{seat(1, 1)}, []Bulk{one}},
		{"no parts", []any{seat(0, 1)}, nil},
		{"a part twice", []any{seat(0, 1), seat(0, 1)}, []Bulk{one}},
		{"a part too many", []any{seat(0, 1)}, []Bulk{one, two}},
		{"no seats", []any{}, []Bulk{one}},
		{"wrong length", []any{seat(0, 2)}, []Bulk{one}},
		{"lengths exchanged", []any{seat(0, 2), seat(1, 1)}, []Bulk{one, two}},
		{"a seat of one", []any{cbor.RawMessage("\xdabulk\x81\x00")}, []Bulk{one}},
		{"a seat of three", []any{cbor.RawMessage("\xdabulk\x83\x00\x01\x00")}, []Bulk{one}},
		{"a negative part", []any{cbor.RawMessage("\xdabulk\x82\x20\x01")}, []Bulk{one}},
		{"another tag", []any{cbor.RawMessage("\xdabulc\x82\x00\x01")}, []Bulk{one}},
	} {
		body, err := Marshal(c.body)
		if err != nil {
			t.Fatal(c.name, err)
		}
		var got []Bulk
		if err := UnmarshalParts(body, c.parts, &got); err == nil {
			t.Errorf("%s is taken: %v", c.name, got)
		}
	}
	if err := Unmarshal([]byte("\xdabulk\x82\x00\x01"), new(Bulk)); !errors.Is(err, Malformed) {
		t.Errorf("Unmarshal of a seat: %v", err)
	}
}

func TestLayoutsAreFoundOnce(t *testing.T) {
	for _, v := range []any{0, "s", plainRing{}, &plainRing{}, everything{}, []page(nil), struct{ private Bulk }{}} {
		l := layoutOf(reflect.TypeOf(v))
		if has := strings.Contains(reflect.TypeOf(v).String(), "page"); has != (l != nil) {
			t.Errorf("%T: %v", v, l)
		}
	}
	if a, b := layoutOf(reflect.TypeFor[album]()), layoutOf(reflect.TypeFor[album]()); a != b {
		t.Error("album is surveyed twice")
	}
}

func TestMessagesWithoutBulkPayNothing(t *testing.T) {
	v := everything{S: "s"}
	var boxed any = v
	plain := testing.AllocsPerRun(100, func() { Marshal(boxed) })
	parts := testing.AllocsPerRun(100, func() { MarshalParts(boxed) })
	if parts > plain {
		t.Errorf("MarshalParts makes %v allocations, Marshal %v", parts, plain)
	}
	raw, _ := Marshal(v)
	var got everything
	bare := testing.AllocsPerRun(100, func() { decMode().Unmarshal(raw, &got) })
	ours := testing.AllocsPerRun(100, func() { UnmarshalParts(raw, nil, &got) })
	if ours > bare {
		t.Errorf("UnmarshalParts makes %v allocations, the codec %v", ours, bare)
	}
}

func FuzzUnmarshalParts(f *testing.F) {
	body, _, _ := MarshalParts(fullAlbum())
	f.Add(body, 13)
	body, _, _ = MarshalParts(withBulk{NewBulk([]byte("abc"))})
	f.Add(body, 1)
	f.Add([]byte("\xa1\x65Cover\xdabulk\x82\x00\x00"), 1)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		parts := make([]Bulk, min(max(n, 0), 20))
		for i := range parts {
			parts[i] = NewBulk(bytes.Repeat([]byte{byte(i)}, i%6))
		}
		var got album
		if UnmarshalParts(body, parts, &got) != nil {
			return
		}
		_, again, err := MarshalParts(got)
		if err != nil {
			t.Fatalf("%x decodes and does not encode: %v", body, err)
		}
		for _, p := range again {
			if p.Len() == 0 {
				t.Errorf("an empty part")
			}
		}
	})
}

func BenchmarkMarshalPartsWithoutBulk(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		MarshalParts(42)
	}
}

func BenchmarkMarshalParts(b *testing.B) {
	v := page{1, NewBulk(make([]byte, 1<<20))}
	b.ReportAllocs()
	for b.Loop() {
		MarshalParts(v)
	}
}
