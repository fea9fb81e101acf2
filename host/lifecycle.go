package host

import (
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// The bounds of a proc's life that nobody has asked to choose.
const (
	defaultReadyTimeout = 30 * time.Second
	brokenBound         = 500 * time.Millisecond // a proc whose handshake broke may end by itself for so long: its exit says more than our kill
	killRetry           = time.Second            // a kill that could not be sent is tried again after so long
	killBound           = 2 * time.Second        // a kill that has not worked for so long is worth a note (PH-12)
)

// lifecycle decides what happens to one proc. It is pure: it has no clock, does
// no I/O and starts nothing. Its owner steps it with what happened and when,
// does what the actions say, and steps it again, with a tick, at next.
//
// How a stop goes (PH-5). The first terminate asks the agent to drain and
// gives it half of the grace. The tree is asked to stop (SIGTERM) when the
// drain failed, as that of a suspended proc does, when the half is used up, or at
// once if the proc is not ready. It is killed when the grace is used up. Each further terminate can only move these two moments closer. A
// proc that is condemned is asked to stop at once, and killed after its grace.
//
// What the record says. Requested is the first request; a kill that overtakes
// a terminate sets its Kill and is named in Cause. Cause is our own reason and
// is there only if it made us kill and the kill was really sent before the end
// was seen; what a proc was condemned for is there as soon as it was asked to
// stop for that. A request that comes after such a kill, or after the end
// itself, explains nothing and is not recorded; that somebody does not want the
// proc any more is remembered all the same, for its Supervisor.
type lifecycle struct {
	phase Phase
	in    launch.Phase // for the exit: asking a proc to stop changes it, our own kills do not
	asked launch.Phase // what in was before somebody asked it to stop
	since time.Time    // when in began
	spent Spent

	started  time.Time
	readyAt  time.Time // zero: was never ready
	readyBy  time.Time // when to give up on readiness; zero: not waiting for it
	timeout  time.Duration
	endpoint Endpoint
	readyErr error // why it never became ready

	requested launch.Request
	unwanted  bool   // somebody has asked it to stop, perhaps too late to be in requested
	failed    string // the first thing that is wrong with it
	cause     string
	sentence  string // why it must not go on; "" if it may
	note      string // what it says of itself

	half     time.Time // when to stop asking nicely
	deadline time.Time // when the grace is used up; zero: no terminate
	hurry    bool      // draining is of no use, or is over without success
	drain    bool      // the agent was asked
	stop     signalState
	stopSent time.Time // zero: not yet

	killAt   time.Time // when to kill; zero: no kill is planned
	killWhy  why       // the cause if that kill is the first
	killSent time.Time // zero: not yet
	overdue  bool

	exit Exit
}

// why is the reason for a kill, which few plans come to: so it is put into words
// only then.
type why struct {
	text  string        // "" if the request says it all
	grace time.Duration // what was used up, instead of the text; 0 if nothing was
}

func (w why) String() string {
	if w.grace > 0 {
		return fmt.Sprintf("grace of %v used up", readable(w.grace))
	}
	return w.text
}

// signalState is how far asking a tree to stop has come.
type signalState uint8

const (
	unsent signalState = iota
	sent
	unsendable
)

// event is something that happened to a proc.
type event any

// The events.
type (
	// launched: the proc exists. Its spawn began at began.
	launched struct{ began time.Time }

	// progressed: its handshake came this far.
	progressed struct{ to launch.Phase }

	// connected: it is ready.
	connected struct{ endpoint Endpoint }

	// notReady: the handshake broke.
	notReady struct{ err error }

	// broken: something broke that it can do without only for so long.
	broken struct {
		cause string
		after time.Duration
	}

	// condemned: it lives, and must not go on.
	condemned struct {
		cause string
		grace time.Duration
	}

	// noted: it said something of itself.
	noted struct{ text string }

	askTerminate struct {
		by, why string
		grace   time.Duration
	}

	askKill struct{ by, why string }

	// drained: the agent said that it has drained, or never will.
	drained struct{ err error }

	// signalled: a stop or a kill was sent, or could not be.
	signalled struct {
		kill bool
		err  error
	}

	// tick: next has come.
	tick struct{}

	// exited: the end was seen.
	exited struct{ record Exit }
)

// actions is what the owner has to do now, in the order of the fields. A stop
// or kill is reported back with signalled before anything else is stepped, and
// a tick comes after it.
type actions struct {
	ready           bool // the endpoint is there: tell the manager
	drain           bool // ask the agent to drain until half
	stop, kill      bool
	tellTerminators bool // the last signal failed: those who called Terminate should know
	tellKillers     bool // likewise
}

// step takes in what happened at now and returns what to do.
func (l *lifecycle) step(now time.Time, e event) actions {
	var a actions
	if l.phase == Exited {
		return a
	}
	switch e := e.(type) {
	case launched:
		l.launch(now, e)
	case progressed:
		if l.phase == Running && e.to > l.in && e.to < launch.PhaseRunning {
			l.enter(now, e.to)
		}
	case connected:
		a.ready = l.connect(now, e.endpoint)
	case notReady:
		l.giveUp(now, e.err)
	case broken:
		if l.deadline.IsZero() { // one that was asked to stop lets go of things, and has its grace
			l.fail(now.Add(e.after), e.cause)
		}
	case condemned:
		l.condemn(now, e)
	case noted:
		l.note = e.text
	case askTerminate:
		l.terminate(now, e)
	case askKill:
		l.kill(now, e)
	case drained:
		l.hurry = l.hurry || e.err != nil
	case signalled:
		a.tellTerminators, a.tellKillers = l.signal(now, e)
		return a // what is due now has to wait for the next step
	case exited:
		l.end(now, e.record)
		return a
	case tick:
	default:
		panic(fmt.Sprintf("host: unknown event %T", e))
	}
	l.decide(now, &a)
	return a
}

func (l *lifecycle) launch(now time.Time, e launched) {
	l.phase, l.started, l.since = Running, now, now
	if !e.began.IsZero() {
		l.since = e.began
	}
	l.enter(now, launch.PhaseHandshake)
	l.readyBy = now.Add(l.timeout)
}

// enter moves the proc to another phase of an exit and keeps count of the time.
func (l *lifecycle) enter(now time.Time, to launch.Phase) {
	l.spent[l.in] += max(0, now.Sub(l.since))
	l.in, l.since = to, now
}

// connect makes the proc ready. One that is already being stopped stays so:
// nobody is to start talking to it.
func (l *lifecycle) connect(now time.Time, at Endpoint) bool {
	if l.phase != Running {
		return false
	}
	l.phase, l.endpoint, l.readyAt, l.readyBy = Ready, at, now, time.Time{}
	l.enter(now, launch.PhaseRunning)
	return true
}

// giveUp plans the end of a proc that cannot become ready any more. While it
// is being stopped that is no news.
func (l *lifecycle) giveUp(now time.Time, err error) {
	if l.phase != Running || l.readyErr != nil {
		return
	}
	l.readyErr, l.readyBy = err, time.Time{}
	l.fail(now.Add(brokenBound), fmt.Sprintf("%v: %v", l.in, err))
}

// fail notes what is wrong with the proc and plans its end for that (PH-9).
func (l *lifecycle) fail(at time.Time, cause string) {
	if l.failed == "" {
		l.failed = cause
	}
	l.planKill(at, why{text: cause})
}

// condemn plans the end of a proc that would live on. While it is being
// stopped that is no news.
func (l *lifecycle) condemn(now time.Time, e condemned) {
	if l.phase == Stopping {
		return
	}
	l.phase, l.readyBy, l.sentence = Stopping, time.Time{}, e.cause
	l.fail(now.Add(max(0, e.grace)), e.cause)
}

func (l *lifecycle) terminate(now time.Time, e askTerminate) {
	grace := max(0, e.grace)
	l.request(now, launch.Request{By: e.by, Why: e.why, At: now})
	l.hurry = l.hurry || l.readyAt.IsZero()
	if l.stop == unsendable {
		l.stop, l.hurry = unsent, true
	}
	if deadline := now.Add(grace); l.deadline.IsZero() || deadline.Before(l.deadline) {
		l.deadline = deadline
		l.half = earlier(l.half, now.Add(grace/2))
	}
	l.planKill(now.Add(grace), why{text: "no grace was given", grace: grace})
}

func (l *lifecycle) kill(now time.Time, e askKill) {
	l.killWhy = why{}
	if l.requested != (launch.Request{}) {
		l.killWhy.text = fmt.Sprintf("%s killed it: %s", e.by, e.why)
	}
	l.request(now, launch.Request{By: e.by, Why: e.why, At: now, Kill: true})
	l.killAt = now
}

// request records who wants the proc to end. The first one wins, unless we
// have killed it ourselves before.
func (l *lifecycle) request(now time.Time, r launch.Request) {
	l.phase, l.readyBy, l.unwanted = Stopping, time.Time{}, true
	if !l.killSent.IsZero() {
		return
	}
	if l.requested != (launch.Request{}) {
		l.requested.Kill = l.requested.Kill || r.Kill
		return
	}
	l.requested, l.asked = r, l.in
	l.enter(now, launch.PhaseStopping)
}

// planKill moves the kill to at if that is earlier than planned. Of two
// reasons for the same moment the first one stands.
func (l *lifecycle) planKill(at time.Time, w why) {
	if !l.killSent.IsZero() {
		return
	}
	if l.killAt.IsZero() || at.Before(l.killAt) {
		l.killAt, l.killWhy = at, w
	}
}

// signal takes in how sending a signal went. It returns which callers have to
// hear that it failed: those whose step of the stop it was (PH-11).
func (l *lifecycle) signal(now time.Time, e signalled) (terminators, killers bool) {
	switch {
	case !e.kill && e.err == nil:
		l.stop, l.stopSent = sent, now
	case !e.kill:
		l.stop = unsendable
		return true, false
	case e.err != nil:
		l.killAt = now.Add(killRetry)
		if l.deadline.After(now) {
			l.killAt = earlier(l.killAt, l.deadline)
		}
		return due(l.deadline, now), true
	case l.killSent.IsZero():
		l.killSent, l.cause = now, l.killWhy.String()
	}
	return false, false
}

// decide looks for what is due at now. At most one signal is sent in a step.
func (l *lifecycle) decide(now time.Time, a *actions) {
	if due(l.readyBy, now) {
		l.readyErr, l.readyBy = ErrReadyTimeout, time.Time{}
		l.fail(now, fmt.Sprintf("%v timeout after %v", l.in, l.timeout))
	}
	if due(l.killAt, now) {
		l.phase, l.killAt, l.readyBy, a.kill = Stopping, time.Time{}, time.Time{}, true
		return
	}
	switch {
	case !l.killSent.IsZero():
		l.overdue = l.overdue || due(l.killSent.Add(killBound), now)
	case l.stop != unsent || l.deadline.IsZero() && l.sentence == "":
	case l.hurry || l.sentence != "" || due(l.half, now):
		l.stop, a.stop = sent, true
	case !l.drain:
		l.drain, a.drain = true, true
	}
}

// next returns when the proc wants a tick; zero if nothing is to come.
func (l *lifecycle) next() time.Time {
	if l.phase == Exited {
		return time.Time{}
	}
	t := earlier(l.readyBy, l.killAt)
	if !l.killSent.IsZero() && !l.overdue {
		t = earlier(t, l.killSent.Add(killBound))
	}
	if l.killSent.IsZero() && l.stop == unsent {
		t = earlier(t, l.half)
	}
	return t
}

// end composes the record of the exit: the evidence, and what we know of how
// it came to that. Only this sets Exited (PH-9), and only once (PH-10).
func (l *lifecycle) end(now time.Time, e Exit) {
	l.spent[l.in] += max(0, now.Sub(l.since))
	l.phase, l.note = Exited, ""
	if e.Started.IsZero() {
		e.Started = l.started
	}
	if e.Ended.IsZero() {
		e.Ended = now
	}
	e.Ready, e.Phase = l.readyAt, l.in
	e.Requested = launch.Request{}
	switch r := l.requested; {
	case r == (launch.Request{}):
	case r.At.After(e.Ended): // it had ended by then, and only its output was still being read
		e.Phase = l.asked
	default:
		e.Requested = r
	}
	if l.cause != "" && l.cause != l.sentence && !l.killSent.After(e.Ended) {
		e.Cause = joinCauses(l.cause, e.Cause)
	}
	if l.condemnedBy(e.Ended) {
		e.Cause = joinCauses(l.sentence, e.Cause)
	}
	if e.Kind != launch.Unknown && e.Ready.IsZero() && e.Requested == (launch.Request{}) {
		e.Kind = launch.Failed
	}
	l.exit = e
}

// condemnedBy reports whether, at that moment, the proc had been signalled
// because it was condemned.
func (l *lifecycle) condemnedBy(end time.Time) bool {
	told := earlier(l.stopSent, l.killSent)
	return l.sentence != "" && due(told, end)
}

// status returns the snapshot of what the core knows.
func (l *lifecycle) status() Status {
	s := Status{
		Phase: l.phase, In: l.in, Endpoint: l.endpoint, Started: l.started, Ready: l.readyAt, Spent: l.spent,
		Requested: l.requested, Cause: l.cause, KillSent: l.killSent, Note: l.note, Exit: l.exit, overdue: l.overdue, unwanted: l.unwanted,
	}
	if s.Cause == "" {
		s.Cause = l.failed
	}
	if s.Phase == Exited {
		s.In, s.Requested, s.Cause = l.exit.Phase, l.exit.Requested, l.exit.Cause
		s.condemned = l.condemnedBy(l.exit.Ended)
	}
	return s
}

// joinCauses puts our reason before what the evidence adds to it.
func joinCauses(ours, theirs string) string {
	if theirs == "" {
		return ours
	}
	return ours + "; " + theirs
}

// due reports whether t is set and has come.
func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// earlier returns the earlier of two moments of which either may not be set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
