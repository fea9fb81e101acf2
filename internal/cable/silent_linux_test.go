package cable

import (
	"syscall"
	"testing"
	"time"
)

// TestRealPeerVanishes pulls the plug of a host, and kills its process while
// nobody can hear that (row 100): the other one finds out by itself (MS-11),
// and calls do not hang for ever (MS-4), which takes the time that sessions are
// kept and so is looked at with -full only.
func TestRealPeerVanishes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		victim int
		busy   bool
	}{
		{"who was dialed", 1, false},
		{"who was dialed, with messages under way", 1, true},
		{"who has dialed", 0, false},
		{"who has dialed, with messages under way", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			f.nodes[0].knows(f.nodes[1])
			f.nodes[0].sends(Load{To: f.nodes[1].id(), From: "first", First: 1, Count: 1, Call: true})()
			victim, other := f.nodes[c.victim], f.nodes[1-c.victim]
			pending := begin[Pending](other, "Hold", HoldCalls{To: victim.id(), Count: 100})
			victim.holds(100)
			if c.busy {
				begin[Sent](other, "Load", Load{To: victim.id(), From: "more", First: 1, Count: 100_000, Size: 1000})
				victim.awaitHandled("more", 100)
			}
			began := time.Now()
			f.cable.Pull(c.victim)
			victim.kill()
			other.disconnected(found)
			t.Logf("found out after %v", time.Since(began))
			if !*full {
				return // the session is kept for the peer, in case it comes back: two minutes
			}
			p := pending()
			t.Logf("the calls ended after %v: %.200q", time.Since(began), p.Errors)
			if p.Replies > 0 || len(p.Errors) != 100 {
				t.Errorf("got %+v, want 100 errors", p)
			}
		})
	}
}

// TestRealPausedProcess stops a process for two seconds: that is a pause and
// not the end, and nobody as much as connects again (MS-11).
func TestRealPausedProcess(t *testing.T) {
	t.Parallel()
	for host, name := range []string{"the dialer", "the other side"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			a, b := f.nodes[0], f.nodes[1]
			a.knows(b)
			loads := []Load{{To: b.id(), From: "there", First: 1, Count: 5000, Size: 100, Every: time.Millisecond}}
			sent := a.sends(loads[0])
			pending := begin[Pending](a, "Hold", HoldCalls{To: b.id(), Count: 10})
			b.holds(10)
			last(500*time.Millisecond, 500*time.Millisecond)
			for range 2 {
				f.nodes[host].signal(syscall.SIGSTOP)
				last(2*time.Second, 2*time.Second)
				f.nodes[host].signal(syscall.SIGCONT)
				last(500*time.Millisecond, 500*time.Millisecond)
			}
			call[int](b, "Release", struct{}{})
			if p := pending(); p.Replies != 10 {
				t.Errorf("got %+v, want 10 replies", p)
			}
			sent()
			a.settled(&loads, b)
			b.handled(loads...)
			f.oneConnection()
		})
	}
}
