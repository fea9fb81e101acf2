package host

import (
	"fmt"
	"strings"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Status is a snapshot of a proc. It is plain data, comparable with ==.
type Status struct {
	ID    id.Proc
	Phase Phase
	In    launch.Phase // the same in the words of an exit: what it would be said to have died in
	PID   int          // 0 if the proc has no process of its own

	Endpoint Endpoint // zero until the proc was Ready, and present from then on

	Started time.Time // when it was launched
	Ready   time.Time // zero if it never was
	Spent   Spent     // how long it was in each phase so far
	Taken   time.Time // when this snapshot was taken

	Suspended bool           // stopped, traced or frozen; that is not a failure
	Requested launch.Request // who asked it to stop first; zero if nobody did
	Cause     string         // what is wrong with it, or why it was killed; "" if nothing
	KillSent  time.Time      // zero if it was not killed
	Note      string         // what somebody who waits for it should know

	Exit Exit // when Phase is Exited

	overdue   bool // the kill should have worked by now
	unwanted  bool // somebody has asked it to stop, perhaps too late to have ended it
	condemned bool // it has exited after it was asked to stop for its Cause
}

// Phase is where a living proc is in its life. It only moves forward, and any
// phase can go straight to Exited.
type Phase uint8

// The phases of a proc.
const (
	Starting Phase = iota // nothing runs yet
	Running               // it exists
	Ready                 // it has handed back its address and its agent, and both work
	Stopping              // it was asked to stop, or killed
	Exited                // its end was seen
)

func (p Phase) String() string {
	return [...]string{"starting", "running", "ready", "stopping", "exited"}[min(p, Exited)]
}

// Spent is how long a proc was in each launch.Phase.
type Spent [launch.PhaseStopping + 1]time.Duration

// String lists the phases that took any time: "exec 2ms, handshake 30s".
func (s Spent) String() string {
	var parts []string
	for p, d := range s {
		if d > 0 {
			parts = append(parts, fmt.Sprintf("%v %v", launch.Phase(p), readable(d)))
		}
	}
	return strings.Join(parts, ", ")
}

// String returns one readable line.
func (s Status) String() string {
	if s.Phase == Exited {
		return s.Exit.String()
	}
	var b strings.Builder
	b.WriteString(s.Phase.String())
	if s.Phase == Running {
		fmt.Fprintf(&b, " (%v)", s.In)
	}
	if s.PID != 0 {
		fmt.Fprintf(&b, ", pid %d", s.PID)
	}
	if s.Suspended {
		b.WriteString(", suspended")
	}
	if s.Requested != (launch.Request{}) {
		fmt.Fprintf(&b, ", asked for by %s: %s", s.Requested.By, s.Requested.Why)
	}
	if s.Cause != "" {
		fmt.Fprintf(&b, ", because %s", s.Cause)
	}
	if s.Note != "" {
		fmt.Fprintf(&b, ", %s", s.Note)
	}
	return b.String()
}

// at returns s as it is at now: the parts that change by the mere passing of
// time are brought up to date.
func (s Status) at(now, since time.Time) Status {
	s.Taken = now
	if s.Phase == Exited {
		return s
	}
	s.Spent[s.In] += max(0, now.Sub(since))
	if s.overdue {
		s.Note = fmt.Sprintf("killed %v ago and still there: %s", readable(now.Sub(s.KillSent)), s.holder())
	}
	return s
}

// holder says who holds up the end of a proc that was killed.
func (s Status) holder() string {
	if s.PID == 0 {
		return "its actors have not returned"
	}
	return "the kernel has not ended it (uninterruptible)"
}

// readable rounds d to what people want to read.
func readable(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	if d >= time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}
