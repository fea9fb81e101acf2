package wire

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// What an Encoder makes, one after the other, is what MarshalParts makes; who
// keeps it, has it whatever comes next.
func TestEncoderIsMarshalParts(t *testing.T) {
	type mixed struct {
		Text string
		Raw  []byte
		Bulk Bulk
	}
	rapid.Check(t, func(t *rapid.T) {
		var n Encoder
		var kept []Envelope
		var want [][]byte
		for range rapid.IntRange(1, 10).Draw(t, "messages") {
			raw := make([]byte, rapid.SampledFrom([]int{0, 1, 64, 1000, maxLent - 100, maxLent, largePlain, 3 * maxLent}).Draw(t, "size"))
			for i := range raw {
				raw[i] = byte(i + len(want))
			}
			text := string(raw)
			v := rapid.SampledFrom([]any{&raw, &text, &mixed{Text: text, Raw: raw}, &mixed{Bulk: NewBulk(raw)}, &[]int{len(raw)}}).Draw(t, "value")
			body, parts, err := MarshalParts(v)
			if err != nil {
				t.Fatal(err)
			}
			var e Envelope
			if err := n.Encode(&e, v); err != nil || !bytes.Equal(e.Body, body) || len(e.Parts) != len(parts) {
				t.Fatalf("%T: %d bytes and %d parts, %v; want %d and %d", v, len(e.Body), len(e.Parts), err, len(body), len(parts))
			}
			e.KeepBody()
			kept, want = append(kept, e), append(want, body)
		}
		for i := range kept {
			if !bytes.Equal(kept[i].Body, want[i]) {
				t.Fatalf("body %d was changed by a later one", i)
			}
		}
	})
}

// An Encoder that has failed is as good as before.
func TestEncoderAfterAnError(t *testing.T) {
	var n Encoder
	var e Envelope
	if err := n.Encode(&e, &struct {
		A int
		F func()
	}{A: 1}); err == nil {
		t.Fatal("a func was encoded")
	}
	v := "x"
	if err := n.Encode(&e, &v); err != nil || string(e.Body) != "\x61x" {
		t.Errorf("got %x, %v", e.Body, err)
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	var n Encoder
	var e Envelope
	b := make([]byte, 1024)
	v := &struct{ Raw []byte }{b}
	for name, encode := range map[string]func(){
		"bytes":  func() { n.Encode(&e, &b) },
		"struct": func() { n.Encode(&e, v) },
	} {
		if got := testing.AllocsPerRun(100, encode); got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
