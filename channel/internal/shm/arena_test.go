package shm

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizeFor(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, MinSize}, {1, MinSize}, {MinSize, MinSize}, {MinSize + 1, MinSize / 4 * 5},
		{1 << 20, 1 << 20}, {16 << 20, 16 << 20}, {16<<20 + 1, 20 << 20}, {31 << 20, 32 << 20},
	} {
		if got := SizeFor(c.n); got != c.want {
			t.Errorf("SizeFor(%d) = %d, want %d", c.n, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1<<30).Draw(t, "n")
		if got := SizeFor(n); got < n || got > max(MinSize, n+n/4) || got%(32<<10) != 0 || SizeFor(got) != got {
			t.Fatalf("SizeFor(%d) = %d", n, got)
		}
	})
}

// pair is both sides and the frames between them, as the obvious thing: what
// is in each segment, who has it, and what is on its way.
type pair struct {
	limit  int
	arena  Arena
	rooms  Lodgings
	now    time.Time
	ground map[uint32]*ground
	down   []event // from the writer
	up     []event // from the reader
}

type ground struct {
	size   int
	memory []byte
	held   bool // written and not given back
	let    bool // the reader uses it
}

type event struct {
	what   string
	number uint32
	n      int
}

func (p *pair) announced() int {
	n := 0
	for _, g := range p.ground {
		n += g.size
	}
	return n
}

// TestArenaAndLodgings: whatever comes in whatever order, a segment is never
// written while it is read, the limits hold, and all ends with nothing.
func TestArenaAndLodgings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 8).Draw(t, "limit") * MinSize
		p := &pair{limit: limit, arena: Arena{Limit: limit}, rooms: Lodgings{Limit: 2 * limit}, now: time.Unix(1, 0), ground: map[uint32]*ground{}}
		t.Repeat(map[string]func(*rapid.T){
			"send":    p.send,
			"deliver": p.deliver,
			"answer":  p.answer,
			"done":    p.done,
			"expire":  p.expire,
			"":        p.check,
		})
		for len(p.up)+len(p.down) > 0 {
			p.deliver(t)
			p.answer(t)
		}
		for _, n := range p.letting() {
			p.finish(t, n)
		}
		for len(p.up) > 0 {
			p.answer(t)
		}
		p.now = p.now.Add(time.Hour)
		p.expire(t)
		for len(p.down) > 0 {
			p.deliver(t)
		}
		if p.arena.Bytes() != 0 || len(p.rooms.rooms) != 0 || p.rooms.bytes != 0 || len(p.ground) != 0 {
			t.Fatalf("left: %d bytes, %d rooms of %d bytes, %d segments", p.arena.Bytes(), len(p.rooms.rooms), p.rooms.bytes, len(p.ground))
		}
	})
}

func (p *pair) send(t *rapid.T) {
	n := rapid.IntRange(1, 10*MinSize).Draw(t, "n")
	if number, ok := p.arena.Take(n); ok {
		g := p.ground[number]
		if g == nil || g.held || g.let || g.size < n {
			t.Fatalf("segment %d for %d bytes: %+v", number, n, g)
		}
		if rapid.IntRange(0, 4).Draw(t, "untaken") == 0 {
			p.arena.Untake(number, p.now)
			return
		}
		g.held = true
		p.arena.Sent(number)
		p.down = append(p.down, event{"use", number, n})
		return
	}
	for number, s := range p.arena.slots {
		if s.state == free && s.size >= n && s.size <= 4*n {
			t.Fatalf("segment %d is free and not taken", number)
		}
	}
	grown := p.arena.Grow(n)
	p.dropped(t, grown.Drop)
	if grown.Size > 0 {
		p.ground[grown.Number] = &ground{size: grown.Size, memory: make([]byte, grown.Size)}
		p.down = append(p.down, event{"announce", grown.Number, grown.Size})
	}
}

func (p *pair) dropped(t *rapid.T, numbers []uint32) {
	for _, n := range numbers {
		if g := p.ground[n]; g.held {
			t.Fatalf("segment %d is given up in use", n)
		}
		p.down = append(p.down, event{"drop", n, 0})
	}
}

// deliver brings the oldest frame to the reader.
func (p *pair) deliver(t *rapid.T) {
	if len(p.down) == 0 {
		return
	}
	e := p.down[0]
	p.down = p.down[1:]
	g := p.ground[e.number]
	switch e.what {
	case "announce":
		ok, err := p.rooms.Announce(e.number, uint64(e.n))
		if err != nil {
			t.Fatal(err)
		}
		if ok && rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
			p.rooms.Refused(e.number)
			ok = false
		}
		if ok {
			p.rooms.Mapped(e.number, g.memory)
			p.up = append(p.up, event{"opened", e.number, 1})
		} else {
			p.up = append(p.up, event{"opened", e.number, 0})
		}
	case "use":
		b, err := p.rooms.Let(e.number, e.n)
		if err != nil || len(b) != e.n || &b[0] != &g.memory[0] {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		g.let = true
	case "drop":
		b, err := p.rooms.Drop(e.number)
		if err != nil || b == nil || &b[0] != &g.memory[0] {
			t.Fatalf("drop %d: %d bytes, %v", e.number, len(b), err)
		}
		delete(p.ground, e.number)
	}
}

