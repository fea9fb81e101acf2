package gateway

import (
	"fmt"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// SendError says why a message cannot be sent, or why a proc counts as gone.
// errors.Is finds the Reason and what Err wraps, a ctx's cause for example.
type SendError struct {
	To     id.Proc
	Reason wire.Reason // zero if ctx ended
	Err    error       // more about it; may be nil
}

func sendError(to id.Proc, reason wire.Reason, err error) *SendError {
	return &SendError{To: to, Reason: reason, Err: err}
}

func (e *SendError) Error() string {
	switch {
	case e.Reason == 0:
		return fmt.Sprintf("%v: %v", e.To, e.Err)
	case e.Err == nil:
		return fmt.Sprintf("%v: %v", e.To, e.Reason)
	}
	return fmt.Sprintf("%v: %v: %v", e.To, e.Reason, e.Err)
}

// Is reports whether target is the reason.
func (e *SendError) Is(target error) bool {
	r, ok := target.(wire.Reason)
	return ok && r == e.Reason && r != 0
}

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// Stats counts what a gateway did since it was made.
type Stats struct {
	Refused  uint64 // connections that did not pass hello
	Relayed  uint64 // messages passed on for others
	Returned uint64 // messages sent back to their senders
	Dropped  uint64 // messages that nobody waits for, and that could not be delivered
}

type counters struct{ refused, relayed, returned, dropped atomic.Uint64 }

// Stats returns the counts so far.
func (g *Gateway) Stats() Stats {
	c := &g.stats
	return Stats{c.refused.Load(), c.relayed.Load(), c.returned.Load(), c.dropped.Load()}
}
