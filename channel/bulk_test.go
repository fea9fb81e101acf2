package channel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// filled returns n bytes that are different at most places.
func filled(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i)
	}
	return b
}

// withParts returns a message with a body and parts of these sizes, which are
// taken from the beginning of b.
func withParts(call uint64, b []byte, body int, parts ...int) *wire.Envelope {
	e := message(wire.Call, call, "")
	e.Body = b[:body]
	for i, n := range parts {
		e.Parts = append(e.Parts, wire.NewBulk(b[i:i+n]))
	}
	return e
}

// same reports how got differs from want, or "".
func same(got, want *wire.Envelope) string {
	if !bytes.Equal(got.Body, want.Body) || got.Call != want.Call || len(got.Parts) != len(want.Parts) {
		return fmt.Sprintf("call %d with a body of %d bytes and %d parts, want %d with %d and %d",
			got.Call, len(got.Body), len(got.Parts), want.Call, len(want.Body), len(want.Parts))
	}
	for i := range got.Parts {
		err := got.Parts[i].View(func(p []byte) error {
			if !bytes.Equal(p, want.Parts[i].Bytes()) {
				return errors.New("other bytes")
			}
			return nil
		})
		if err != nil {
			return fmt.Sprintf("part %d of %d bytes: %v", i, want.Parts[i].Len(), err)
		}
		got.Parts[i].Release()
	}
	return ""
}

// arrived takes what comes, one after the other.
type arrived chan wire.Envelope

func (a arrived) handle(_ *channel.Session, e *wire.Envelope) { a <- *e }

// boundaries are the sizes at which something changes, and their neighbours.
func boundaries(most int) []int {
	var all []int
	for _, n := range []int{0, 16 << 10, wire.ChunkSize, 2 * wire.ChunkSize, 1 << 20, 16 << 20, 64 << 20, 256 << 20} {
		for _, d := range []int{-1, 0, 1} {
			if n+d >= 0 && n+d <= most && (n+d < 256<<20 || d >= 0) {
				all = append(all, n+d)
			}
		}
	}
	return all
}

// TestRealMS9EverySize: from 0 to 256 MiB, as parts and as bodies, over every
// kind of connection, everything arrives or is refused at the sender, alone.
func TestRealMS9EverySize(t *testing.T) {
	most := 256<<20 + 1
	if testing.Short() {
		most = 17 << 20
	}
	bytes := filled(most + 1)
	for _, c := range []struct {
		name, network string
		shared        int
		most          int
	}{{"unix", "unix", 0, 256<<20 + 1}, {"socket only", "unix", -1, 1<<20 + 1}, {"tcp", "tcp", -1, 16<<20 + 1}} {
		t.Run(c.name, func(t *testing.T) {
			near, far := realPair(t, c.network)
			in := make(arrived, 1)
			client, _ := sessions(t, near, far, in.handle, in.handle, func(cfg *channel.Config) { cfg.SharedBytes = c.shared })
			shared := 0
			for i, n := range boundaries(min(c.most, most)) {
				checkSize(t, client, in, withParts(uint64(2*i), bytes, 10, 0, n), n > 256<<20)
				if n <= 17<<20 {
					e := withParts(uint64(2*i+1), bytes, n)
					checkSize(t, client, in, e, e.Size() > 16<<20)
				}
				shared = max(shared, client.Status().Shared)
			}
			if st := client.Status(); (shared > 0) != (c.shared == 0) || shared > 64<<20 || st.NotShared != nil {
				t.Errorf("%d bytes are shared, %v", shared, st.NotShared)
			}
		})
	}
}

func checkSize(t *testing.T, s *channel.Session, in arrived, e *wire.Envelope, tooLarge bool) {
	t.Helper()
	err := s.Send(t.Context(), e)
	if tooLarge != errors.Is(err, wire.TooLarge) || !tooLarge && err != nil {
		t.Fatalf("message of %d bytes: %v", e.Size(), err)
	}
	if tooLarge {
		return
	}
	got := <-in
	if diff := same(&got, e); diff != "" {
		t.Fatalf("message of %d bytes: %s", e.Size(), diff)
	}
}

// TestMS9SmallMessagesDoNotWait: while 8 MiB are on their way, a small message
// of another sender waits behind one chunk at most, and one of the same sender
// does not overtake.
func TestMS9SmallMessagesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		in := make(arrived, 100)
		line := &gated{near, make(chan struct{})}
		client, _ := sessions(t, line, far, in.handle, in.handle)
		send := func(e *wire.Envelope) {
			t.Helper()
			if err := client.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		send(withParts(1, make([]byte, 8<<20), 0, 8<<20))
		send(message(wire.Call, 2, "behind"))
		for i := range uint64(20) {
			synctest.Wait() // a chunk is being written
			other := message(wire.Call, 100+i, "other")
			other.From.Name = "other"
			send(other)
			line.chunks <- struct{}{}
			synctest.Wait()
			if len(in) != 1 {
				t.Fatalf("%d messages came after one chunk, want 1", len(in))
			}
			if got := <-in; got.Call != other.Call {
				t.Errorf("%d came, want %d", got.Call, other.Call)
			}
		}
		close(line.chunks)
		for want := range uint64(2) {
			if got := <-in; got.Call != want+1 {
				t.Errorf("%d came, want %d", got.Call, want+1)
			}
		}
	})
}

