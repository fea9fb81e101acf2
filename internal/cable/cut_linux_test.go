package cable

import (
	"testing"
	"time"
)

// TestRealFullCut cuts the line in the middle of a conversation: the session
// is resumed after it, nothing is lost, nothing comes twice, and the calls that
// hang end with their replies (MS-1, MS-4, MS-5).
func TestRealFullCut(t *testing.T) { overEach(t, fullCut) }

func fullCut(f *fleet) {
	a, b := f.nodes[0], f.nodes[1]
	a.knows(b)
	there := []Load{{To: b.id(), From: "there", First: 1, Count: 3000, Size: 200, Every: time.Millisecond}}
	pending := begin[Pending](a, "Hold", HoldCalls{To: b.id(), Count: 50})
	sentThere := a.sends(there[0])
	b.holds(50)
	back := []Load{{To: a.id(), From: "back", First: 1, Count: 3000, Size: 200, Every: time.Millisecond}}
	sentBack := b.sends(back[0])

	last(time.Second, time.Second)
	f.cable.SetBoth(0, 1, Quality{Cut: true})
	if n := call[int](b, "Release", struct{}{}); n != 50 {
		f.Errorf("%d calls hang, want 50", n)
	}
	last(10*time.Second, time.Minute)
	f.cable.SetBoth(0, 1, Quality{})
	healed := time.Now()

	if p := pending(); p.Replies != 50 {
		f.Errorf("got %+v, want 50 replies", p)
	}
	f.Logf("replies came %v after the line was healed; connections %d and %d", time.Since(healed), f.cable.Stats(0, 1).SYN, f.cable.Stats(1, 0).SYN)
	sentThere()
	sentBack()
	a.settled(&there, b)
	b.settled(&back, a)
	f.Logf("all was handled %v after the line was healed", time.Since(healed))
	b.handled(there...)
	a.handled(back...)
}

// TestRealOneWayCut cuts one direction only, between two sides that wait for
// each other (row 101): neither goes on as if nothing was, both close the
// connection, and they find each other again (MS-11).
func TestRealOneWayCut(t *testing.T) {
	t.Parallel()
	for _, side := range []struct {
		name     string
		from, to int
	}{{"from the dialer", 0, 1}, {"to the dialer", 1, 0}} {
		t.Run(side.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			a, b := f.nodes[0], f.nodes[1]
			a.knows(b)
			loads := []Load{{To: b.id(), From: "there", First: 1, Count: 100, Size: 200}}
			a.sends(loads[0])()
			a.settled(&loads, b)

			before := f.cable.Stats(0, 1).SYN
			pending := begin[Pending](a, "Hold", HoldCalls{To: b.id(), Count: 10})
			pendingBack := begin[Pending](b, "Hold", HoldCalls{To: a.id(), Count: 10})
			b.holds(10)
			a.holds(10)
			began := time.Now()
			f.cable.Set(side.from, side.to, Quality{Cut: true})
			f.within(found, 0, 1, "the dialer connects again", func(s Stats) bool { return s.SYN > before })
			t.Logf("the dialer has found out after %v", time.Since(began))
			b.disconnected(found)
			t.Logf("the other side has found out after %v at most", time.Since(began))

			f.cable.Set(side.from, side.to, Quality{})
			for _, n := range f.nodes {
				call[int](n, "Release", struct{}{})
			}
			if p, q := pending(), pendingBack(); p.Replies != 10 || q.Replies != 10 {
				t.Errorf("got %+v and %+v, want 10 replies each", p, q)
			}
			a.settled(&loads, b)
			b.handled(loads...)
		})
	}
}

// TestRealFlappingLine takes the line away every other 100 ms (row 102).
func TestRealFlappingLine(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	a, b := f.nodes[0], f.nodes[1]
	a.knows(b)
	b.knows(a)
	there := []Load{{To: b.id(), From: "there", First: 1, Count: 500, Size: 200}}
	back := []Load{{To: a.id(), From: "back", First: 1, Count: 500, Size: 200}}
	a.sends(there[0])()
	b.sends(back[0])()
	a.settled(&there, b)
	b.settled(&back, a)
	before := []Stock{a.stock(), b.stock()}

	flaps := 50
	if *full {
		flaps = 300
	}
	more := func(l Load, to *node) Load {
		return Load{To: to.id(), From: l.From, First: l.First + l.Count, Count: flaps * 40, Size: 200, Every: 5 * time.Millisecond}
	}
	moreThere, moreBack := more(there[0], b), more(back[0], a)
	sentThere, sentBack := a.sends(moreThere), b.sends(moreBack)
	for range flaps {
		f.cable.SetBoth(0, 1, Quality{Cut: true})
		last(100*time.Millisecond, 100*time.Millisecond)
		f.cable.SetBoth(0, 1, Quality{})
		last(100*time.Millisecond, 100*time.Millisecond)
	}
	sentThere()
	sentBack()
	there[0].Count += moreThere.Count
	back[0].Count += moreBack.Count
	a.settled(&there, b)
	b.settled(&back, a)
	t.Logf("there %+v, back %+v", f.cable.Stats(0, 1), f.cable.Stats(1, 0))
	b.handled(there...)
	a.handled(back...)
	for i, n := range f.nodes {
		n.grewAtMost(before[i], 4)
	}
}

// grewAtMost checks that n does not hold much more than before.
func (n *node) grewAtMost(before Stock, by int) {
	n.Helper()
	if now := n.stock(); now.exceeds(Stock{before.Goroutines + by, before.Descriptors + by}) {
		n.Errorf("host %d holds %+v, before %+v", n.host, now, before)
	}
}
