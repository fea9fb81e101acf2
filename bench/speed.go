package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// measure takes one sample of a link with messages of body, for about d.
type measure func(ctx context.Context, l *link, body []byte, d time.Duration) (sample, error)

// quiet is after how long without progress a message counts as lost.
const quiet = 5 * time.Second

// oneWay sends for d and then waits until the far side has handled everything:
// what counts is what it says, from our first message to its word that it has
// the last.
func oneWay(ctx context.Context, l *link, body []byte, d time.Duration) (sample, error) {
	ctx = l.context(ctx)
	near, far, err := l.usages(ctx)
	if err != nil {
		return nil, err
	}
	burst := min(max(1, (64<<10)/max(1, len(body))), 256) // between looks at the clock
	start := time.Now()
	var n int64
	for n == 0 || time.Since(start) < d {
		for range burst {
			if err := l.carrier.send(ctx, body); err != nil {
				return nil, err
			}
		}
		n += int64(burst)
	}
	if err := l.carrier.flush(ctx); err != nil {
		return nil, err
	}
	l.sent += n
	tally, err := l.far.await(ctx, l.sent, quiet)
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	if tally.Handled != l.sent {
		return nil, fmt.Errorf("sent %d messages, %d were handled", l.sent, tally.Handled)
	}
	s := sample{messageRate: float64(n) / took, byteRate: float64(n) * float64(len(body)) / took}
	return s, l.costs(ctx, s, n, near, far)
}

// roundTrips calls, one call after the other, for d.
func roundTrips(ctx context.Context, l *link, body []byte, d time.Duration) (sample, error) {
	ctx = l.context(ctx)
	near, far, err := l.usages(ctx)
	if err != nil {
		return nil, err
	}
	times := make([]time.Duration, 0, 1<<16)
	start := time.Now()
	for last := start; len(times) == 0 || last.Sub(start) < d; {
		if err := l.carrier.call(ctx, body); err != nil {
			return nil, err
		}
		now := time.Now()
		times = append(times, now.Sub(last))
		last = now
	}
	slices.Sort(times)
	s := sample{p50: float64(percentile(times, 0.5)), p99: float64(percentile(times, 0.99))}
	return s, l.costs(ctx, s, int64(len(times)), near, far)
}

// usages returns what both sides have used so far.
func (l *link) usages(ctx context.Context) (near, far usage, err error) {
	far, err = l.far.usage(ctx, false)
	return usageNow(false), far, err
}

// costs adds to s what n messages cost since near and far were taken.
func (l *link) costs(ctx context.Context, s sample, n int64, near, far usage) error {
	nearAfter := usageNow(false)
	farAfter, err := l.far.usage(ctx, false)
	if err != nil {
		return err
	}
	perMessage(s, n, near, nearAfter, far, farAfter)
	return nil
}
