package host

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// RestartRate bounds the restarts of a host, over all its procs (AC-6): one
// wrong setting that ends a thousand procs at once is not to start a thousand
// at once, again and again. What exceeds it waits. First starts are not
// restarts; ProcManager bounds those (PM-3).
type RestartRate struct {
	PerSecond float64 // 10 if zero, without limit if negative
	Burst     int     // how many may come at once after a quiet time; as many as in a second if zero, and at least one
}

const defaultRestartRate = 10

// pacer returns what keeps to r, and nil if there is no limit.
func (r RestartRate) pacer() *pacer {
	if r.PerSecond == 0 {
		r.PerSecond = defaultRestartRate
	}
	if r.PerSecond < 0 {
		return nil
	}
	if r.Burst <= 0 {
		r.Burst = int(min(r.PerSecond, 1<<30))
	}
	every := time.Duration(max(1, min(float64(time.Second)/r.PerSecond, float64(maxEvery))))
	burst := min(max(1, time.Duration(r.Burst)), maxSpan/every)
	return &pacer{bucket: bucket{every: every, burst: burst}}
}

// Bounds that keep the arithmetic of a bucket from overflowing: the longest
// time from one restart to the next, and the longest until a bucket is full.
const (
	maxEvery = 24 * time.Hour
	maxSpan  = 100 * 365 * maxEvery
)

// bucket is a token bucket: it holds up to burst tokens and gets one each
// interval. Instead of the tokens it keeps the moment at which it is full
// again, so that nothing is ever rounded. It is pure. The zero full is full.
type bucket struct {
	every time.Duration
	burst time.Duration // a number
	full  time.Time
}

// take takes a token and returns how long to wait until it is there. Whoever
// comes later waits for later tokens.
func (b *bucket) take(now time.Time) time.Duration {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.every)
	return max(0, b.full.Sub(now)-b.burst*b.every)
}

// putBack returns a token that was not used.
func (b *bucket) putBack() { b.full = b.full.Add(-b.every) }

// pacer is a bucket that many share. A nil pacer does not hold anybody up.
type pacer struct {
	mu     sync.Mutex // guards the following
	bucket bucket
}

// wait waits for a token. If ctx is over first the error is its cause, and the
// token is put back. held is called before a wait that takes any time.
func (p *pacer) wait(ctx context.Context, held func(time.Duration)) error {
	if p == nil {
		return nil
	}
	d := p.take()
	if d == 0 {
		return nil
	}
	held(d)
	if err := pause(ctx, d); err != nil {
		p.putBack()
		return fmt.Errorf("waiting for its turn to restart: %w", err)
	}
	return nil
}

func (p *pacer) take() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bucket.take(time.Now())
}

func (p *pacer) putBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bucket.putBack()
}

// pause returns when d has passed, or with the cause of ctx if that is over
// first or already.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
