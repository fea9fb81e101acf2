package cable

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// epoch is when the lines of these tests begin.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func packet(size int, fill byte) []byte { return bytes.Repeat([]byte{fill}, size) }

// arrivals offers n packets of that size, a gap apart, and returns what arrives.
func arrivals(q Quality, seed uint64, n, size int, gap time.Duration) ([]Packet, Stats) {
	l := NewLine(seed)
	l.Set(q)
	var all []Packet
	for i := range n {
		for _, p := range l.Offer(epoch().Add(time.Duration(i)*gap), packet(size, byte(i))) {
			if l.Arrive() {
				all = append(all, p)
			}
		}
	}
	return all, l.Stats()
}

func TestPerfectLineCarriesAllAtOnce(t *testing.T) {
	got, stats := arrivals(Quality{}, 1, 1000, 100, time.Millisecond)
	for i, p := range got {
		if want := epoch().Add(time.Duration(i) * time.Millisecond); !p.At.Equal(want) || !bytes.Equal(p.Data, packet(100, byte(i))) {
			t.Fatalf("packet %d arrives at %v as %x, want it unchanged at %v", i, p.At, p.Data, want)
		}
	}
	if want := (Stats{Offered: 1000, Delivered: 1000}); stats != want {
		t.Errorf("got %+v, want %+v", stats, want)
	}
}

func TestSeedDecides(t *testing.T) {
	q := Quality{Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond, Reorder: true, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1}
	one, first := arrivals(q, 7, 500, 60, time.Millisecond)
	two, second := arrivals(q, 7, 500, 60, time.Millisecond)
	other, _ := arrivals(q, 8, 500, 60, time.Millisecond)
	same := func(a, b Packet) bool { return a.At.Equal(b.At) && bytes.Equal(a.Data, b.Data) }
	if !slices.EqualFunc(one, two, same) || first != second {
		t.Error("one seed did two things")
	}
	if slices.EqualFunc(one, other, same) {
		t.Error("two seeds did the same")
	}
}

// TestQualityLeavesOtherChances checks that what is lost depends on the seed
// and not on what else the line does.
func TestQualityLeavesOtherChances(t *testing.T) {
	lost := func(q Quality) []byte {
		var there []byte
		got, _ := arrivals(q, 3, 200, 1, time.Second)
		for _, p := range got {
			there = append(there, p.Data[0])
		}
		return slices.Compact(there)
	}
	plain := lost(Quality{Loss: 0.3})
	if more := lost(Quality{Loss: 0.3, Duplicate: 0.5, Jitter: time.Millisecond}); !bytes.Equal(plain, more) {
		t.Errorf("got %v, without copies and jitter %v", more, plain)
	}
}

func TestShares(t *testing.T) {
	const n = 20_000
	_, s := arrivals(Quality{Loss: 0.01, Duplicate: 0.02, Corrupt: 0.005}, 1, n, 100, time.Millisecond)
	for name, c := range map[string]struct {
		got  int
		want float64
	}{"lost": {s.Lost, 0.01}, "duplicated": {s.Duplicated, 0.02}, "corrupted": {s.Corrupted, 0.005}} {
		if share := float64(c.got) / n; share < c.want/2 || share > c.want*2 {
			t.Errorf("%s: %v of all, want about %v", name, share, c.want)
		}
	}
}

func TestCorruptionFlipsOneBit(t *testing.T) {
	got, _ := arrivals(Quality{Corrupt: 1}, 1, 200, 40, time.Millisecond)
	for i, p := range got {
		flipped := 0
		for j, b := range packet(40, byte(i)) {
			for x := b ^ p.Data[j]; x != 0; x &= x - 1 {
				flipped++
			}
		}
		if flipped != 1 {
			t.Errorf("packet %d has %d flipped bits, want 1", i, flipped)
		}
	}
}

func TestJitterKeepsOrderUnlessToldOtherwise(t *testing.T) {
	byTime := func(a, b Packet) int { return a.At.Compare(b.At) }
	q := Quality{Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond}
	got, _ := arrivals(q, 1, 500, 1, time.Millisecond)
	if !slices.IsSortedFunc(got, byTime) {
		t.Error("packets overtook each other")
	}
	q.Reorder = true
	got, _ = arrivals(q, 1, 500, 1, time.Millisecond)
	if slices.IsSortedFunc(got, byTime) {
		t.Error("no packet overtook another one")
	}
	for i, p := range got {
		if d := p.At.Sub(epoch().Add(time.Duration(i) * time.Millisecond)); d < 20*time.Millisecond || d > 60*time.Millisecond {
			t.Errorf("packet %d took %v", i, d)
		}
	}
}

func TestRate(t *testing.T) {
	// 1 Mbit/s carries 125 packets of 1000 bytes a second; 10 fit into the queue.
	q := Quality{Rate: 1_000_000, Queue: 10_000}
	got, stats := arrivals(q, 1, 100, 1000, 0)
	if len(got) != 10 || stats.Overflowed != 90 {
		t.Errorf("%d of a burst arrive, %+v; want what fits into the queue, 10", len(got), stats)
	}
	if last, want := got[len(got)-1].At, epoch().Add(80*time.Millisecond); !last.Equal(want) {
		t.Errorf("the last arrives at %v, want %v", last, want)
	}
	got, stats = arrivals(q, 1, 500, 1000, 4*time.Millisecond) // twice as many as go
	if n := len(got); n < 250 || n > 262 {
		t.Errorf("%d packets went in 2 s, want 250 and what waits; %+v", n, stats)
	}
}

