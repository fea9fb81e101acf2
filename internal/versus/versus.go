// Package versus lets a benchmark measure two ways to do a thing in turn and
// report the medians of both and their ratio. On a machine with neighbours only
// what was measured in the same run, alternating, can be compared.
package versus

import (
	"slices"
	"testing"
	"time"
)

// Pair collects measurements of ours and of the bare thing. The zero Pair is
// ready.
type Pair struct{ ours, bare []time.Duration }

// Add measures both once, now the one first and now the other; each returns the
// time of one operation.
func (p *Pair) Add(ours, bare func() time.Duration) {
	if len(p.ours)%2 == 0 {
		p.bare = append(p.bare, bare())
		p.ours = append(p.ours, ours())
		return
	}
	p.ours = append(p.ours, ours())
	p.bare = append(p.bare, bare())
}

// Report reports the medians in nanoseconds, and ours over bare.
func (p *Pair) Report(b *testing.B) {
	ours, bare := median(p.ours), median(p.bare)
	b.ReportMetric(float64(ours), "ns/ours")
	b.ReportMetric(float64(bare), "ns/bare")
	b.ReportMetric(float64(ours)/float64(bare), "ratio")
	b.ReportMetric(0, "ns/op") // of both together: says nothing
}

// Time returns how long f takes.
func Time(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// Each returns how long one of n calls of f takes.
func Each(n int, f func()) time.Duration {
	return Time(func() {
		for range n {
			f()
		}
	}) / time.Duration(n)
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}
