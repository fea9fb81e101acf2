package host

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/restart"
)

// TestPacer: those who wait get their tokens in turn, and one who leaves gives
// his back.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(restart.Rate{PerSecond: 1, Burst: 1})
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
