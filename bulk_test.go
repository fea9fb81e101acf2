package hyperactor_test

import (
	"bytes"
	"context"
	"hash/crc32"
	"runtime"
	"testing"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/wire"
)

// photo is a message with bulk in it.
type photo struct {
	Name string
	Raw  wire.Bulk
}

type lab struct{}

var (
	labSum = actor.On("lab.sum", func(_ *lab, _ context.Context, p photo) (sum uint32, err error) {
		defer p.Raw.Release()
		err = p.Raw.View(func(b []byte) error {
			sum = crc32.ChecksumIEEE(b)
			return nil
		})
		return sum, err
	})
	labCopy = actor.On("lab.copy", func(_ *lab, _ context.Context, p photo) (photo, error) { return p, nil })
	labType = actor.Define("lab", func(context.Context, actor.None) (*lab, error) { return &lab{}, nil }, labSum, labCopy)
)

// MS-9: between a program and its child large parts go through memory that
// both have, in both directions.
func TestRealMS9BulkToAChild(t *testing.T) {
	rt := newRuntime(t, testConfig())
	ctx := rt.Context(t.Context())
	h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := labType.Spawn(ctx, h.ID(), "lab", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Repeat([]byte("hyper"), 1<<20)
	want := crc32.ChecksumIEEE(b)
	for range 10 {
		got, err := labSum.Call(ctx, ref, photo{"p", wire.NewBulk(b)})
		if err != nil || got != want {
			t.Fatalf("checksum %x, want %x: %v", got, want, err)
		}
		back, err := labCopy.Call(ctx, ref, photo{"p", wire.NewBulk(b)})
		if err != nil || !bytes.Equal(back.Raw.Bytes(), b) {
			t.Fatalf("%v, %v", back, err)
		}
	}
	shared := 0
	for _, st := range rt.Sessions() {
		if shared += st.Shared; st.NotShared != nil {
			t.Error(st.NotShared)
		}
	}
	if runtime.GOOS == "linux" && shared == 0 {
		t.Error("nothing went through shared memory")
	}
}
