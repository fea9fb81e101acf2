package channel

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// contents are the bodies of three senders, of which messages have the beginning.
func contents() map[string][]byte {
	all := map[string][]byte{}
	for _, from := range []string{"a", "b", "c"} {
		all[from] = bytes.Repeat([]byte(from), 10*wire.ChunkSize)
	}
	return all
}

// large returns a message with a tail, in pieces.
func large(body []byte, n int) *departure {
	from, cut, body := string(body[:1]), n/3, body[:n]
	return &departure{
		e:    wire.Envelope{Kind: wire.Send, Method: fmt.Sprint(n), From: id.Actor{Name: from}, To: id.Actor{Name: "to"}},
		tail: [][]byte{body[:cut], {}, body[cut:]}, total: n, left: n, size: 10,
	}
}

func TestDeparturesTakeTurns(t *testing.T) {
	d, of := departures{limit: 10 * wire.ChunkSize}, contents()
	d.add(large(of["a"], 3*wire.ChunkSize))
	d.add(large(of["b"], wire.ChunkSize+1))
	d.add(large(of["a"], 5)) // behind the first
	d.add(large(of["c"], 8*wire.ChunkSize))
	var got []string
	for d.any() {
		p := d.cut()
		n := 0
		for _, b := range p.chunk {
			n += len(b)
		}
		got = append(got, fmt.Sprintf("%d:%d", p.transfer, n/(wire.ChunkSize/4)))
		for _, m := range p.due {
			got = append(got, m.e.From.Name+m.e.Method)
		}
	}
	// a and b begin; c would be too much beside a, and the second of a waits for c.
	const want = "[1:4 2:4 1:4 2:0 b262145 1:4 a786432 3:4 4:0 a5 3:4 3:4 3:4 3:4 3:4 3:4 3:4 c2097152]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if d.large != 0 || d.small != 0 || d.sizes != 0 || len(d.lines) != 0 {
		t.Errorf("left: %+v", d)
	}
}

// TestTransfersModel sends at random, and brings what is cut to arrivals: all
// comes whole, in order for each pair, and within the limit.
func TestTransfersModel(t *testing.T) {
	of := contents()
	rapid.Check(t, func(t *rapid.T) {
		const limit = 4 * wire.ChunkSize
		d, a := departures{limit: limit}, arrivals{limit: limit, from: new(buffers)}
		sent, came := map[string][]int{}, map[string][]int{}
		check := func(m *departure) {
			name := m.e.From.Name
			came[name] = append(came[name], m.total)
			if m.total == 0 {
				return
			}
			b, err := a.take(m.apart.Transfer)
			if err != nil || !bytes.Equal(b.b, of[name][:m.total]) {
				t.Fatalf("message of %d bytes from %s: %v, %v", m.total, name, b, err)
			}
			a.from.put(b)
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				from := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "from")
				n := rapid.SampledFrom([]int{0, 1, wire.ChunkSize - 1, wire.ChunkSize, wire.ChunkSize + 1, 3 * wire.ChunkSize, limit}).Draw(t, "n")
				m := large(of[from], n)
				sent[from] = append(sent[from], n)
				if n > 0 || d.holds(&m.e) {
					d.add(m)
				} else {
					check(m)
				}
			},
			"cut": func(t *rapid.T) {
				if !d.any() {
					return
				}
				p := d.cut()
				chunk := bytes.Join(p.chunk, nil)
				to, err := a.begin(wire.Chunk{Transfer: p.transfer, Size: uint64(p.total)}, len(chunk))
				if err != nil {
					t.Fatal(err)
				}
				copy(to, chunk)
				a.end(p.transfer, len(chunk))
				for _, m := range p.due {
					check(m)
				}
			},
			"": func(t *rapid.T) {
				left, small := 0, 0
				for _, line := range d.lines {
					for _, m := range line {
						if left += m.left; m.total == 0 {
							small += m.size
						}
					}
				}
				if left != d.large || small != d.small || a.bytes > limit {
					t.Fatalf("%d bytes left, booked %d; %d small, booked %d; %d of %d coming", left, d.large, small, d.small, a.bytes, limit)
				}
				for name := range came {
					if got := fmt.Sprint(came[name]); got != fmt.Sprint(sent[name][:len(came[name])]) {
						t.Fatalf("from %s: %v, sent %v", name, got, sent[name])
					}
				}
				if !d.any() && len(sent["a"]) != len(came["a"]) {
					t.Fatalf("%d of %d messages came", len(came["a"]), len(sent["a"]))
				}
			},
		})
	})
}

