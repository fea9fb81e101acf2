package channel

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/hyperactor/hyperactor/wire"
)

func TestBufferClasses(t *testing.T) {
	before, last := -1, 0
	for n := range maxBuffer/97 + 1 {
		n = min(97*n, maxBuffer)
		class, size := classOf(n)
		if size < n || n > largeBody && size > n+n/4+1 || class < 0 || class >= bufferSizes {
			t.Fatalf("%d bytes are in class %d, of %d bytes", n, class, size)
		}
		if class < before || (class == before) != (size == last) {
			t.Fatalf("class %d of %d bytes comes after class %d of %d", class, size, before, last)
		}
		before, last = class, size
	}
	if class, size := classOf(maxBuffer); class != bufferSizes-1 || size != maxBuffer {
		t.Errorf("the last class is %d, of %d bytes", class, size)
	}
	var p buffers
	b := p.get(20000)
	if len(b.b) != 20000 {
		t.Errorf("%d bytes", len(b.b))
	}
	p.put(b)
	if c := p.get(17000); len(c.b) != 17000 {
		t.Errorf("%d bytes", len(c.b))
	}
	if huge := p.get(maxBuffer + 1); huge.class >= 0 {
		t.Error("a huge buffer is used again")
	}
}

// TestBuffersComeBackWarm: the next message goes where the last one was, and what
// is kept for that is bounded.
func TestBuffersComeBackWarm(t *testing.T) {
	var p buffers
	first, second, other := p.get(100_000), p.get(100_000), p.get(1<<20)
	for _, b := range []*buffer{second, first, other} {
		p.put(b)
	}
	if got := p.get(110_000); got != first || len(got.b) != 110_000 {
		t.Errorf("got %d bytes, and not the last buffer that came back", len(got.b))
	}
	if p.get(100_000) != second || p.get(1<<20) != other {
		t.Error("the buffers that came back before are not used again")
	}
	if len(p.warm) != 0 || p.bytes != 0 {
		t.Errorf("%d buffers of %d bytes are kept, want none", len(p.warm), p.bytes)
	}

	var all []*buffer
	for range 2 * maxWarm >> 20 {
		all = append(all, p.get(1<<20))
	}
	for _, b := range all {
		p.put(b)
	}
	p.put(p.get(maxWarm + 1))
	if n := len(p.warm); p.bytes > maxWarm || p.bytes < maxWarm/2 || p.warm[n-1] != all[len(all)-1] {
		t.Errorf("%d buffers of %d bytes are kept, want the last ones, at most %d bytes", n, p.bytes, maxWarm)
	}
}

// TestRefusedMessagesGiveTheirBufferBack: what makes no sense keeps none, whole
// or not.
func TestRefusedMessagesGiveTheirBufferBack(t *testing.T) {
	e := &wire.Envelope{Kind: wire.Send, TTL: 8, Parts: []wire.Bulk{wire.NewBulk(make([]byte, largeBody))}}
	for name, flow := range map[string]wire.Flow{"of an unknown flow": 7, "with its tail in two places": 0} {
		cfg := Config{Handle: func(*Session, *wire.Envelope) { t.Errorf("a message %s is handed over", name) }}.withDefaults()
		s, hub := newSession(1, Peer{}, nil, cfg), cfg.Hub
		var apart wire.Apart
		if flow == 0 {
			apart.Transfer = 1
		}
		b := e.AppendHeader(wire.AppendBulk(nil, 0, wire.Data{Seq: 1, Flow: flow}, apart))[wire.FrameHeader:]
		own := hub.buffers.get(len(b) + largeBody)
		copy(own.b, b)
		if err := s.bulkFrame(own.b, own); err != nil {
			t.Fatal(err)
		}
		if s.malformed.Load() != 1 || hub.buffers.get(len(b)+largeBody) != own {
			t.Errorf("a message %s keeps its buffer; %d are refused", name, s.malformed.Load())
		}
	}
}

// TestReadAhead: what comes together with the end of a large message is not read
// once more, and not lost.
func TestReadAhead(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer near.Close()
	sent := make([]byte, 1000)
	for i := range sent {
		sent[i] = byte(i)
	}
	wg.Go(func() { far.Write(sent) })
	var in input
	in.init(near, new(Hub))
	got := make([]byte, 0, 600+100)
	for _, c := range []struct{ read, ahead int }{{600, 100}, {100, 0}, {10, 0}, {290, 0}} {
		n, err := in.read(got[len(got) : len(got)+c.read : min(cap(got), len(got)+c.read+c.ahead)])
		if got = got[:len(got)+n]; n != c.read || err != nil || len(in.bytes()) != c.ahead {
			t.Fatalf("read %d bytes and %d ahead (%v), want %d and %d", n, len(in.bytes()), err, c.read, c.ahead)
		}
		got = append(make([]byte, 0, 1000+100), got...)
	}
	if !bytes.Equal(got, sent) {
		t.Error("what was read is not what was sent")
	}
}
