package channel_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// bulkPair is a pair whose b puts what comes into in.
func bulkPair(t *testing.T, in arrived) *pair {
	return newPair(t, func(c *channel.Config) {
		if c.Hello.Peer == procB {
			c.Handle = in.handle
		}
	})
}

// TestMS9BreakAnywhereInATransfer breaks the connection at bytes of a transfer:
// all of those near the beginning of a frame, and some others.
func TestMS9BreakAnywhereInATransfer(t *testing.T) {
	const frame = wire.ChunkHeader + wire.ChunkSize
	var places []int
	for n := range 300 {
		places = append(places, n+1)
	}
	for chunk := range 3 {
		for n := range 60 {
			places = append(places, (chunk+1)*frame+5*n)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		places = append(places, random.IntN(4*frame))
	}
	bytes := filled(3 * wire.ChunkSize)
	for _, at := range places {
		synctest.Test(t, func(t *testing.T) {
			in := make(arrived, 10)
			p := bulkPair(t, in)
			p.far()
			p.net.Cut("b")
			p.net.BreakAt("b", at)
			p.net.Heal("b")
			sent := []*wire.Envelope{
				withParts(1, bytes, 10, 600<<10, 5), message(wire.Call, 2, "small"),
				withParts(3, bytes, 300<<10), withParts(4, bytes, 0, 10), message(wire.Call, 5, "last"),
			}
			for _, e := range sent {
				if err := p.a.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			advance(5 * time.Second)
			synctest.Wait()
			if len(in) != len(sent) {
				t.Fatalf("broken at %d: %d of %d messages came; %+v", at, len(in), len(sent), p.a.Status())
			}
			for _, want := range sent {
				got := <-in
				if diff := same(&got, want); diff != "" {
					t.Fatalf("broken at %d: %s", at, diff)
				}
			}
			if st := p.a.Status(); st.Unacked != 0 {
				t.Errorf("broken at %d: %+v", at, st)
			}
		})
	}
}

// TestMS9FlappingTransfers sends at random over a connection that breaks at
// random: each message comes once, whole, and in order for its sender.
func TestMS9FlappingTransfers(t *testing.T) {
	bytes := filled(5 * wire.ChunkSize)
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			in := make(arrived, 1000)
			p := bulkPair(t, in)
			p.net.SetDelay(time.Millisecond)
			var sent [3][]*wire.Envelope
			for call := range uint64(60) {
				e := message(wire.Call, call, "")
				if random.IntN(3) == 0 {
					e = withParts(call, bytes, random.IntN(300<<10), random.IntN(4*wire.ChunkSize))
				}
				who := random.IntN(len(sent))
				e.From.Name = fmt.Sprint(who)
				sent[who] = append(sent[who], e)
				if err := p.a.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				if random.IntN(6) == 0 {
					p.cut(time.Duration(random.IntN(100)) * time.Millisecond)
				}
				advance(time.Duration(random.IntN(5)) * time.Millisecond)
			}
			advance(20 * time.Second)
			if len(in) != 60 {
				t.Fatalf("seed %d: %d of 60 messages came", seed, len(in))
			}
			for range 60 {
				got := <-in
				line := &sent[got.From.Name[0]-'0']
				if diff := same(&got, (*line)[0]); diff != "" {
					t.Fatalf("seed %d: %s", seed, diff)
				}
				*line = (*line)[1:]
			}
		})
	}
}