func TestArrivalsRefuseLies(t *testing.T) {
	const limit = 4 * wire.ChunkSize
	a := arrivals{limit: limit, from: new(buffers)}
	chunk := func(transfer uint32, size, n int) error {
		_, err := a.begin(wire.Chunk{Transfer: transfer, Size: uint64(size)}, n)
		return err
	}
	if err := chunk(1, 3*wire.ChunkSize, wire.ChunkSize); err != nil {
		t.Fatal(err)
	}
	if err := chunk(1, 3*wire.ChunkSize, wire.ChunkSize); err != nil {
		t.Errorf("a chunk again, because it did not arrive whole: %v", err)
	}
	a.end(1, wire.ChunkSize)
	for name, err := range map[string]error{
		"another size":    chunk(1, 2*wire.ChunkSize, wire.ChunkSize),
		"a short chunk":   chunk(1, 3*wire.ChunkSize, wire.ChunkSize-1),
		"a long chunk":    chunk(2, 10, 11),
		"transfer 0":      chunk(0, 10, 10),
		"no size":         chunk(2, 0, 1),
		"too much":        chunk(2, wire.ChunkSize+1, wire.ChunkSize),
		"far too much":    chunk(2, 1<<62, wire.ChunkSize),
		"a negative size": chunk(2, -1, wire.ChunkSize),
	} {
		if !errors.Is(err, wire.ErrFraming) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a.bytes != 3*wire.ChunkSize || len(a.under) != 1 {
		t.Errorf("%d bytes in %d buffers", a.bytes, len(a.under))
	}
	_, early := a.take(1)
	_, none := a.take(2)
	if !errors.Is(early, wire.Malformed) || !errors.Is(none, wire.Malformed) || a.bytes != 0 {
		t.Errorf("taken early: %v; not there: %v; %d bytes are left", early, none, a.bytes)
	}
}

// FuzzArrivals takes a transfer, a size and a length from each seven bytes: what
// is allocated stays within the limit, and each buffer is filled once.
func FuzzArrivals(f *testing.F) {
	f.Add([]byte{1, 0, 4, 0, 4, 0, 0, 1, 0, 4, 0, 0, 0, 1})
	f.Add([]byte{1, 0, 0, 5, 0, 5, 0, 2, 255, 255, 255, 255, 255, 1, 1, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 5, 0, 5, 128, 1, 8, 0, 0, 0, 0, 129, 1, 8, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		const limit = 3 * wire.ChunkSize
		a := arrivals{limit: limit, from: new(buffers)}
		for ; len(script) >= 7; script = script[7:] {
			c := wire.Chunk{Transfer: uint32(script[0] % 4), Size: uint64(script[1])<<16 | uint64(script[2])<<8 | uint64(script[3])}
			n := int(script[4])<<8 | int(script[5])
			if script[6]%2 == 1 {
				n = int(min(c.Size, wire.ChunkSize))
			}
			if b, err := a.begin(c, n); err == nil {
				if len(b) != n || n == 0 || n > wire.ChunkSize {
					t.Fatalf("%d bytes have a place for %d", n, len(b))
				}
				a.end(c.Transfer, n)
			}
			if script[6] >= 128 { // its message comes, too early perhaps
				b, err := a.take(c.Transfer)
				if err == nil && len(b.b) == 0 || a.under[c.Transfer] != nil {
					t.Fatalf("a transfer of %d bytes is not over", c.Size)
				}
			}
			sum := 0
			for _, u := range a.under {
				if sum += len(u.b); u.got > len(u.b) {
					t.Fatal("a transfer is more than it is")
				}
			}
			if sum != a.bytes || sum > limit {
				t.Fatalf("%d bytes, booked %d", sum, a.bytes)
			}
		}
	})
}

// TestChunksTakeTheirTurn: a chunk is queued when the one before it was given
// to the connection, and not again while frames go out a second time; it does
// not count as queued once it is acknowledged.
func TestChunksTakeTheirTurn(t *testing.T) {
	s := &Session{}
	s.out.hub, s.departures.limit = new(Hub), 1<<30
	s.departures.add(large(contents()["a"], 4*wire.ChunkSize))
	want := func(seq uint64) {
		t.Helper()
		s.cutLocked()
		s.cutLocked()
		if s.out.seq != seq {
			t.Fatalf("%d frames are queued, want %d", s.out.seq, seq)
		}
	}
	want(1)
	s.out.take(nil)
	s.out.written()
	want(2)
	s.out.take(nil)
	s.out.written()
	if err := s.out.resume(0); err != nil {
		t.Fatal(err)
	}
	want(2)
	s.out.take(nil)
	s.out.written()
	for s.departures.any() || s.out.unsent() {
		s.cutLocked()
		s.out.take(nil)
		s.out.written()
	}
	if s.out.chunks < 4*wire.ChunkSize || s.out.seq != 5 {
		t.Errorf("%d bytes of chunks in %d frames", s.out.chunks, s.out.seq)
	}
	if err := s.out.acknowledge(5); err != nil || s.out.chunks != 0 || s.out.bytes != 0 {
		t.Errorf("%d of %d bytes are left, %v", s.out.chunks, s.out.bytes, err)
	}
}
