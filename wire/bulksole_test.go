package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hyperactor/hyperactor/wire"
	"pgregory.net/rapid"
)

// A []byte or a Bulk arrives whatever its size, and in whatever type the
// receiver wants it: that it is a part is nobody's business.
func TestMS9LargeBytesArriveAsAnyType(t *testing.T) {
	type blob []byte
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 255, 16<<10 - 1, 16 << 10, 1 << 16, 300_000}).Draw(t, "n")
		want := bytes.Repeat([]byte{7}, n)
		bulk := wire.NewBulk(want)
		for _, v := range []any{&want, &bulk} {
			body, parts, err := wire.MarshalParts(v)
			if err != nil {
				t.Fatal(err)
			}
			var plain []byte
			var named blob
			var whatever any
			var asBulk wire.Bulk
			var pointer *wire.Bulk
			for _, to := range []any{&plain, &named, &whatever, &asBulk, &pointer} {
				if err := wire.UnmarshalParts(body, parts, to); err != nil {
					t.Fatalf("%d bytes of %T into %T: %v", n, v, to, err)
				}
			}
			for _, got := range [][]byte{plain, named, whatever.([]byte), asBulk.Bytes(), pointer.Bytes()} {
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes came of %d", len(got), n)
				}
			}
		}
	})
}

// A large []byte is not copied by its sender. Its receiver owns it, and the
// memory that it came in is free at once.
func TestMS9LargeBytesAreTheReceiversOwn(t *testing.T) {
	sent := bytes.Repeat([]byte{1}, 1<<16)
	body, parts, err := wire.MarshalParts(&sent)
	if err != nil || len(parts) != 1 || &parts[0].Bytes()[0] != &sent[0] {
		t.Fatalf("got %d parts, err %v, want sent itself", len(parts), err)
	}
	came, returned := bytes.Clone(sent), 0
	e := wire.Envelope{Body: body, Parts: []wire.Bulk{wire.NewBulk(came)}}
	e.InBuffer(func() { returned++ })
	var got []byte
	if err := wire.UnmarshalParts(e.Body, e.Parts, &got); err != nil {
		t.Fatal(err)
	}
	e.ReleaseBody()
	if returned != 1 {
		t.Errorf("the buffer was given back %d times, want once", returned)
	}
	clear(came) // the buffer is used again
	if !bytes.Equal(got, sent) {
		t.Error("the message changed with the buffer that it came in")
	}
}

// A body that names its only part wrongly is refused, into whatever type, and so
// is a Bulk that was released.
func TestSoleSeatsThatLie(t *testing.T) {
	sent := make([]byte, 1<<16)
	body, _, err := wire.MarshalParts(&sent)
	if err != nil {
		t.Fatal(err)
	}
	var plain []byte
	var bulk wire.Bulk
	for _, parts := range [][]wire.Bulk{nil, {wire.NewBulk(sent[1:])}, {wire.NewBulk(sent), wire.NewBulk(sent)}} {
		for _, to := range []any{&plain, &bulk} {
			if err := wire.UnmarshalParts(body, parts, to); err == nil {
				t.Errorf("%d parts were taken for %T", len(parts), to)
			}
		}
	}
	lent := wire.Lend(sent, func() {})
	lent.Release()
	if _, parts, err := wire.MarshalParts(&lent); !errors.Is(err, wire.ErrReleased) || parts != nil {
		t.Errorf("got %d parts, err %v, want ErrReleased", len(parts), err)
	}
}
