package host

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errBudget is why TerminateAll does not wait any longer.
var errBudget = errors.New("not seen to end within the budget")

// sweepMargin is what TerminateAll waits beyond its budget: the last kill goes
// out when the budget is used up, and takes killBound if it works at all.
const sweepMargin = killBound + time.Second

// sweep is one TerminateAll. Its workers take one place after the other.
type sweep struct {
	reason   string
	deadline time.Time
	workers  int

	mu   sync.Mutex // guards the following
	left []*Place
	sum  Summary
}

// TerminateAll stops all procs, at most limit at once, or all at once if limit
// is not positive. Each gets an even share of what is left of grace at its
// turn, so that a few who use theirs up leave the others time to drain. Spawns
// are refused until it returns (PM-4).
func (r *Roster) TerminateAll(ctx context.Context, grace time.Duration, limit int, reason string) Summary {
	grace = max(0, grace)
	s := &sweep{reason: reason, deadline: time.Now().Add(grace), left: r.refuse(false)}
	defer r.accept()
	s.workers = len(s.left)
	if limit > 0 {
		s.workers = min(limit, s.workers)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, grace+sweepMargin, errBudget)
	defer cancel()
	var wg sync.WaitGroup
	for range s.workers {
		wg.Go(func() {
			for p, share := s.next(); p != nil; p, share = s.next() {
				s.stop(ctx, p, share)
			}
		})
	}
	wg.Wait()
	s.sum.sort()
	return s.sum
}

// next returns the next place, or nil, and how long its proc may take: what is
// left of the budget is split evenly among the rounds to come.
func (s *sweep) next() (*Place, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		return nil, 0
	}
	rounds := (len(s.left) + s.workers - 1) / s.workers
	p := s.left[0]
	s.left = s.left[1:]
	return p, max(0, time.Until(s.deadline)) / time.Duration(rounds)
}

// stop stops the proc in p, if there is one or will be one, and counts it.
func (s *sweep) stop(ctx context.Context, p *Place, share time.Duration) {
	until := time.Now().Add(share)
	h, err := p.wait(ctx)
	if h == nil && err == nil {
		return // its spawn came to nothing
	}
	if h != nil {
		_, err = h.Terminate(ctx, time.Until(until), s.reason)
		err = untilGone(ctx, h, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.add(p.name, err)
}