// answer brings the oldest frame to the writer.
func (p *pair) answer(t *rapid.T) {
	if len(p.up) == 0 {
		return
	}
	e := p.up[0]
	p.up = p.up[1:]
	if e.what == "return" {
		p.ground[e.number].held = false
		if err := p.arena.Return(e.number, p.now); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := p.arena.Opened(e.number, e.n == 1, p.now); err != nil {
		t.Fatal(err)
	}
	if e.n == 0 {
		delete(p.ground, e.number)
	}
}

func (p *pair) letting() []uint32 {
	var all []uint32
	for n, g := range p.ground {
		if g.let {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

func (p *pair) done(t *rapid.T) {
	if all := p.letting(); len(all) > 0 {
		p.finish(t, rapid.SampledFrom(all).Draw(t, "done"))
	}
}

func (p *pair) finish(t *rapid.T, n uint32) {
	p.ground[n].let = false
	if b := p.rooms.Return(n); b != nil {
		t.Fatal("unmapped a segment that was not given up")
	}
	p.up = append(p.up, event{"return", n, 0})
}

func (p *pair) expire(t *rapid.T) {
	before := p.now.Add(-time.Second)
	gone, next := p.arena.Expire(before)
	p.dropped(t, gone)
	for n, s := range p.arena.slots {
		if s.state == free && (!s.used.After(before) || next.IsZero() || next.After(s.used)) {
			t.Fatalf("segment %d, used %v, is kept; next %v", n, s.used, next)
		}
	}
	p.now = p.now.Add(time.Duration(rapid.IntRange(0, 800).Draw(t, "ms")) * time.Millisecond)
}

func (p *pair) check(t *rapid.T) {
	sum := 0
	for _, s := range p.arena.slots {
		sum += s.size
	}
	if sum != p.arena.Bytes() || sum > p.limit {
		t.Fatalf("%d bytes, booked %d, limit %d", sum, p.arena.Bytes(), p.limit)
	}
	if p.rooms.bytes > p.rooms.Limit || p.announced() < sum {
		t.Fatalf("%d bytes lodged, limit %d", p.rooms.bytes, p.rooms.Limit)
	}
}

func TestLodgingsRefuseLies(t *testing.T) {
	l := Lodgings{Limit: 4 * MinSize}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lie := func(_ any, err error) {
		t.Helper()
		if err == nil {
			t.Error("a lie is believed")
		}
	}
	lie(l.Let(1, 1))
	lie(l.Drop(1))
	lie(l.Announce(1, MinSize-1))
	must(l.Announce(1, MinSize))
	lie(l.Announce(1, MinSize))
	lie(l.Let(1, 1)) // not mapped yet
	lie(l.Drop(1))   // nobody said that it is
	l.Mapped(1, make([]byte, MinSize))
	lie(l.Let(1, MinSize+1))
	must(l.Let(1, MinSize))
	lie(l.Let(1, 1))
	if ok, err := l.Announce(2, 4*MinSize); ok || err != nil {
		t.Errorf("too much: %v, %v", ok, err)
	}
	if ok, err := l.Announce(2, 1<<63); ok || err != nil {
		t.Errorf("far too much: %v, %v", ok, err)
	}
	must(l.Drop(1)) // in use: stays until it is returned
	lie(l.Drop(1))
	if b := l.Return(1); len(b) != MinSize {
		t.Errorf("%d bytes are to be unmapped", len(b))
	}
	a := Arena{Limit: 4 * MinSize}
	lie(nil, a.Opened(1, true, time.Time{}))
	lie(nil, a.Return(1, time.Time{}))
	a.Grow(1)
	lie(nil, a.Return(1, time.Time{}))
	must(nil, a.Opened(1, true, time.Time{}))
	lie(nil, a.Opened(1, false, time.Time{}))
	lie(nil, a.Return(1, time.Time{}))
	a.Take(MinSize)
	lie(nil, a.Return(1, time.Time{})) // somebody writes into it, and it is not sent
	if g := a.Grow(4 * MinSize); g.Size != 0 {
		t.Errorf("a segment that is written into is given up: %+v", g)
	}
	a.Sent(1)
	must(nil, a.Return(1, time.Time{}))
	lie(nil, a.Return(1, time.Time{}))
}

func TestDropAllLeavesWhatIsInUse(t *testing.T) {
	l := Lodgings{Limit: 4 * MinSize}
	for n := range uint32(3) {
		l.Announce(n, MinSize)
	}
	l.Mapped(0, make([]byte, MinSize))
	l.Mapped(1, make([]byte, MinSize))
	l.Refused(2)
	l.Let(1, 1)
	if got := l.DropAll(); len(got) != 1 {
		t.Errorf("%d segments are to be unmapped, want 1", len(got))
	}
	if b := l.Return(1); b == nil {
		t.Error("the last one is not unmapped")
	}
}
