package handshake

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// full are messages that have all that there is to say.
func full() []message {
	p := id.Proc{Host: "alpha", Name: "a", UID: 1}
	return []message{
		&Boot{
			Version: Version, Once: []byte("once"), Token: []byte("token"), Proc: p, Host: id.Proc{Host: "alpha", Name: "service", UID: 2},
			Back: "unix:/y", Listen: "unix:/x", Limits: wire.Limits{MaxFrame: 1 << 20, MaxBulk: 1 << 31}, Grants: true,
		},
		&Note{Version: Version, Once: []byte("once"), Addr: "unix:/x", Crash: 7, Failure: "no more string", Key: []byte("key"), Ask: 1 << 63},
		&Grant{Ask: 1 << 63, Grant: []byte("certificate"), Failure: "nobody issues any"},
	}
}

// fresh returns a message of the type of m, which Read fills.
func fresh(m message) message { return reflect.New(reflect.TypeOf(m).Elem()).Interface().(message) }

// lean has nil where m has no bytes.
func lean(m message) message {
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
	return m
}

func TestRoundTrip(t *testing.T) {
	var b bytes.Buffer
	sent := append(full(), &Boot{Version: Version}, &Note{Version: Version}, &Grant{})
	for _, m := range sent {
		if err := Write(&b, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range sent {
		got := fresh(want)
		if err := Read(&b, got); err != nil || !reflect.DeepEqual(lean(got), want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if err := Read(&b, new(Note)); err != io.EOF {
		t.Errorf("got %v at the end", err)
	}
}

// TestOtherVersions reads of another version what that is, whatever follows.
func TestOtherVersions(t *testing.T) {
	for _, in := range []string{"\x01", "\x07anything at all"} {
		for _, m := range []message{new(Boot), new(Note)} {
			if err := Read(strings.NewReader("\x00\x00\x00"+string(rune(len(in)))+in), m); err != nil {
				t.Errorf("%q: %v", in, err)
			}
			if got := reflect.ValueOf(m).Elem().Field(0).Int(); got != int64(in[0]) {
				t.Errorf("%q: version %d", in, got)
			}
		}
	}
}

func TestBoundsBothWays(t *testing.T) {
	if err := Write(io.Discard, &Note{Failure: strings.Repeat("x", MaxMessage)}); err == nil {
		t.Error("a message that nobody would read was written")
	}
	for _, in := range []string{"\x00\x01\x00\x01", "\xff\xff\xff\xff", "\x00\x00\x00\x01\xff", "\x00\x00\x00\x00", "\x00\x00\x00\x02\x02\x05"} {
		if err := Read(strings.NewReader(in), new(Note)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v", in, err)
		}
	}
	if err := Read(strings.NewReader("\x00\x00"), new(Note)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a length: got %v", err)
	}
}

// TestEveryCut refuses a message that was cut anywhere, or has a byte too many.
func TestEveryCut(t *testing.T) {
	for _, m := range full() {
		whole := m.append(nil)
		for _, body := range append(prefixes(whole), append(whole, 0)) {
			f := fields{rest: body}
			if fresh(m).parse(&f); f.fault == "" {
				t.Errorf("%T: %d of %d bytes were taken", m, len(body), len(whole))
			}
		}
	}
}

func prefixes(b []byte) (all [][]byte) {
	for i := range b {
		all = append(all, b[:i:i])
	}
	return all
}

// FuzzRead reads anything as each message; what it takes comes out again.
func FuzzRead(f *testing.F) {
	for _, m := range full() {
		var b bytes.Buffer
		if err := Write(&b, m); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("\x00\x00\x00\x01\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, m := range full() {
			r := bytes.NewReader(in)
			got := fresh(m)
			if Read(r, got) != nil {
				continue
			}
			if read := len(in) - r.Len(); read > MaxMessage+4 {
				t.Errorf("read %d bytes", read)
			}
			var b bytes.Buffer
			again := fresh(m)
			if err := errors.Join(Write(&b, got), Read(&b, again)); err != nil || !reflect.DeepEqual(lean(again), lean(got)) {
				t.Errorf("%+v became %+v, %v", got, again, err)
			}
		}
	})
}
