package launch

import (
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"
)

// Exit says how a proc ended. It is one record, comparable with ==; every
// waiter of a proc sees the same one, and it never changes (PH-10).
type Exit struct {
	Kind       Kind
	Code       int            // exit code; meaningful when Signal is 0 and there was a process
	Signal     syscall.Signal // the signal that ended the process, or 0. Exit code 137 is not a signal
	CoreDumped bool
	OOMKilled  bool  // an annotation on any kind, from the kernel's counters
	Phase      Phase // where the proc was when it ended
	Requested  Request
	Cause      string // our own reason to end it: "handshake timeout", "grace of 5s used up"; "" if there was none

	Started, Ready, Ended time.Time // zero if it never came that far

	Rusage    Rusage
	Stderr    string // the last lines, joined by '\n'
	Swept     int    // processes of the tree that were killed after its leader had ended
	Cut       bool   // output was cut: somebody kept a pipe open past the drain bound (PS-9)
	Abandoned string // actors that did not return within the kill bound, joined by ", "
}

// Kind is the kind of an exit.
type Kind uint8

// The kinds of exit. There is no guess among them: what nobody can know is Unknown.
const (
	Unknown Kind = iota // gone, and nobody can know how; Cause says why not
	Stopped             // ended by itself or when asked
	Killed              // ended by a signal or by force
	Failed              // never ran properly
)

func (k Kind) String() string {
	return [...]string{"unknown", "stopped", "killed", "failed"}[min(k, Failed)]
}

// Phase is where a proc was in its life when it ended.
type Phase uint8

// The phases of an exit.
const (
	PhaseExec      Phase = iota // before the program ran
	PhaseHandshake              // before it answered
	PhaseInit                   // answered, not ready yet
	PhaseRunning                // ready
	PhaseStopping               // after somebody asked it to stop
)

func (p Phase) String() string {
	return [...]string{"exec", "handshake", "init", "running", "stopping"}[min(p, PhaseStopping)]
}

// Request is who asked a proc to end. The zero Request means nobody.
type Request struct {
	By   string // who
	Why  string
	At   time.Time
	Kill bool // by force
}

// Rusage is what the process used, itself and the children that it waited for.
type Rusage struct {
	User, System time.Duration

	// MaxRSS is in bytes. Linux counts from the fork: a program that never needed
	// much shows what its parent, the keeper or the host, had then.
	MaxRSS int64
}

// OK reports whether the proc ended by itself or when asked, with code 0.
func (e Exit) OK() bool { return e.Kind == Stopped && e.Code == 0 && e.Signal == 0 }

// LogValue is the line of String, written only if somebody logs it.
func (e Exit) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String returns one readable line, cause first.
func (e Exit) String() string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	switch {
	case e.Signal != 0:
		fmt.Fprintf(&b, ": signal %d (%v)", int(e.Signal), e.Signal)
		if e.CoreDumped {
			b.WriteString(", core dumped")
		}
	case e.Kind != Unknown:
		fmt.Fprintf(&b, ": exit %d", e.Code)
	}
	if e.OOMKilled {
		b.WriteString(", out of memory")
	}
	if !e.Started.IsZero() && !e.Ended.IsZero() {
		fmt.Fprintf(&b, " after %v", e.Ended.Sub(e.Started).Round(time.Millisecond))
	}
	if e.Phase != PhaseRunning && e.Phase != PhaseStopping {
		fmt.Fprintf(&b, " in %v", e.Phase)
	}
	if e.Cause != "" {
		fmt.Fprintf(&b, ", because %s", e.Cause)
	}
	if e.Requested != (Request{}) {
		fmt.Fprintf(&b, ", asked for by %s: %s", e.Requested.By, e.Requested.Why)
	}
	if e.Swept > 0 {
		fmt.Fprintf(&b, ", %d left-over processes killed", e.Swept)
	}
	if e.Abandoned != "" {
		fmt.Fprintf(&b, ", abandoned: %s", e.Abandoned)
	}
	return b.String()
}
