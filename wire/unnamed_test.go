package wire

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// An envelope for whose names a flow stands is read as the slow way reads it,
// over whatever was there, and keeps the names.
func TestUnnamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEnvelope().Draw(t, "envelope")
		if rapid.Bool().Draw(t, "plain") {
			e.Via, e.Code, e.Trace, e.Parts = nil, "", nil, nil
		}
		b := append(e.AppendUnnamed(nil), e.Body...)
		for i := range e.Parts {
			b = e.Parts[i].appendTo(b)
		}
		bare := e
		bare.From, bare.To, bare.Method = sample.From, sample.To, sample.Method
		want := bare
		want.From, want.To, want.Method = Envelope{}.From, Envelope{}.To, ""
		if !bytes.Equal(b, want.Append(nil)) {
			t.Fatalf("%x, want %x", b, want.Append(nil))
		}
		if rapid.Bool().Draw(t, "damaged") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		got := anyEnvelope().Draw(t, "before")
		got.From, got.To, got.Method = sample.From, sample.To, sample.Method
		if !got.DecodeUnnamed(b) {
			return
		}
		r := reader{rest: b, dec: new(Decoder)}
		slow := Envelope{}
		if sizes := r.envelope(&slow); r.fault != "" || len(sizes) > 0 || slow.Join(r.rest, nil, nil) != nil {
			t.Fatalf("the slow way refuses %x: %s", b, r.fault)
		}
		slow.From, slow.To, slow.Method = sample.From, sample.To, sample.Method
		if !reflect.DeepEqual(got, slow) {
			t.Fatalf("got %+v, want %+v", got, slow)
		}
	})
}

// Most envelopes take the short way.
func TestUnnamedIsTaken(t *testing.T) {
	e := Envelope{Kind: Call, TTL: 3, Call: 1 << 40, Body: []byte("body")}
	var got Envelope
	if b := append(e.AppendUnnamed(nil), e.Body...); !got.DecodeUnnamed(b) || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, want %+v", got, e)
	}
}

// Bytes are copied once on their way from the socket to a handler: those of a
// body that nobody else has are the request's.
func TestUnmarshalOwnBody(t *testing.T) {
	body, err := Marshal([]byte("0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	if !IsBytes(body) || IsBytes(nil) {
		t.Error("IsBytes is wrong")
	}
	shared := Envelope{Body: body}
	own := shared
	own.CloneBody()
	for _, tt := range []struct {
		e    Envelope
		same bool
	}{{shared, false}, {own, true}} {
		var got []byte
		if err := tt.e.Unmarshal(&got); err != nil || string(got) != "0123456789" {
			t.Fatalf("got %q, %v", got, err)
		}
		tt.e.Body[len(tt.e.Body)-1] = '!'
		if same := got[len(got)-1] == '!'; same != tt.same {
			t.Errorf("the bytes are the body's: %v, want %v", same, tt.same)
		}
		tt.e.Body[len(tt.e.Body)-1] = '9'
	}
}
