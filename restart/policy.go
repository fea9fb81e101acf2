package restart

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Mode says after which ends something is started again. An end that somebody
// asked for is final in every mode. Limits bound what follows in every mode, too.
type Mode uint8

// The modes.
const (
	Never     Mode = iota // one run
	OnFailure             // unless it ended by itself with code 0; a signal from elsewhere is a failure, SIGTERM included
	Always                // however it ended
)

func (m Mode) String() string {
	return [...]string{"never", "on-failure", "always"}[min(m, Always)]
}

// MarshalText returns what String does.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes what String returns.
func (m *Mode) UnmarshalText(text []byte) error {
	for _, known := range []Mode{Never, OnFailure, Always} {
		if known.String() == string(text) {
			*m = known
			return nil
		}
	}
	return fmt.Errorf("restart mode %q, want never, on-failure or always", text)
}

// Limits says how soon a proc is started again, and when it is given up
// (AC-6). The zero value works. It needs no window of time: a proc is given up
// for a row of runs that were not healthy. A run is healthy if the proc was
// Ready for the time Healthy, and for twice the delay that came before the run.
type Limits struct {
	// MaxRestarts is how often in a row it is started again after a run
	// that was not healthy, however it ended; 9 if zero, so that the tenth such
	// run is the last. With Always that goes for short runs that end with code 0,
	// too. Without limit if negative; for no restart at all there is Never.
	MaxRestarts int

	// Within, if not zero, has MaxRestarts count all restarts within that
	// time instead, healthy or not. Only the time that runs took counts: a
	// delay is our own doing, and a growing one would keep the limit from ever
	// being reached.
	Within time.Duration

	// MaxUnready is how many runs in a row may end before they were ready; 3
	// if zero, without limit if negative. A program that cannot be started at
	// all, because it is not there for example, is given up after 3 tries in
	// any case.
	MaxUnready int

	Backoff Backoff
	Healthy time.Duration // 30 s if zero
}

// Backoff is the delay from the end of a run to the next start. It grows with
// each run in a row that was not healthy.
type Backoff struct {
	Min    time.Duration // the first delay; 500 ms if zero
	Max    time.Duration // what it grows to; 60 s if zero, or Min if that is longer
	Factor float64       // from one delay to the next; 2 if zero, at least 1
	Jitter float64       // each delay is up to this part of it shorter or longer, within Min and Max; 0.2 if zero, at most 1, none if negative
}

// The defaults (AC-6), and what has none to choose.
const (
	defaultRestarts = 9
	defaultUnready  = 3
	defaultHealthy  = 30 * time.Second
	defaultMin      = 500 * time.Millisecond
	defaultMax      = 60 * time.Second
	defaultFactor   = 2
	defaultJitter   = 0.2
	startTries      = 3 // a program may be gone for a moment while it is replaced
)

func (l Limits) withDefaults() Limits {
	if l.MaxRestarts == 0 {
		l.MaxRestarts = defaultRestarts
	}
	if l.MaxUnready == 0 {
		l.MaxUnready = defaultUnready
	}
	if l.Healthy == 0 {
		l.Healthy = defaultHealthy
	}
	l.Backoff = l.Backoff.withDefaults()
	return l
}

func (b Backoff) withDefaults() Backoff {
	if b.Min == 0 {
		b.Min = defaultMin
	}
	if b.Max == 0 {
		b.Max = max(defaultMax, b.Min)
	}
	if b.Factor == 0 {
		b.Factor = defaultFactor
	}
	if b.Jitter == 0 {
		b.Jitter = defaultJitter
	}
	b.Jitter = max(0, b.Jitter)
	return b
}

// check reports a value that means nothing.
func (l Limits) check() error {
	switch b := l.Backoff.withDefaults(); {
	case l.Within < 0:
		return fmt.Errorf("restart: within %v, want a time or zero", l.Within)
	case l.Healthy < 0:
		return fmt.Errorf("restart: healthy after %v, want a time or zero", l.Healthy)
	case b.Min < 0 || b.Max < b.Min:
		return fmt.Errorf("restart: backoff from %v to %v, want a shorter and a longer time", b.Min, b.Max)
	case !(b.Factor >= 1) || math.IsInf(b.Factor, 1):
		return fmt.Errorf("restart: backoff grows by %v, want 1 or more", b.Factor)
	case !(b.Jitter <= 1):
		return fmt.Errorf("restart: backoff jitter of %v, want at most 1", b.Jitter)
	}
	return nil
}

// Policy decides what comes after a run. Together with History it is pure: it
// has no clock and no randomness of its own, and may be used from anywhere.
type Policy struct {
	mode   Mode
	limits Limits
}

// NewPolicy returns the policy of these limits, or an error if they mean
// nothing.
func NewPolicy(m Mode, l Limits) (Policy, error) {
	return Policy{m, l.withDefaults()}, l.check()
}

// Run is one run that has ended: one incarnation.
type Run struct {
	Started, Ready, Ended time.Time // Ready is zero if it never was
	How                   Ending
}

