package actor_test

import (
	"context"
	"errors"
	"time"

	"github.com/hyperactor/hyperactor/actor"
)

// counter is the actor of most tests.
type counter struct{ n int }

type counterParams struct{ Start int }

var (
	add   = actor.On("counter.add", (*counter).Add)
	watch = actor.OnSend("counter.watch", (*counter).Watch)
	slow  = actor.On("counter.slow", (*counter).Slow)
	boom  = actor.On("counter.boom", (*counter).Boom)
	fail  = actor.OnSend("counter.fail", (*counter).Fail)

	counterType = actor.Define("counter", newCounter, add, watch, slow, boom, fail)
)

var errTest = errors.New("as the test wants")

func newCounter(_ context.Context, p counterParams) (*counter, error) {
	if p.Start < 0 {
		return nil, errTest
	}
	return &counter{n: p.Start}, nil
}

func (c *counter) Add(_ context.Context, n int) (int, error) { c.n += n; return c.n, nil }
func (c *counter) Watch(ctx context.Context, p actor.Port[int]) error {
	return p.Send(ctx, c.n)
}

// Slow waits for d or the end of the actor.
func (c *counter) Slow(ctx context.Context, d time.Duration) (int, error) {
	select {
	case <-time.After(d):
		return c.n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
func (c *counter) Boom(context.Context, string) (int, error) { panic("boom") }
func (c *counter) Fail(context.Context, string) error        { return errTest }
