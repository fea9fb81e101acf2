package host

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestBucket: whatever comes when, a token is given at the first moment at
// which no stretch of time has more than the burst and one for each interval.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bucket{
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
			got := now.Add(b.take(now))
			if !got.Equal(want) {
				t.Fatalf("token %d of %+v at %v, want %v", len(given)+1, b, got, want)
			}
			given = append(given, got)
			if rapid.IntRange(0, 3).Draw(t, "put back") == 0 {
				b.take(now)
				b.putBack()
			}
		}
	})
}

func TestRestartRate(t *testing.T) {
	for _, test := range []struct {
		rate  RestartRate
		every time.Duration
		burst time.Duration
	}{
		{RestartRate{}, 100 * time.Millisecond, 10},
		{RestartRate{PerSecond: 0.5}, 2 * time.Second, 1},
		{RestartRate{PerSecond: 4, Burst: 100}, 250 * time.Millisecond, 100},
		{RestartRate{PerSecond: 1e300}, 1, 1 << 30},
		{RestartRate{PerSecond: 1e-300}, maxEvery, 1},
		{RestartRate{PerSecond: 1e-300, Burst: math.MaxInt}, maxEvery, maxSpan / maxEvery},
	} {
		if b := test.rate.pacer().bucket; b.every != test.every || b.burst != test.burst {
			t.Errorf("%+v: %+v, want %d each %v", test.rate, b, test.burst, test.every)
		}
	}
	if p := (RestartRate{PerSecond: -1}).pacer(); p != nil || p.wait(t.Context(), nil) != nil {
		t.Errorf("no limit: %+v", p)
	}
}

// TestPacer: those who wait get their tokens in turn, and one who leaves gives
// his back.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := RestartRate{PerSecond: 1, Burst: 1}.pacer()
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, ErrDraining)
		defer cancel()
		if err := p.wait(ctx, nil); err != nil {
			t.Fatal(err)
		}
		var held time.Duration
		if err := p.wait(ctx, func(d time.Duration) { held = d }); !errors.Is(err, ErrDraining) || held != time.Second {
			t.Errorf("wait for a second: %v, held up for %v", err, held)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := p.wait(t.Context(), func(time.Duration) {}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("3 more tokens after %v, want one each second", took)
		}
	})
}

// TestPauseNotWanted: when the time has come and ctx is over, ctx counts.
func TestPauseNotWanted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrDraining)
	for range 100 {
		if err := pause(ctx, 0); err != ErrDraining {
			t.Fatalf("pause() = %v", err)
		}
	}
}