// Ending is what a policy has to know of an end.
type Ending uint8

// The endings.
const (
	Failed      Ending = iota
	Succeeded          // by itself, as it should
	AskedFor           // somebody wanted it
	Unstartable        // there was nothing to run, and there will not be the next time
)

// took is how long the run was.
func (r Run) took() time.Duration { return max(0, r.Ended.Sub(r.Started)) }

// History is what a Policy remembers of the runs so far: counts, and no more
// lengths than MaxRestarts. The zero value is that of what has not run. Whoever
// owns it calls Next with it, one at a time.
type History struct {
	runs        int
	unhealthy   int             // in a row, up to the last one
	unready     int             // likewise
	unstartable int             // likewise
	delay       time.Duration   // before the last run, without jitter
	window      []time.Duration // how long each run took that was a restart within the window, if there is one
}

// Verdict is what a Policy decides.
type Verdict struct {
	Do    Action
	After time.Duration // until it is started again
	Why   string        // in words; "" for Again
}

// Action is what to do after a run.
type Action uint8

// The actions.
const (
	Done   Action = iota // it has ended as it should
	Again                // start it, after the delay
	GiveUp               // it will not get better by itself
)

// Next takes in the latest run and decides what comes next. random is from 0
// up to 1 and spreads the delay.
func (p Policy) Next(h *History, r Run, random float64) Verdict {
	p.remember(h, r)
	switch {
	case r.How == AskedFor:
		return Verdict{Do: Done, Why: "it was asked to stop"}
	case p.mode == Never:
		return Verdict{Do: Done, Why: "it is not to be restarted"}
	case p.mode == OnFailure && r.How == Succeeded:
		return Verdict{Do: Done, Why: "it ended without a failure"}
	}
	if why := p.exhausted(h); why != "" {
		return Verdict{Do: GiveUp, Why: why}
	}
	h.delay = p.limits.Backoff.delay(h.unhealthy)
	return Verdict{Do: Again, After: p.limits.Backoff.spread(h.delay, random)}
}

// remember takes the run into the History.
func (p Policy) remember(h *History, r Run) {
	h.runs++
	h.unhealthy = counted(h.unhealthy, !p.healthy(r, h.delay))
	h.unready = counted(h.unready, r.Ready.IsZero())
	h.unstartable = counted(h.unstartable, r.How == Unstartable)
	if p.limits.Within == 0 || p.limits.MaxRestarts < 0 || h.runs == 1 {
		return
	}
	h.window = append(h.window, r.took())
	total := time.Duration(0)
	for i, took := range slices.Backward(h.window) {
		if took >= p.limits.Within-total {
			h.window = slices.Delete(h.window, 0, i+1)
			break
		}
		total += took
	}
}

// counted returns the length of a row that the latest run continues or ends.
func counted(n int, more bool) int {
	if more {
		return n + 1
	}
	return 0
}

// healthy reports whether r, which came after delay, shows that it works.
func (p Policy) healthy(r Run, delay time.Duration) bool {
	return !r.Ready.IsZero() && r.Ended.Sub(r.Ready) >= max(p.limits.Healthy, 2*delay)
}

// exhausted says which limit is reached, or "".
func (p Policy) exhausted(h *History) string {
	switch {
	case h.unstartable >= startTries:
		return fmt.Sprintf("it could not be started %s in a row", times(h.unstartable))
	case p.limits.MaxUnready > 0 && h.unready >= p.limits.MaxUnready:
		return fmt.Sprintf("it ended %s in a row before it was ready", times(h.unready))
	case p.limits.MaxRestarts < 0:
		return ""
	case p.limits.Within > 0 && len(h.window) >= p.limits.MaxRestarts:
		return fmt.Sprintf("it was restarted %s within %v of running", times(len(h.window)), p.limits.Within)
	case p.limits.Within == 0 && h.unhealthy > p.limits.MaxRestarts:
		return fmt.Sprintf("it was not healthy %s in a row", times(h.unhealthy))
	}
	return ""
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// delay returns the delay after so many runs in a row that were not healthy.
func (b Backoff) delay(unhealthy int) time.Duration {
	d := float64(b.Min) * math.Pow(b.Factor, float64(max(0, unhealthy-1)))
	if d >= float64(b.Max) {
		return b.Max
	}
	return time.Duration(d)
}

// spread returns d with jitter, so that procs that failed together do not come
// back together. What would leave the range of b is thrown back into it: cut
// off, half of them would come back at its very end.
func (b Backoff) spread(d time.Duration, random float64) time.Duration {
	least, most := float64(b.Min), float64(b.Max)
	with := float64(d) * (1 + b.Jitter*(2*random-1))
	switch {
	case with < least:
		with = min(2*least-with, most)
	case with > most:
		with = max(2*most-with, least)
	}
	if with >= math.MaxInt64 {
		return d
	}
	return time.Duration(with)
}
