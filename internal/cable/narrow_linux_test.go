package cable

import (
	"testing"
	"time"
)

// TestRealNarrowLine sends bulk over a line of 1 Mbit/s, ten seconds of it,
// and small calls beside it (row 105). Bulk that is in front of a call goes
// first, so a call may take as long as that takes; but nobody takes the
// other side for silent: there is one connection all the time (MS-11).
func TestRealNarrowLine(t *testing.T) {
	t.Parallel()
	const (
		rate  = 1_000_000
		queue = 32 << 10 // of the line
	)
	for _, c := range []struct {
		name        string
		count, size int
	}{{"many messages", 12, 100_000}, {"one message", 1, 1_200_000}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			a, b := f.nodes[0], f.nodes[1]
			a.knows(b)
			bulk := []Load{{To: b.id(), From: "bulk", First: 1, Count: c.count, Size: c.size}}
			there := []Load{{To: b.id(), From: "there", First: 1, Count: 20, Size: 10, Every: 200 * time.Millisecond, Call: true}}
			back := []Load{{To: a.id(), From: "back", First: 1, Count: 50, Size: 10, Every: 200 * time.Millisecond, Call: true}}
			a.sends(Load{To: b.id(), From: "first", First: 1, Count: 1, Call: true})()
			f.cable.SetBoth(0, 1, Quality{Rate: rate, Queue: queue, Delay: 20 * time.Millisecond})

			sentBulk := a.sends(bulk[0])
			sentThere, sentBack := a.sends(there[0]), b.sends(back[0])
			bytes := c.count * c.size
			bound := 2*time.Duration(bytes)*8*time.Second/rate + 5*time.Second // headers, what is sent again, a loaded machine
			slowThere, slowBack := sentThere().Slowest, sentBack().Slowest
			sentBulk()
			b.awaitHandled("bulk", c.count)
			t.Logf("slowest calls: beside the bulk %v, against it %v", slowThere, slowBack)
			if slowThere > bound || slowBack > bound {
				t.Errorf("slowest calls: beside the bulk %v, against it %v, want at most %v", slowThere, slowBack, bound)
			}
			b.handled(append(bulk, there...)...)
			a.handled(back...)
			f.oneConnection()
		})
	}
}
