package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/restart"
)

// defaultRestartRate is how many procs a host restarts in a second.
const defaultRestartRate = 10

// newPacer returns what keeps to r, and nil if there is no limit.
func newPacer(r restart.Rate) *pacer {
	b := r.Bucket(defaultRestartRate)
	if b == nil {
		return nil
	}
	return &pacer{bucket: b}
}

// pacer is a bucket that many share. A nil pacer does not hold anybody up.
type pacer struct {
	mu     sync.Mutex // guards the following
	bucket *restart.Bucket
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
	return p.bucket.Take(time.Now())
}

func (p *pacer) putBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bucket.PutBack()
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