// gated lets one chunk out for each element of chunks.
type gated struct {
	net.Conn
	chunks chan struct{}
}

func (g *gated) Write(b []byte) (int, error) {
	if len(b) > wire.ChunkSize/2 {
		<-g.chunks
	}
	return g.Conn.Write(b)
}

// TestMS9Undelivered: what waits in line when a session ends never left; what
// was on its way did perhaps, chunks or not.
func TestMS9Undelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		blocked := make(chan struct{})
		client, _ := sessions(t, near, far, func(*channel.Session, *wire.Envelope) {}, func(*channel.Session, *wire.Envelope) { <-blocked })
		client.Send(t.Context(), message(wire.Call, 1, "blocks the reader"))
		client.Send(t.Context(), withParts(2, make([]byte, 4<<20), 0, 4<<20))
		client.Send(t.Context(), message(wire.Call, 3, "in line"))
		synctest.Wait()
		client.Abort(errors.New("enough"))
		close(blocked)
		got := map[uint64]bool{}
		for e, written := range client.Undelivered() {
			got[e.Call] = written
			if e.Body != nil || e.Parts != nil {
				t.Errorf("call %d is returned with its bytes", e.Call)
			}
		}
		if want := map[uint64]bool{1: true, 2: false, 3: false}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestMS7NeverAcknowledged has a peer that reads everything and says nothing:
// what is kept for it is bounded, and goes on when it says something.
func TestMS7NeverAcknowledged(t *testing.T) {
	const most = 2 << 20 // of transfers, as the peer says
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var read atomic.Uint64
		var wg sync.WaitGroup
		wg.Go(func() {
			readFrame(far)
			b, _ := wire.Hello{
				Version: wire.Version, Peer: procB, Epoch: 1, Session: 1, ResumeFor: time.Minute,
				Limits: wire.Limits{MaxFrame: most / 2, MaxBulk: most / 2},
			}.Append(nil)
			far.Write(b)
			for typ := wire.FrameType(1); typ != 0; {
				if typ, b = readFrame(far); typ == wire.FrameChunk || typ == wire.FrameBulk {
					read.Store(binary.BigEndian.Uint64(b))
				}
			}
		})
		a, err := channel.Dial(t.Context(), only(near), "", channel.Config{
			Hello: wire.Hello{Peer: procA}, Handle: (&inbox{}).handle, QueueBytes: 1 << 20, SuspectAfter: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { a.Run() })
		wg.Go(func() {
			for range 40 {
				if a.Send(t.Context(), message(wire.Send, 1, string(make([]byte, most/2-100)))) != nil {
					return
				}
			}
		})
		for range 5 {
			synctest.Wait()
			if kept := a.Status().Unacked; kept < most || kept > most+wire.ChunkSize+1<<20+1000 {
				t.Fatalf("%d bytes are kept for a peer that takes %d", kept, most)
			}
			before := read.Load()
			far.Write(wire.AppendAck(nil, before))
			synctest.Wait()
			if read.Load() == before {
				t.Fatalf("nothing more went out after frame %d", before)
			}
		}
		a.Abort(nil)
		far.Close()
		wg.Wait()
	})
}

// TestMS9CloseWaitsForTransfers: what is in line goes out before the end (MS-10).
func TestMS9CloseWaitsForTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, func(n *memnet.Network) { n.SetDelay(100 * time.Millisecond) }) // 7 s for 4 MiB
		in := make(arrived, 10)
		client, _ := sessions(t, near, far, in.handle, in.handle)
		for i, n := range []int{4 << 20, 10} {
			if err := client.Send(t.Context(), withParts(uint64(i), make([]byte, n), 0, n)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Fatal(err)
		}
		for want := range uint64(2) {
			if got := <-in; got.Call != want {
				t.Errorf("call %d came, want %d", got.Call, want)
			}
		}
	})
}

// BenchmarkRealBulk16MiB is 16 MiB one way through shared memory, against a
// copy of the same size, and against the socket, in turns.
func BenchmarkRealBulk16MiB(b *testing.B) {
	const size = 16 << 20
	from, to := filled(size), make([]byte, size)
	shared, socket := bulkRun(b, 0, from), bulkRun(b, -1, from)
	var memcpy, memory, wired time.Duration
	for b.Loop() {
		start := time.Now()
		copy(to, from)
		memcpy += time.Since(start)
		memory += shared()
		wired += socket()
	}
	b.ReportMetric(float64(memcpy)/float64(memory), "x-memcpy")
	b.ReportMetric(float64(wired)/float64(memory), "x-socket")
	b.ReportMetric(size*float64(b.N)/memory.Seconds()/1e9, "GB/s")
}

// bulkRun returns what sends b until it is there, and how long that takes.
func bulkRun(t testing.TB, share int, b []byte) func() time.Duration {
	near, far := realPair(t, "unix")
	var came sync.WaitGroup
	sink := func(_ *channel.Session, e *wire.Envelope) {
		for _, p := range e.Parts {
			p.Release()
		}
		came.Done()
	}
	client, _ := sessions(t, near, far, sink, sink, func(c *channel.Config) { c.SharedBytes = share })
	send := func() time.Duration {
		e := message(wire.Call, 1, "")
		e.Parts = []wire.Bulk{wire.NewBulk(b)}
		start := time.Now()
		came.Add(1)
		if err := client.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		came.Wait()
		return time.Since(start)
	}
	send()
	return send
}
