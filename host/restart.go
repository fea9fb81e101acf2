package host

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// RestartMode says after which ends a proc is started again. An end that
// somebody asked for, through its handle, its Supervisor or its Host, is final in
// every mode. RestartLimits bound what follows in every mode, too.
type RestartMode uint8

// The modes.
const (
	Never     RestartMode = iota // one run
	OnFailure                    // unless it ended by itself with code 0; a signal from elsewhere is a failure, SIGTERM included
	Always                       // however it ended
)

func (m RestartMode) String() string {
	return [...]string{"never", "on-failure", "always"}[min(m, Always)]
}

// MarshalText returns what String does.
func (m RestartMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes what String returns.
func (m *RestartMode) UnmarshalText(text []byte) error {
	for _, known := range []RestartMode{Never, OnFailure, Always} {
		if known.String() == string(text) {
			*m = known
			return nil
		}
	}
	return fmt.Errorf("restart mode %q, want never, on-failure or always", text)
}

// RestartLimits says how soon a proc is started again, and when it is given up
// (AC-6). The zero value works. It needs no window of time: a proc is given up
// for runs in a row that were not healthy. A run is healthy if the proc was
// Ready for the time Healthy, and for twice the delay that came before the run.
type RestartLimits struct {
	// MaxRestarts is how often in a row a proc is started again after a run
	// that was not healthy, however it ended; 9 if zero, so that the tenth such
	// run is the last. With Always that goes for short runs that end with code 0,
	// too. Without limit if negative; for no restart at all there is Never.
	MaxRestarts int

	// Within, if not zero, has MaxRestarts count all restarts within that
	// time instead, healthy or not. Only the time that runs took counts: a
	// delay is our own doing, and a growing one would keep the limit from ever
	// being reached.
	Within time.Duration

	// MaxUnready is how many runs in a row may end before they were Ready; 3
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
	Jitter float64       // each delay is up to this part of it shorter or longer; 0.2 if zero, at most 1, none if negative
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

func (l RestartLimits) withDefaults() RestartLimits {
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
func (l RestartLimits) check() error {
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

// policy decides what comes after a run. Together with history it is pure: it
// has no clock and no randomness of its own.
type policy struct {
	mode RestartMode
	RestartLimits
}

// newPolicy returns the policy of spec, or an error if its limits mean nothing.
func newPolicy(spec ProcSpec) (policy, error) {
	return policy{spec.Restart, spec.RestartLimits.withDefaults()}, spec.RestartLimits.check()
}

// run is one run of a proc that has ended: of one incarnation.
type run struct {
	started, ready, ended time.Time // ready is zero if it never was
	how                   ending
}

// ending is what the policy has to know of an exit.
type ending uint8

const (
	failed      ending = iota
	succeeded          // by itself, with code 0
	askedFor           // somebody wanted it
	unstartable        // there was no process, and there will be none the next time
)

// runOf returns the run that ended with e.
func runOf(e Exit) run {
	r := run{started: e.Started, ready: e.Ready, ended: e.Ended}
	switch {
	case e.Requested != (launch.Request{}):
		r.how = askedFor
	case e.OK() && e.Cause == "": // a proc that had to be stopped has failed, however well it obeyed
		r.how = succeeded
	}
	return r
}

// took is how long the run was.
func (r run) took() time.Duration { return max(0, r.ended.Sub(r.started)) }

// history is what a policy remembers of the runs so far: counts, and no more
// lengths than MaxRestarts. The zero value is that of a proc which has not run.
type history struct {
	runs        int
	unhealthy   int             // in a row, up to the last one
	unready     int             // likewise
	unstartable int             // likewise
	delay       time.Duration   // before the last run, without jitter
	window      []time.Duration // how long each run took that was a restart within the window, if there is one
}

// verdict is what a policy decides.
type verdict struct {
	do    action
	after time.Duration // until it is started again
	why   string        // in words
}

// action is what to do after a run.
type action uint8

const (
	beDone     action = iota // it has ended as it should
	startAgain               // after the delay
	giveUp                   // it will not get better by itself
)

// next takes in the latest run and decides what comes next. random is from 0
// up to 1 and spreads the delay.
func (p policy) next(h *history, r run, random float64) verdict {
	p.remember(h, r)
	switch {
	case r.how == askedFor:
		return verdict{do: beDone, why: "it was asked to stop"}
	case p.mode == Never:
		return verdict{do: beDone, why: "it is not to be restarted"}
	case p.mode == OnFailure && r.how == succeeded:
		return verdict{do: beDone, why: "it ended without a failure"}
	}
	if why := p.exhausted(h); why != "" {
		return verdict{do: giveUp, why: why}
	}
	h.delay = p.Backoff.delay(h.unhealthy)
	return verdict{do: startAgain, after: p.Backoff.spread(h.delay, random)}
}

// remember takes the run into the history.
func (p policy) remember(h *history, r run) {
	h.runs++
	h.unhealthy = counted(h.unhealthy, !p.healthy(r, h.delay))
	h.unready = counted(h.unready, r.ready.IsZero())
	h.unstartable = counted(h.unstartable, r.how == unstartable)
	if p.Within == 0 || p.MaxRestarts < 0 || h.runs == 1 {
		return
	}
	h.window = append(h.window, r.took())
	total := time.Duration(0)
	for i, took := range slices.Backward(h.window) {
		if took >= p.Within-total {
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

// healthy reports whether r, which came after delay, shows that the proc works.
func (p policy) healthy(r run, delay time.Duration) bool {
	return !r.ready.IsZero() && r.ended.Sub(r.ready) >= max(p.Healthy, 2*delay)
}

// exhausted says which limit is reached, or "".
func (p policy) exhausted(h *history) string {
	switch {
	case h.unstartable >= startTries:
		return fmt.Sprintf("it could not be started %s in a row", times(h.unstartable))
	case p.MaxUnready > 0 && h.unready >= p.MaxUnready:
		return fmt.Sprintf("it ended %s in a row before it was ready", times(h.unready))
	case p.MaxRestarts < 0:
		return ""
	case p.Within > 0 && len(h.window) >= p.MaxRestarts:
		return fmt.Sprintf("it was restarted %s within %v of running", times(len(h.window)), p.Within)
	case p.Within == 0 && h.unhealthy > p.MaxRestarts:
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

// spread returns d with jitter, so that procs which failed together do not
// come back together.
func (b Backoff) spread(d time.Duration, random float64) time.Duration {
	with := float64(d) * (1 + b.Jitter*(2*random-1))
	if with >= math.MaxInt64 {
		return d
	}
	return time.Duration(with)
}
