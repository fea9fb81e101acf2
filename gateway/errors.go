package gateway

import (
	"errors"
	"fmt"
	"strings"
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

// Causes takes the causes of ends over the wire, so that whoever waits for a
// proc that ended elsewhere gets more than a text. Both methods may be called
// concurrently.
type Causes interface {
	// Encode returns what says cause, and false if it is not of the kinds that
	// it knows.
	Encode(cause error) (code string, body []byte, ok bool)

	// Decode is the inverse. Bytes that make no sense are an error of their own.
	Decode(code string, body []byte) (cause, err error)
}

// say puts cause into e: as Causes does it, or as a text.
func (g *Gateway) say(e *wire.Envelope, cause error) {
	if g.cfg.Causes != nil {
		if code, body, ok := g.cfg.Causes.Encode(cause); ok && code != "" {
			e.Code, e.Body = code, body
			return
		}
	}
	e.Body = []byte(brief(cause.Error()))
}

// maxCauseText bounds the texts of causes: ends keeps them.
const maxCauseText = 1 << 10

// brief returns the beginning of a text of unknown length.
func brief(text string) string {
	if len(text) <= maxCauseText {
		return text
	}
	return strings.ToValidUTF8(text[:maxCauseText], "") + " …"
}

// hear returns the cause that is in e.
func (g *Gateway) hear(e *wire.Envelope) error {
	if e.Code == "" {
		return errors.New(brief(string(e.Body)))
	}
	if g.cfg.Causes != nil {
		if cause, err := g.cfg.Causes.Decode(e.Code, e.Body); err == nil {
			return cause
		}
	}
	return fmt.Errorf("a cause of the kind %.100q, which is not known here", e.Code)
}

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
