package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/id"
	"pgregory.net/rapid"
)

var sample = Envelope{
	Kind: Call, TTL: DefaultTTL, Call: 300,
	From:   id.Proc{Host: "alpha", Name: "main", UID: 1}.Actor(""),
	To:     id.Proc{Host: "alpha", Name: "worker", UID: 1<<64 - 1}.Actor("c1"),
	Via:    []id.Proc{{Host: "beta", Name: "agent", UID: 2}},
	Method: "counter.add", Body: []byte{1, 2, 3},
}

func anyEnvelope() *rapid.Generator[Envelope] {
	name := rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9_.\-]{0,20}`)
	proc := rapid.Custom(func(t *rapid.T) id.Proc {
		return id.Proc{Host: name.Draw(t, "host"), Name: name.Draw(t, "proc"), UID: rapid.Uint64Min(1).Draw(t, "uid")}
	})
	actor := rapid.Custom(func(t *rapid.T) id.Actor {
		if rapid.IntRange(0, 4).Draw(t, "zero") == 0 {
			return id.Actor{}
		}
		return proc.Draw(t, "of").Actor(rapid.OneOf(name, rapid.Just("")).Draw(t, "actor"))
	})
	trace := rapid.Custom(func(t *rapid.T) Trace {
		return Trace{
			ID: [16]byte{15: rapid.ByteMin(1).Draw(t, "id")}, Span: [8]byte{7: rapid.ByteMin(1).Draw(t, "span")},
			Flags: rapid.Byte().Draw(t, "flags"), State: rapid.StringMatching(`([a-z][a-z0-9_*/\-]{0,20}=[!-+\--<>-~]{1,20})?`).Draw(t, "state"),
		}
	})
	part := rapid.Custom(func(t *rapid.T) Bulk {
		return NewBulk(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "part"))
	})
	return rapid.Custom(func(t *rapid.T) Envelope {
		e := Envelope{
			Kind:   Kind(rapid.IntRange(int(Send), int(Attached)).Draw(t, "kind")),
			TTL:    rapid.Uint8().Draw(t, "ttl"),
			Reason: Reason(rapid.IntRange(0, int(ShuttingDown)).Draw(t, "reason")),
			Call:   rapid.Uint64().Draw(t, "call"),
			To:     actor.Draw(t, "to"), From: actor.Draw(t, "from"),
			Via:    rapid.SliceOfN(proc, 0, 4).Draw(t, "via"),
			Method: rapid.OneOf(name, rapid.Just("")).Draw(t, "method"),
			Code:   rapid.StringN(0, 20, MaxCode).Draw(t, "code"),
			Trace:  rapid.Ptr(trace, true).Draw(t, "trace"),
			Body:   rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "body"),
			Parts:  rapid.SliceOfN(part, 0, 4).Draw(t, "parts"),
		}
		if len(e.Via) == 0 {
			e.Via = nil
		}
		if len(e.Body) == 0 {
			e.Body = nil
		}
		if len(e.Parts) == 0 {
			e.Parts = nil
		}
		return e
	})
}

func TestEnvelopeRoundTrip(t *testing.T) {
	var dec Decoder
	rapid.Check(t, func(t *rapid.T) {
		e := anyEnvelope().Draw(t, "envelope")
		b := e.Append([]byte("before"))
		if len(b) != len("before")+e.Size() {
			t.Fatalf("%d bytes, Size says %d", len(b)-6, e.Size())
		}
		got, err := dec.Decode(b[6:])
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, e)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	change := func(f func(*Envelope)) []byte {
		e := sample
		f(&e)
		return e.Append(nil)
	}
	long := strings.Repeat("x", id.MaxName+1)
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"kind 0":        change(func(e *Envelope) { e.Kind = 0 }),
		"kind too high": change(func(e *Envelope) { e.Kind = Attached + 1 }),
		"reason":        change(func(e *Envelope) { e.Reason = ShuttingDown + 1 }),
		"method":        change(func(e *Envelope) { e.Method = "a b" }),
		"long method":   change(func(e *Envelope) { e.Method = long }),
		"host":          change(func(e *Envelope) { e.To.Proc.Host = "a/b" }),
		"no proc name":  change(func(e *Envelope) { e.To.Proc.Name = "" }),
		"no uid":        change(func(e *Envelope) { e.To.Proc.UID = 0 }),
		"actor":         change(func(e *Envelope) { e.To.Name = "-" }),
		"zero via":      change(func(e *Envelope) { e.Via = []id.Proc{{}} }),
		"long via":      change(func(e *Envelope) { e.Via = make([]id.Proc, MaxVia+1) }),
		"long code":     change(func(e *Envelope) { e.Code = strings.Repeat("x", MaxCode+1) }),
		"binary code":   change(func(e *Envelope) { e.Code = "\xff" }),
		"no trace id":   change(func(e *Envelope) { e.Trace = &Trace{Span: [8]byte{1}} }),
		"no span":       change(func(e *Envelope) { e.Trace = &Trace{ID: [16]byte{1}} }),
		"long state":    change(func(e *Envelope) { e.Trace = &Trace{[16]byte{1}, [8]byte{1}, 0, strings.Repeat("x", MaxTraceState+1)} }),
		"many parts":    change(func(e *Envelope) { e.Parts = make([]Bulk, MaxParts+1) }),
		"long part":     append([]byte{byte(Send) | hasParts, 8, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 0),
		"long uvarint":  append([]byte{byte(Send), 8, 0, 0x80, 0}, make([]byte, 20)...),
	} {
		var dec Decoder
		if e, err := dec.Decode(b); !errors.Is(err, Malformed) {
			t.Errorf("%s: got %+v, %v, want Malformed", name, e, err)
		}
	}
	head := sample.AppendHeader(nil)
	for i := range head {
		var dec Decoder
		if e, err := dec.Decode(head[:i]); err == nil {
			t.Errorf("the first %d of %d bytes decode as %+v", i, len(head), e)
		}
	}
	var dec Decoder
	if e, err := dec.Decode(change(func(e *Envelope) { e.Method = "a b" })); err == nil || e.From != sample.From || e.Call != sample.Call {
		t.Errorf("an error hides who sent the message: %+v", e)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	e := sample
	e.Via = nil
	b := e.Append(nil)
	var dec Decoder
	if n := testing.AllocsPerRun(100, func() { dec.Decode(b) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func TestDecoderForgets(t *testing.T) {
	var dec Decoder
	for i := range uint64(3 * maxInterned) {
		e := Envelope{Kind: Send, To: id.Proc{Host: "h", Name: "n", UID: i + 1}.Actor("a"), Method: "m"}
		if _, err := dec.Decode(e.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if len(dec.actors) > maxInterned || len(dec.names) > maxInterned {
		t.Errorf("%d actors and %d names are remembered", len(dec.actors), len(dec.names))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample.Append(nil))
	for k := Send; k <= Attached; k++ {
		e := Envelope{Kind: k, TTL: 1, To: sample.To, Reason: NoRoute, Code: "x"}
		f.Add(e.Append(nil))
	}
	f.Add((&Envelope{Kind: Call, Trace: &Trace{ID: [16]byte{1}, Span: [8]byte{1}, State: "a=1"}, Parts: []Bulk{NewBulk([]byte("x")), {}}}).Append(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0})
	var shared Decoder
	f.Fuzz(func(t *testing.T, b []byte) {
		var fresh Decoder
		e, err := fresh.Decode(b)
		again, err2 := shared.Decode(b)
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(e, again) {
			t.Fatalf("a fresh decoder says %+v, %v; a used one %+v, %v", e, err, again, err2)
		}
		if err == nil && !bytes.Equal(e.Append(nil), b) {
			t.Fatalf("%x decodes as %+v, which is %x", b, e, e.Append(nil))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = sample.Append(buf[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	e := sample
	e.Via = nil
	raw := e.Append(nil)
	var dec Decoder
	b.ReportAllocs()
	for b.Loop() {
		dec.Decode(raw)
	}
}
