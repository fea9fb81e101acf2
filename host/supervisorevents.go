package host

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Event is something that happened to a supervised proc. It is plain data,
// comparable with ==.
type Event struct {
	Time        time.Time // when the Supervisor saw it
	Kind        EventKind
	Name        string        // of the proc, the same in all incarnations
	Proc        id.Proc       // zero while there is none: Starting, Restarting, GaveUp, a start that failed
	Incarnation int           // counts the starts, from 1
	PID         int           // 0 if the proc has no process of its own
	Exit        Exit          // of EventExited and EventGaveUp; Failed in exec if the proc could not be started
	Delay       time.Duration // of EventRestarting: until the next start, or longer if the host restarts too many procs
	Cause       string        // why, in words; may be empty
	Missed      int           // how many events before this one came too fast for this watcher
}

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of events. In each incarnation they come in this order, up to
// EventExited, and one that does not apply is left out.
const (
	EventStarting   EventKind = iota // a start begins
	EventRunning                     // the proc exists
	EventReady                       // it is Ready
	EventUnhealthy                   // something broke that it cannot live without, and it has not ended at once; it will be killed
	EventStopping                    // it was asked to stop, or killed; or it waited to be restarted, and that is off
	EventExited                      // it has ended, or could not be started
	EventRestarting                  // it will be started again, after Delay
	EventGaveUp                      // it will not, although it should run
)

func (k EventKind) String() string {
	return [...]string{"starting", "running", "ready", "unhealthy", "stopping", "exited", "restarting", "gave_up"}[min(k, EventGaveUp)]
}

// MarshalText returns what String does.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// String returns one readable line, without the time.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d: %v", e.Name, e.Incarnation, e.Kind)
	if e.PID != 0 {
		fmt.Fprintf(&b, ", pid %d", e.PID)
	}
	switch {
	case e.Kind == EventRestarting:
		fmt.Fprintf(&b, " in %v: %s", readable(e.Delay), e.Cause)
	case e.Kind == EventExited:
		fmt.Fprintf(&b, ": %v", e.Exit)
	case e.Cause != "":
		fmt.Fprintf(&b, ": %s", e.Cause)
	}
	if e.Missed > 0 {
		fmt.Fprintf(&b, " (%d events before it were lost)", e.Missed)
	}
	return b.String()
}

// doubt is how long a proc may be broken before it is told to be unhealthy:
// one that simply ends breaks a moment before its end is seen.
const doubt = 250 * time.Millisecond

// sightings is what was told of one incarnation. It is pure.
type sightings struct {
	ready, unhealthy, stopping bool
	broken                     time.Time // when it was first seen to be, while it was Ready
}

// news returns the events that st is the first sign of, in order. A status may
// have been skipped; what it would have shown is in the next one.
func (s *sightings) news(st Status) []Event {
	var events []Event
	see := func(told *bool, is bool, e Event) {
		if is && !*told {
			*told = true
			events = append(events, e)
		}
	}
	asked := st.Requested != (launch.Request{})
	if s.broken.IsZero() && st.Phase == Ready && st.Cause != "" {
		s.broken = st.Taken
	}
	see(&s.ready, !st.Ready.IsZero(), Event{Kind: EventReady})
	see(&s.unhealthy, s.ready && st.Cause != "" && s.beyondDoubt(st, asked), Event{Kind: EventUnhealthy, Cause: st.Cause})
	see(&s.stopping, st.Phase == Stopping || st.Phase == Exited && (asked || st.condemned || !st.KillSent.IsZero()), Event{Kind: EventStopping, Cause: whyStopping(st)})
	return events
}

// beyondDoubt reports whether a proc that was ready and is broken is unhealthy:
// it is stopped for that, or has been broken for long enough.
func (s *sightings) beyondDoubt(st Status, asked bool) bool {
	switch st.Phase {
	case Ready:
		return st.Taken.Sub(s.broken) >= doubt
	case Stopping:
		return !asked
	case Exited:
		return !asked && (st.condemned || !st.KillSent.IsZero() && !st.KillSent.After(st.Exit.Ended))
	}
	return false
}

// doubtful reports whether the proc has to be looked at again when doubt has
// passed, even if nothing happens.
func (s *sightings) doubtful() bool { return !s.broken.IsZero() && !s.unhealthy && !s.stopping }

// whyStopping says in words why a proc stops.
func whyStopping(st Status) string {
	if st.Requested == (launch.Request{}) {
		return st.Cause
	}
	return fmt.Sprintf("asked for by %s: %s", st.Requested.By, st.Requested.Why)
}

// maxEvents is how many events a feed keeps: those of ten runs and more, with
// the exits and the last words in them.
const maxEvents = 64

// feed keeps the last events of a Supervisor for any number of watchers. Each
// of them has its own place in it; who adds waits for nobody.
type feed struct {
	mu      sync.Mutex // guards the following
	last    []Event    // a ring, once it is full
	added   int        // how many there ever were
	closed  bool       // there will be no more
	changed chan struct{}
}

func newFeed() *feed { return &feed{changed: make(chan struct{})} }

// add adds e and wakes the watchers.
func (f *feed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.last) < maxEvents {
		f.last = append(f.last, e)
	} else {
		f.last[f.added%maxEvents] = e
	}
	f.added++
	f.wakeLocked()
}

// close ends the feed: watchers get what is there.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wakeLocked()
}

func (f *feed) wakeLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// events yields the events from the oldest that is kept, until the feed or ctx
// ends.
func (f *feed) events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for at := 0; ; {
			e, next, more := f.at(at)
			switch {
			case next > at:
				at = next
				if ctx.Err() != nil || !yield(e) {
					return
				}
				continue
			case more == nil:
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}
}

// at returns the event at place i, or the oldest one since, and the place
// after it. If there is none yet that is i, with what is closed when there may
// be one: nil if there never will.
func (f *feed) at(i int) (e Event, next int, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case i < f.added:
		oldest := max(i, f.added-len(f.last))
		e = f.last[oldest%maxEvents]
		e.Missed = oldest - i
		return e, oldest + 1, nil
	case f.closed:
		return Event{}, i, nil
	}
	return Event{}, i, f.changed
}
