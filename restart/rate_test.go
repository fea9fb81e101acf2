package restart

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBucket: whatever comes when, a token is given at the first moment at
// which no stretch of time has more than the burst and one for each interval.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bucket{
			every: time.Duration(rapid.IntRange(1, 5).Draw(t, "every")),
			burst: time.Duration(rapid.IntRange(1, 5).Draw(t, "burst")),
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var given []time.Time
		for range 50 {
			now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "pause")))
			want := now
			for i, at := range given {
				if over := time.Duration(len(given)-i+1) - b.burst; over > 0 && at.Add(over*b.every).After(want) {
					want = at.Add(over * b.every)
				}
			}
			got := now.Add(b.Take(now))
			if !got.Equal(want) {
				t.Fatalf("token %d of %+v at %v, want %v", len(given)+1, b, got, want)
			}
			given = append(given, got)
			if rapid.IntRange(0, 3).Draw(t, "put back") == 0 {
				b.Take(now)
				b.PutBack()
			}
		}
	})
}

func TestRate(t *testing.T) {
	for _, test := range []struct {
		rate  Rate
		every time.Duration
		burst time.Duration
	}{
		{Rate{}, 100 * time.Millisecond, 10},
		{Rate{PerSecond: 0.5}, 2 * time.Second, 1},
		{Rate{PerSecond: 4, Burst: 100}, 250 * time.Millisecond, 100},
		{Rate{PerSecond: 1e300}, 1, 1 << 30},
		{Rate{PerSecond: 1e-300}, maxEvery, 1},
		{Rate{PerSecond: 1e-300, Burst: math.MaxInt}, maxEvery, maxSpan / maxEvery},
	} {
		if b := test.rate.Bucket(10); b.every != test.every || b.burst != test.burst {
			t.Errorf("%+v: %+v, want %d each %v", test.rate, b, test.burst, test.every)
		}
	}
	if b := (Rate{PerSecond: -1}).Bucket(10); b != nil {
		t.Errorf("no limit: %+v", b)
	}
}
