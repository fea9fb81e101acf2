package probe

import "time"

// core decides about one Check. It is pure: it has no clock and asks nothing.
// Its owner begins a try when planned has come, ends it with what came of it,
// and looks at the verdict.
//
// What a miss is. A plain no always counts: somebody was there to say it. No
// answer in time counts if the prober was on time, that is, if it began and
// gave up at most half a Timeout after the moments it had planned (the local
// health of Lifeguard). For each try that was not, the next ones get one more
// Timeout of time, up to maxStretch of them, and for each that was, one less
// again. A try that does not count neither adds to a row nor ends it.
type core struct {
	cfg     Config
	planned time.Time // when the next try begins, or the running one should have
	begun   time.Time // when the running try began

	tries   int // that have ended
	hits    int // in a row
	misses  int // in a row
	stretch int // more Timeouts for a try, while we are late ourselves
	verdict verdict
	last    error // what the last try found wrong, also if that does not count
}

// verdict is what is known of who is asked. It changes whenever a row is long enough.
type verdict uint8

const (
	undecided verdict = iota
	ready
	failed
)

const maxStretch = 8

// try is what came of one try.
type try struct {
	err        error         // nil: all is well
	unanswered bool          // its time was over
	overrun    time.Duration // how long after its time was over we looked; negative if in time
	excused    bool          // who is asked was suspended, or could not be asked
}

// begin starts a try and returns how long it may take.
func (c *core) begin(now time.Time) time.Duration {
	c.begun = now
	return c.cfg.Timeout * time.Duration(1+c.stretch)
}

// end takes in what came of the try and plans the next one: at the first
// moment to come of those that are whole intervals away from the first try, so
// that two tries never meet and a slow one is not followed at once.
func (c *core) end(now time.Time, t try) {
	late := max(c.begun.Sub(c.planned), t.overrun) > c.cfg.Timeout/2
	if late {
		c.stretch = min(c.stretch+1, maxStretch-1)
	} else {
		c.stretch = max(c.stretch-1, 0)
	}
	c.planned = c.planned.Add((now.Sub(c.planned)/c.cfg.Interval + 1) * c.cfg.Interval)
	c.tries, c.last = c.tries+1, t.err
	switch {
	case t.err == nil:
		c.hits, c.misses = c.hits+1, 0
	case t.excused || t.unanswered && late:
		return
	default:
		c.hits, c.misses = 0, c.misses+1
	}
	switch {
	case c.hits >= c.cfg.Successes:
		c.verdict = ready
	case c.misses >= c.cfg.Failures:
		c.verdict = failed
	}
}
