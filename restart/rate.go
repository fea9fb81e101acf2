package restart

import (
	"cmp"
	"time"
)

// Rate bounds restarts over all that somebody supervises (AC-6): one wrong
// setting that ends a thousand procs at once is not to start a thousand at
// once, again and again. What exceeds it waits. First starts are not restarts.
type Rate struct {
	PerSecond float64 // without limit if negative; whoever has a Rate says what zero means
	Burst     int     // how many may come at once after a quiet time; as many as in a second if zero, and at least one
}

// Bucket returns a full bucket that keeps to r, and nil if there is no limit.
// perSecond counts if r has none of its own.
func (r Rate) Bucket(perSecond float64) *Bucket {
	r.PerSecond = cmp.Or(r.PerSecond, perSecond)
	if r.PerSecond < 0 {
		return nil
	}
	if r.Burst <= 0 {
		r.Burst = int(min(r.PerSecond, 1<<30))
	}
	every := time.Duration(max(1, min(float64(time.Second)/r.PerSecond, float64(maxEvery))))
	burst := min(max(1, time.Duration(r.Burst)), maxSpan/every)
	return &Bucket{every: every, burst: burst}
}

// Bounds that keep the arithmetic of a bucket from overflowing: the longest
// time from one restart to the next, and the longest until a bucket is full.
const (
	maxEvery = 24 * time.Hour
	maxSpan  = 100 * 365 * maxEvery
)

// Bucket is a token bucket: it holds up to burst tokens and gets one each
// interval. Instead of the tokens it keeps the moment at which it is full
// again, so that nothing is ever rounded. It is pure, and one goroutine at a
// time may use it.
type Bucket struct {
	every time.Duration
	burst time.Duration // a number
	full  time.Time     // zero: it is
}

// Take takes a token and returns how long to wait until it is there. Whoever
// comes later waits for later tokens.
func (b *Bucket) Take(now time.Time) time.Duration {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.every)
	return max(0, b.full.Sub(now)-b.burst*b.every)
}

// PutBack returns a token that was not used.
func (b *Bucket) PutBack() { b.full = b.full.Add(-b.every) }