// MS-8: who lies in a chunk or about memory loses the connection, who lies about
// a message the message; nothing is allocated for it.
func TestMS8LiesAboutBulk(t *testing.T) {
	const (
		connection = iota // is lost
		refused           // is the message
	)
	chunk := func(seq uint64, transfer uint32, size uint64, n int) []byte {
		return append(wire.AppendChunk(nil, wire.Chunk{Seq: seq, Transfer: transfer, Size: size}, n), make([]byte, n)...)
	}
	memory := func(op wire.MemoryOp, segment uint32) []byte {
		return wire.AppendMemory(nil, wire.Memory{Seq: 4, Op: op, Segment: segment, Size: 1 << 20})
	}
	bulk := func(seq uint64, a wire.Apart, tail string, parts ...int) []byte {
		e := withParts(9, make([]byte, 1<<10), 0, parts...)
		b := e.AppendHeader(wire.AppendBulk(nil, len(e.AppendHeader(nil))+len(tail), wire.Data{Seq: seq}, a))
		return append(b, tail...)
	}
	whole := withParts(9, make([]byte, 1<<10), 0, 10).Append(nil)
	for name, c := range map[string]struct {
		stream []byte
		costs  int
	}{
		"parts that are not apart":    {dataFrame(4, 0, whole), refused},
		"memory of another machine":   {wire.AppendMemory(nil, wire.Memory{Seq: 4, Op: wire.MemoryOffer, Segment: 1, Size: 1 << 20}), connection},
		"a transfer of 1 GiB":         {chunk(4, 1, 1<<30, wire.ChunkSize), connection},
		"a transfer of 16 EiB":        {chunk(4, 1, 1<<63, wire.ChunkSize), connection},
		"a short chunk":               {chunk(4, 1, 1<<20, 100), connection},
		"another size":                {append(chunk(4, 1, 1<<20, wire.ChunkSize), chunk(5, 1, 1<<19, wire.ChunkSize)...), connection},
		"a number too far":            {chunk(5, 1, 100, 100), connection},
		"an answer about no segment":  {memory(wire.MemoryOpened, 1), connection},
		"a return of no segment":      {memory(wire.MemoryReturn, 1), connection},
		"no segment is given up":      {memory(wire.MemoryDrop, 1), connection},
		"no transfer":                 {bulk(4, wire.Apart{Transfer: 1}, "", 10), refused},
		"half a transfer":             {append(chunk(4, 1, 1<<20, wire.ChunkSize), bulk(5, wire.Apart{Transfer: 1}, "", 10)...), refused},
		"a tail in two places":        {append(chunk(4, 1, 10, 10), bulk(5, wire.Apart{Transfer: 1}, "x", 10)...), refused},
		"less than its parts":         {append(chunk(4, 1, 10, 10), bulk(5, wire.Apart{Transfer: 1}, "", 11)...), refused},
		"no segment":                  {bulk(4, wire.Apart{Segments: []uint32{1}}, "", 10), refused},
		"segments for other parts":    {bulk(4, wire.Apart{Segments: []uint32{0, 0}}, "0123456789", 10), refused},
		"parts of more than there is": {bulk(4, wire.Apart{}, "x", 1000), refused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newNeighbour(t, c.costs == connection && strings.Contains(name, "segment"))
				far := v.far()
				_, conn := v.say(v.resume(func(*wire.Hello) {}), c.stream)
				defer conn.Close()
				synctest.Wait()
				conn.(interface{ CloseWrite() error }).CloseWrite()
				advance(2 * time.Second)
				st := far.Status()
				if c.costs == refused && (st.Malformed != 1 || far.Err() != nil) {
					t.Errorf("%+v, %v", st, far.Err())
				}
				if c.costs == connection && (st.Malformed != 0 || !errors.Is(st.Lost, wire.ErrFraming)) {
					t.Errorf("%+v, %v", st, far.Err())
				}
				if got := v.atB.calls(); len(got) != 3 {
					t.Errorf("handled %v", got)
				}
			})
		})
	}
}

// TestMS7OffersWithoutEnd has a peer that offers memory, acknowledges nothing,
// and does not listen: what is kept to answer it is bounded.
func TestMS7OffersWithoutEnd(t *testing.T) {
	const queue = 300 << 10
	synctest.Test(t, func(t *testing.T) {
		v := newNeighbour(t, true, func(c *channel.Config) { c.QueueBytes = queue })
		var stream []byte
		for i := range uint64(170_000) {
			stream = wire.AppendMemory(stream, wire.Memory{Seq: 4 + i, Op: wire.MemoryOffer, Segment: uint32(i) + 1, Size: 1 << 40})
		}
		far := v.far()
		_, conn := v.say(v.resume(func(*wire.Hello) {}), stream)
		defer conn.Close()
		synctest.Wait()
		if st := far.Status(); st.Unacked > 21*queue+wire.MemoryFrame || !errors.Is(st.Lost, wire.ErrFraming) {
			t.Errorf("%d bytes are kept, lost because of %v", st.Unacked, st.Lost)
		}
	})
}
