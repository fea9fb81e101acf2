// Package counter is an actor that counts. An actor is a plain Go value; its
// messages are its methods, named by On.
package counter

import (
	"context"

	"github.com/hyperactor/hyperactor/actor"
)

// Counter counts.
type Counter struct{ n int }

// What a Counter understands, and how one is made.
var (
	Add   = actor.On("counter.add", (*Counter).Add)
	Watch = actor.OnSend("counter.watch", (*Counter).Watch)

	Type = actor.Define("counter", New, Add, Watch)
)

// Params says how a Counter starts.
type Params struct{ Start int }

// New returns a Counter.
func New(_ context.Context, p Params) (*Counter, error) { return &Counter{n: p.Start}, nil }

// Add adds n and returns the new count.
func (c *Counter) Add(_ context.Context, n int) (int, error) { c.n += n; return c.n, nil }

// Watch sends the count to port.
func (c *Counter) Watch(ctx context.Context, port actor.Port[int]) error {
	return port.Send(ctx, c.n)
}
