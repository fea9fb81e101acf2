package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// What the errors of handles and managers are, for errors.Is.
var (
	ErrExited        = errors.New("proc has exited")                                        // what Ready returns is one (PH-3)
	ErrExitedEarly   = errors.New("proc ended by itself before it was ready")               // an ErrExited that nobody asked for (PS-10)
	ErrReadyTimeout  = errors.New("proc was not ready in time")                             // an ErrExited after a kill of ours (PS-10)
	ErrAlreadyExited = errors.New("proc has already exited")                                // comes with the Exit (PH-7)
	ErrLost          = errors.New("proc can no longer be observed")                         // its host is gone; it may still run (PH-4)
	ErrProcExists    = errors.New("a living proc has this name")                            // PM-2
	ErrDraining      = errors.New("procs are being stopped, no new ones are taken")         // PM-4
	ErrNoLogs        = errors.New("the host keeps no logs of its procs")                    // what Host.Logs returns then
	ErrUnsupported   = fmt.Errorf("manager cannot signal procs: %w", errors.ErrUnsupported) // PH-8
)

// ExitedError reports that a proc has ended where a living one was needed. It
// is ErrExited, and also what its Err is.
type ExitedError struct {
	ID   id.Proc
	Exit Exit
	Err  error // why it never became ready; nil if it was ready or simply ended
}

func (e *ExitedError) Error() string { return fmt.Sprintf("proc %v has exited: %v", e.ID, e.Exit) }

// Is reports whether target is ErrExited, or ErrExitedEarly if that is so.
func (e *ExitedError) Is(target error) bool {
	switch target {
	case ErrExited:
		return true
	case ErrExitedEarly:
		return e.Exit.Ready.IsZero() && e.Exit.Requested == (launch.Request{}) && e.Exit.Cause == ""
	}
	return false
}

func (e *ExitedError) Unwrap() error { return e.Err }

// SignalError reports that a proc could not be told to stop. The proc is still
// there and still Stopping; the call can be repeated, and the escalation goes
// on by itself (PH-11).
type SignalError struct {
	ID  id.Proc
	Op  string // "stop" or "kill"
	Err error
}

func (e *SignalError) Error() string {
	return fmt.Sprintf("%s proc %v: cannot signal it: %v", e.Op, e.ID, e.Err)
}

func (e *SignalError) Unwrap() error { return e.Err }

// SpawnError reports that a proc could not be spawned. What had been started
// is gone and the name is free again, unless Err says that the end could not
// be seen (PM-1).
type SpawnError struct {
	Name  string       // of the proc
	Phase launch.Phase // where it failed
	Spent Spent        // the time that went into each phase
	Exit  Exit         // how it ended; zero if nothing had been started. Exit.Stderr has its last words
	Err   error        // why
}

// Error is the reason, where the time went, and the last lines of stderr, each
// on a line of its own.
func (e *SpawnError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "spawn %s: in %v: %v", e.Name, e.Phase, e.Err)
	if e.Exit != (Exit{}) && !errors.Is(e.Err, ErrExited) {
		fmt.Fprintf(&b, "; ended: %v", e.Exit)
	}
	if spent := e.Spent.String(); spent != "" {
		fmt.Fprintf(&b, " (%s)", spent)
	}
	for _, line := range lastLines(e.Exit.Stderr, 10) {
		b.WriteString("\n\tstderr: " + line)
	}
	return b.String()
}

func (e *SpawnError) Unwrap() error { return e.Err }

// lastLines returns up to n last lines of s.
func lastLines(s string, n int) []string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return nil
	}
	lines := strings.Split(s, "\n")
	return lines[max(0, len(lines)-n):]
}
