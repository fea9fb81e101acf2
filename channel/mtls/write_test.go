package mtls_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hyperactor/hyperactor/channel/mtls"
)

// sockets returns a connection over real sockets.
func sockets(t testing.TB) (near, far *mtls.Conn) {
	t.Helper()
	demo := newAuthority(t, "demo")
	beta := newTransport(t, nil, newHost(t, demo, "beta", time.Hour).Credentials)
	alpha := newTransport(t, nil, newHost(t, demo, "alpha", time.Hour).Credentials)
	l := listen(t, beta)
	a, b := pair(t, l, alpha, l.Addr().String(), procA, procB)
	return a.(*mtls.Conn), b.(*mtls.Conn)
}

// pieces draws buffers of all sizes, some of them none.
func pieces() *rapid.Generator[net.Buffers] {
	size := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 40_000), rapid.SampledFrom([]int{16383, 16384, 16385, 32768, 65536, 200_000}))
	return rapid.Custom(func(t *rapid.T) net.Buffers {
		var v net.Buffers
		for _, n := range rapid.SliceOfN(size, 0, 6).Draw(t, "sizes") {
			v = append(v, bytes.Repeat([]byte{byte(n), byte(n >> 8), byte(len(v))}, n/3+1)[:n])
		}
		return v
	})
}

// What is written arrives, however it is cut up.
func TestRealWriteBuffers(t *testing.T) {
	near, far := sockets(t)
	rapid.Check(t, func(t *rapid.T) {
		v := pieces().Draw(t, "buffers")
		want := bytes.Join(v, nil)
		got := make([]byte, len(want))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := io.ReadFull(far, got); err != nil {
				t.Error(err)
			}
		})
		n, err := near.WriteBuffers(&v)
		wg.Wait()
		if err != nil || n != int64(len(want)) || len(v) != 0 || !bytes.Equal(got, want) {
			t.Fatalf("wrote %d of %d, %d buffers left, %v; arrived as it was: %v", n, len(want), len(v), err, bytes.Equal(got, want))
		}
	})
}

// A socket that is full takes nothing, and loses nothing: what TryWrite did not
// take goes out with what is written next.
func TestRealTryWrite(t *testing.T) {
	near, far := sockets(t)
	random := rand.New(rand.NewPCG(1, 2))
	var sent bytes.Buffer
	refused := 0
	next := func() []byte {
		b := make([]byte, 1+random.IntN(16<<10))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		sent.Write(b)
		return b
	}
	write := func(done *sync.WaitGroup) {
		for {
			b := next()
			if n := near.TryWrite(b); n == len(b) {
				continue
			} else if n != 0 {
				t.Fatalf("it took %d of %d", n, len(b))
			}
			refused++
			if n := near.TryWrite(b); n != 0 {
				t.Errorf("it takes %d of what it has encrypted already", n)
			}
			done.Go(func() { // nobody reads yet
				if n, err := near.WriteBuffers(&net.Buffers{b[:len(b)/2], b[len(b)/2:], []byte("end")}); err != nil || n != int64(len(b)+3) {
					t.Errorf("wrote %d, %v", n, err)
				}
			})
			sent.WriteString("end")
			return
		}
	}
	for range 5 {
		sent.Reset()
		var done sync.WaitGroup
		write(&done)
		got := make([]byte, sent.Len())
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent.Bytes()) {
			t.Fatalf("%d bytes arrived as they were: %v, %v", len(got), bytes.Equal(got, sent.Bytes()), err)
		}
		done.Wait()
	}
	if refused != 5 {
		t.Errorf("the socket was full %d times", refused)
	}
	if n := near.TryWrite(make([]byte, 17<<10)); n != 0 {
		t.Errorf("it took %d bytes, more than a record", n)
	}
}

// Nothing is written behind a failure: a record may be out in part.
func TestRealWriteAfterFailure(t *testing.T) {
	for _, size := range []int{10, 100_000} { // held back until the end of the write, and not
		near, far := sockets(t)
		near.SetWriteDeadline(time.Unix(1, 0))
		if _, err := near.Write(make([]byte, size)); err == nil {
			t.Fatal("a write after its deadline")
		}
		near.SetWriteDeadline(time.Time{})
		if n, err := near.Write([]byte("more")); err == nil {
			t.Errorf("it goes on and writes %d", n)
		}
		if n := near.TryWrite([]byte("more")); n != 0 {
			t.Errorf("it goes on and tries %d", n)
		}
		near.Close()
		if got, err := io.ReadAll(far); len(got) != 0 || err == nil {
			t.Errorf("%d bytes arrive, %v", len(got), err)
		}
	}
}

// Close does not wait for a peer that does not read, nor for those who write.
func TestRealCloseIsAtOnce(t *testing.T) {
	near, far := sockets(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := near.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	if _, err := far.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
