package cable

import (
	"testing"
	"time"
)

// TestRealRelay has two hosts talk through a third while the lines to it are
// cut and healed (MS-13).
func TestRealRelay(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	a, mid, c := f.nodes[0], f.nodes[1], f.nodes[2]
	f.cable.SetBoth(0, 2, Quality{Cut: true})
	a.knows(mid)
	c.knows(mid)
	mid.knows(a, c)
	call[struct{}](a, "Route", Way{To: c.id(), Via: ids(mid)})
	call[struct{}](c, "Route", Way{To: a.id(), Via: ids(mid)})

	there := []Load{{To: c.id(), From: "there", First: 1, Count: 2000, Size: 100, Every: 4 * time.Millisecond}}
	back := []Load{{To: a.id(), From: "back", First: 1, Count: 2000, Size: 100, Every: 4 * time.Millisecond}}
	sentThere, sentBack := a.sends(there[0]), c.sends(back[0])
	pending := begin[Pending](a, "Hold", HoldCalls{To: c.id(), Count: 10})
	c.holds(10)
	for _, end := range []int{0, 2, 0, 2} {
		f.cable.SetBoth(end, 1, Quality{Cut: true})
		last(1500*time.Millisecond, 15*time.Second)
		f.cable.SetBoth(end, 1, Quality{})
		last(300*time.Millisecond, time.Second)
	}
	call[int](c, "Release", struct{}{})
	if p := pending(); p.Replies != 10 {
		t.Errorf("got %+v, want 10 replies", p)
	}
	sentThere()
	sentBack()
	a.settled(&there, c)
	c.settled(&back, a)
	c.handled(there...)
	a.handled(back...)
	if s := mid.stats(); s.Relayed < 4000 {
		t.Errorf("got %+v, want 4000 messages relayed and more", s)
	}
	if s := f.cable.Stats(0, 2); s.Offered > 0 {
		t.Errorf("got %+v, want nothing on the direct line", s)
	}
}

// TestRealAttach has two hosts that nobody can dial join through a third; one
// of them loses its network in the middle of a conversation with both, and
// keeps its session (MS-14).
func TestRealAttach(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.cable.SetBoth(0, 2, Quality{Cut: true})
	hub := f.nodes[1]
	for _, i := range []int{0, 2} {
		f.nodes[i].kill()
		f.nodes[i].cfg.Listen = ""
		call[struct{}](f.nodes[i].restart(), "Attach", hub.cfg.Listen)
	}
	laptop, other := f.nodes[0], f.nodes[2]
	began := f.cable.Stats(0, 1).SYN

	load := func(from string, to *node) Load {
		return Load{To: to.id(), From: from, First: 1, Count: 2000, Size: 100, Every: time.Millisecond}
	}
	toHub, toOther := []Load{load("laptop-hub", hub)}, []Load{load("laptop-other", other)}
	fromHub, fromOther := []Load{load("hub-laptop", laptop)}, []Load{load("other-laptop", laptop)}
	sent := []func() Sent{laptop.sends(toHub[0]), laptop.sends(toOther[0]), hub.sends(fromHub[0]), other.sends(fromOther[0])}
	hub.awaitHandled("laptop-hub", 100)
	f.cable.SetBoth(0, 1, Quality{Cut: true})
	last(10*time.Second, time.Minute)
	f.cable.SetBoth(0, 1, Quality{})
	for _, wait := range sent {
		wait()
	}
	laptop.settled(&toHub, hub)
	laptop.settled(&toOther, other)
	hub.settled(&fromHub, laptop)
	other.settled(&fromOther, laptop)
	hub.handled(toHub...)
	other.handled(toOther...)
	laptop.handled(append(fromHub, fromOther...)...)
	if s := f.cable.Stats(0, 1); s.SYN == began {
		t.Errorf("got %+v, want a new connection: the network was gone", s)
	}
}