func TestCutTakesWhatIsOnItsWay(t *testing.T) {
	l := NewLine(1)
	l.Set(Quality{Delay: time.Second})
	if got := l.Offer(epoch(), packet(1, 0)); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	l.Set(Quality{Cut: true})
	if l.Arrive() {
		t.Error("a packet arrived through a cut line")
	}
	if got := l.Offer(epoch(), packet(1, 0)); len(got) > 0 {
		t.Errorf("a cut line carries %v", got)
	}
	l.Set(Quality{})
	if got := l.Offer(epoch(), packet(1, 0)); len(got) != 1 || !l.Arrive() {
		t.Errorf("a healed line carries %v", got)
	}
	if got, want := l.Stats(), (Stats{Offered: 3, Delivered: 1, Cut: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestEveryPacketIsCounted draws qualities and packets: each packet has one
// fate in Stats, none arrives before it was sent, or is changed unless it says so.
func TestEveryPacketIsCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLine(rapid.Uint64().Draw(t, "seed"))
		now, arrived := epoch(), 0
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			if rapid.IntRange(0, 9).Draw(t, "change") == 0 {
				l.Set(drawQuality(t))
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "µs")) * time.Microsecond)
			data := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "data")
			before := bytes.Clone(data)
			corrupted := l.Stats().Corrupted
			for _, p := range l.Offer(now, data) {
				if p.At.Before(now) {
					t.Fatalf("sent %v, arrives %v", now, p.At)
				}
				if same := bytes.Equal(p.Data, before); same != (l.Stats().Corrupted == corrupted) {
					t.Fatalf("%x became %x, counted as %+v", before, p.Data, l.Stats())
				}
				if l.Arrive() {
					arrived++
				}
			}
			if !bytes.Equal(data, before) {
				t.Fatal("the line changed the sender's bytes")
			}
		}
		s := l.Stats()
		if s.Offered+s.Duplicated != s.Delivered+s.Cut+s.Lost+s.Overflowed || s.Delivered != arrived {
			t.Fatalf("%d arrived; %+v does not add up", arrived, s)
		}
	})
}

func drawQuality(t *rapid.T) Quality {
	share := rapid.Float64Range(0, 1)
	return Quality{
		Cut:     rapid.IntRange(0, 4).Draw(t, "cut") == 0,
		Delay:   time.Duration(rapid.IntRange(0, 50).Draw(t, "delay")) * time.Millisecond,
		Jitter:  time.Duration(rapid.IntRange(0, 50).Draw(t, "jitter")) * time.Millisecond,
		Reorder: rapid.Bool().Draw(t, "reorder"),
		Loss:    share.Draw(t, "loss"), Duplicate: share.Draw(t, "duplicate"), Corrupt: share.Draw(t, "corrupt"),
		Rate:  rapid.SampledFrom([]int{0, 10_000, 1_000_000}).Draw(t, "rate"),
		Queue: rapid.SampledFrom([]int{0, 100, 1000}).Draw(t, "queue"),
	}
}

// tcp returns a TCP packet over IPv4 with these flags and nothing else that
// matters.
func tcp(flags byte) []byte {
	b := make([]byte, 40)
	b[0], b[9], b[20+13] = 0x45, protocolTCP, flags
	return b
}

func TestConnectionsAreCounted(t *testing.T) {
	l := NewLine(1)
	udp, fragment := tcp(flagSYN), tcp(flagSYN)
	udp[9], fragment[7] = 17, 1
	for _, p := range [][]byte{
		tcp(flagSYN), tcp(flagSYN | flagACK), tcp(flagACK), tcp(flagFIN | flagACK), tcp(flagRST),
		udp, fragment, tcp(flagSYN)[:33], {}, {0x60},
	} {
		l.Offer(epoch(), p)
	}
	if got, want := l.Stats(), (Stats{Offered: 10, SYN: 1, FIN: 1, RST: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestResets(t *testing.T) {
	data := tcp(flagACK)
	copy(data[12:], []byte{10, 77, 0, 1, 10, 77, 0, 2})
	copy(data[20:], []byte{1, 2, 3, 4, 0, 0, 0, 7, 0, 0, 0, 9})
	back, forth, ok := resets(append(data, "data"...))
	if !ok {
		t.Fatal("no resets for a packet with data")
	}
	for _, c := range []struct{ got, ips, tcp []byte }{
		{back, []byte{10, 77, 0, 2, 10, 77, 0, 1}, []byte{3, 4, 1, 2, 0, 0, 0, 9, 0, 0, 0, 0}},
		{forth, []byte{10, 77, 0, 1, 10, 77, 0, 2}, []byte{1, 2, 3, 4, 0, 0, 0, 7, 0, 0, 0, 0}},
	} {
		if !bytes.Equal(c.got[12:20], c.ips) || !bytes.Equal(c.got[20:32], c.tcp) || tcpFlags(c.got) != flagRST {
			t.Errorf("got %x", c.got)
		}
	}
	for _, flags := range []byte{flagSYN, flagSYN | flagACK, flagRST | flagACK, flagFIN | flagACK, 0} {
		if _, _, ok := resets(tcp(flags)); ok {
			t.Errorf("resets for flags %x", flags)
		}
	}
	for n := range 40 {
		if _, _, ok := resets(tcp(flagACK)[:n]); ok {
			t.Errorf("resets for %d bytes", n)
		}
	}
}
