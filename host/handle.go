package host

import (
	"context"
	"iter"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// ProcHandle is the uniform surface of a spawned proc, whether it lives in our
// process or has one to itself. Its methods may be called by anyone, at any
// time, any number of times; all callers see the same end. A handle outlives
// its proc, and dropping it changes nothing (PH-1).
//
// ctx bounds how long a caller waits and nothing else (PH-13): Terminate and
// Kill start the stop even if ctx is over already, and a caller that leaves
// does not undo it. When ctx ends the wait, the error is its cause.
type ProcHandle interface {
	// ID names the proc. It never changes.
	ID() id.Proc

	// Addr is the address that is bound into the host's router. It is absent
	// before Ready and present from then on for good (PH-2).
	Addr() (channel.Addr, bool)

	// Agent is the management actor inside the proc; present when Addr is.
	Agent() (actor.Ref[Agent], bool)

	// Status is a snapshot of now.
	Status() Status

	// Watch yields the current status first and then each new one, until the
	// terminal one or the end of ctx. Statuses may be skipped, except the
	// terminal one.
	Watch(ctx context.Context) iter.Seq[Status]

	// Ready waits until the proc is Ready and returns where it is. If the
	// proc has exited the error is an *ExitedError, also if it was ready
	// before. A proc that is stopping is waited for (PH-3).
	Ready(ctx context.Context) (Endpoint, error)

	// Wait waits for the end and returns the one record of it (PH-4).
	Wait(ctx context.Context) (Exit, error)

	// Terminate asks the proc to stop, kills it when grace is used up, and
	// waits for the end (PH-5). Callers join one operation: an earlier
	// deadline tightens it, a later one does not loosen it. No grace is the
	// kill at once. An error may be ErrAlreadyExited, with the Exit, or a
	// *SignalError, after which the call can be repeated.
	Terminate(ctx context.Context, grace time.Duration, reason string) (Exit, error)

	// Kill forces the proc down at once, also in the middle of a Terminate
	// (PH-6), and waits for the end. Its errors are those of Terminate.
	Kill(ctx context.Context, reason string) (Exit, error)
}

// Agent is what the management actor of a proc understands.
type Agent = actor.Agent

// Exit is the record of how a proc ended.
type Exit = launch.Exit

// Endpoint is the proof that a proc is ready: its address and its agent, both
// of which have worked.
type Endpoint struct {
	Addr  channel.Addr
	Agent actor.Ref[Agent]
}

type requesterKey struct{}

// As returns a context that says on whose behalf procs are stopped: name ends
// up in the By of an exit's request. Without it that is "the program".
func As(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, requesterKey{}, name)
}

// requester returns the name that As put into ctx.
func requester(ctx context.Context) string {
	if name, ok := ctx.Value(requesterKey{}).(string); ok && name != "" {
		return name
	}
	return "the program"
}
