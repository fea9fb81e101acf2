package osproc

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/id"
)

func TestControlRoundTrip(t *testing.T) {
	var b bytes.Buffer
	sent := []note{
		{Version: version, Once: []byte("once"), Addr: "unix:/x"},
		{Version: 7, Failure: "no more string"},
		{},
	}
	for _, n := range sent {
		if err := writeControl(&b, n); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range sent {
		var got note
		if err := readControl(&b, &got); err != nil || got.Version != want.Version || !bytes.Equal(got.Once, want.Once) || got.Addr != want.Addr || got.Failure != want.Failure {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if err := readControl(&b, &note{}); err != io.EOF {
		t.Errorf("got %v at the end", err)
	}
}

func TestControlBoundsBothWays(t *testing.T) {
	if err := writeControl(io.Discard, note{Failure: strings.Repeat("x", maxControl)}); err == nil {
		t.Error("a message that nobody would read was written")
	}
	for _, in := range []string{"\x00\x01\x00\x01", "\xff\xff\xff\xff", "\x00\x00\x00\x01\xff"} {
		if err := readControl(strings.NewReader(in), &note{}); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: got %v", in, err)
		}
	}
	if err := readControl(strings.NewReader("\x00\x00"), &note{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a length: got %v", err)
	}
}

func FuzzReadControl(f *testing.F) {
	for _, v := range []any{
		note{Version: version, Once: []byte("once"), Addr: "unix:/x"},
		boot{Version: version, Token: []byte("t"), Proc: id.Proc{Host: "alpha", Name: "a", UID: 1}, Back: "unix:/y"},
	} {
		var b bytes.Buffer
		if err := writeControl(&b, v); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("\x00\x00\x00\x01\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		var n note
		if readControl(r, &n) != nil {
			return
		}
		if read := len(in) - r.Len(); read > maxControl+4 {
			t.Errorf("read %d bytes", read)
		}
		var b boot
		readControl(bytes.NewReader(in), &b)
	})
}
