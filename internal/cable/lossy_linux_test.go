package cable

import (
	"fmt"
	"testing"
	"time"
)

// bad is the line of row 104: what a long and poor way does.
func bad() Quality {
	return Quality{
		Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond, Reorder: true,
		Loss: 0.01, Duplicate: 0.02, Corrupt: 0.005,
	}
}

// TestRealBadLine sends thousands of messages both ways over a bad line: each
// is handled once, in order, as it was sent (MS-1).
func TestRealBadLine(t *testing.T) { overEach(t, badLine) }

func badLine(f *fleet) {
	a, b := f.nodes[0], f.nodes[1]
	f.cable.SetBoth(0, 1, bad())
	a.knows(b)
	b.knows(a)
	var toA, toB []Load
	var wait []func() Sent
	for i := range 4 {
		l := Load{To: b.id(), From: fmt.Sprint("small", i), First: 1, Count: 1000, Size: 100}
		toB = append(toB, l)
		l.To = a.id()
		toA = append(toA, l)
	}
	large := Load{To: b.id(), From: "large", First: 1, Count: 4, Size: 200_000}
	toB = append(toB, large)
	for i := range toA {
		wait = append(wait, b.sends(toA[i]))
	}
	for i := range toB {
		wait = append(wait, a.sends(toB[i]))
	}
	began := time.Now()
	for _, w := range wait {
		w()
	}
	f.Logf("sent after %v", time.Since(began))
	a.settled(&toB, b)
	b.settled(&toA, a)
	f.Logf("handled after %v: there %+v, back %+v", time.Since(began), f.cable.Stats(0, 1), f.cable.Stats(1, 0))
	b.handled(toB...)
	a.handled(toA...)
}

// settled ends each load with a call, which is answered when all before it was handled.
func (n *node) settled(loads *[]Load, at *node) {
	n.Helper()
	for i := range *loads {
		l := &(*loads)[i]
		end := Load{To: at.id(), From: l.From, First: l.First + l.Count, Count: 1, Size: l.Size, Call: true}
		n.sends(end)()
		l.Count++
	}
}
