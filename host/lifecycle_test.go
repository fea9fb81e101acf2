package host

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"pgregory.net/rapid"
)

// TestLifecycle steps the core with whatever can happen, in whatever order,
// against a model that keeps the whole history and looks through all of it at
// every moment.
func TestLifecycle(t *testing.T) {
	for range 10 { // a run is short, and the interesting ones are rare
		rapid.Check(t, runLifecycle)
	}
}

func runLifecycle(t *rapid.T) {
	m := newModel(t)
	m.step(launched{})
	t.Repeat(map[string]func(*rapid.T){
		"":          m.check,
		"wait":      func(t *rapid.T) { m.wait(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond) },
		"progress":  func(t *rapid.T) { m.step(progressed{launch.PhaseInit}) },
		"ready":     func(t *rapid.T) { m.step(connected{testEndpoint}) },
		"not ready": func(t *rapid.T) { m.step(notReady{errors.New("broken")}) },
		"fail":      func(t *rapid.T) { m.step(broken{"lost", drawSpan(t, "after")}) },
		"condemn": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				m.step(condemned{"unwell", drawSpan(t, "grace")})
			}
		},
		"terminate": func(t *rapid.T) {
			m.step(askTerminate{by: "a", why: "b", grace: drawSpan(t, "grace")})
		},
		"kill": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				m.step(askKill{by: "c", why: "d"})
			}
		},
		"drained": func(t *rapid.T) {
			if m.drains == 1 {
				var err error
				if rapid.Bool().Draw(t, "fails") {
					err = errors.New("not drained")
				}
				m.step(drained{err})
			}
		},
		"signals": func(t *rapid.T) { m.deaf = rapid.Bool().Draw(t, "deaf") },
		"exit": func(t *rapid.T) {
			if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
				m.step(exited{launch.Exit{Kind: launch.Stopped}})
			}
		},
	})
}

// drawSpan draws a duration that is easy to meet exactly.
func drawSpan(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.IntRange(-1, 12).Draw(t, label)) * 500 * time.Millisecond
}

// model is the slow and obvious lifecycle.
type model struct {
	t    *rapid.T
	core lifecycle
	now  time.Time
	deaf bool // signals cannot be sent

	start   time.Time
	ready   bool
	broken  bool // the handshake did
	asks    []modelAsk
	moments []time.Time // each moment at which the proc has to be killed
	killed  bool
	stopped bool  // was asked to stop, or could not be
	unheard bool  // the stop failed
	bad     bool  // the drain did
	was     Phase // before the step
	doomed  bool  // condemned while nothing else stopped it
	drains  int
	exit    *launch.Exit
}

// modelAsk is a terminate.
type modelAsk struct {
	at    time.Time
	grace time.Duration
}

func newModel(t *rapid.T) *model {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := &model{t: t, now: start, start: start}
	m.core.timeout = 10 * time.Second
	return m
}

// wait lets time pass, with a tick whenever the core wants one and one at the end.
func (m *model) wait(d time.Duration) {
	until := m.now.Add(d)
	for next := m.core.next(); due(next, until); next = m.core.next() {
		if next.After(m.now) {
			m.now = next
		}
		m.step(tick{})
	}
	m.now = until
	m.step(tick{})
}

// step steps the core and the model and compares.
func (m *model) step(e event) {
	m.was = m.core.phase
	a := m.core.step(m.now, e)
	if m.core.phase < m.was {
		m.t.Fatalf("%T: phase went from %v to %v", e, m.was, m.core.phase)
	}
	if m.exit != nil {
		if a != (actions{}) || m.core.exit != *m.exit || !m.core.next().IsZero() {
			m.t.Fatalf("%T after the exit: %+v, exit %v", e, a, m.core.exit)
		}
		return
	}
	if x, ok := e.(exited); ok {
		m.ended(x)
		return
	}
	m.take(e)
	m.compare(e, a)
	if a.stop || a.kill {
		m.signalled(a.kill)
		m.step(tick{})
	}
}

// take notes what happened.
func (m *model) take(e event) {
	switch e := e.(type) {
	case connected:
		m.ready = m.ready || m.core.phase == Ready
	case notReady:
		if !m.ready && !m.broken && !m.stopping() {
			m.broken = true
			m.plan(brokenBound)
		}
	case broken:
		if len(m.asks) == 0 {
			m.plan(e.after)
		}
	case condemned:
		if m.was != Stopping {
			m.doomed = true
			m.plan(max(0, e.grace))
		}
	case askTerminate:
		grace := max(0, e.grace)
		m.asks = append(m.asks, modelAsk{m.now, grace})
		m.plan(grace)
		if m.unheard {
			m.stopped = false
		}
	case askKill:
		m.moments = append(m.moments, m.now)
	case drained:
		m.bad = m.bad || e.err != nil
	}
}

// plan adds a demand to kill. Once that was done only Kill demands it again.
func (m *model) plan(after time.Duration) {
	if !m.killed {
		m.moments = append(m.moments, m.now.Add(after))
	}
}

// stopping reports whether somebody asked, or we have killed.
func (m *model) stopping() bool { return m.core.phase == Stopping }

// compare checks that the actions are those that the history demands.
func (m *model) compare(e event, a actions) {
	if want := m.killDue(); a.kill != want {
		m.t.Fatalf("%T at %v: kill = %v, want %v (killed %v, moments %v)", e, m.now, a.kill, want, m.killed, m.moments)
	}
	if want := !a.kill && m.stopDue(); a.stop != want {
		m.t.Fatalf("%T at %v: stop = %v, want %v (asks %v)", e, m.now, a.stop, want, m.asks)
	}
	if want := !a.kill && !a.stop && len(m.asks) > 0 && !m.killed && !m.stopped && m.drains == 0; a.drain != want {
		m.t.Fatalf("%T at %v: drain = %v, want %v", e, m.now, a.drain, want)
	}
	if a.drain {
		m.drains++
	}
}

// killDue reports whether this is the moment to kill: never later than the
// earliest demand, and never without one.
func (m *model) killDue() bool {
	if !m.killed && !m.ready && !m.broken && !m.doomed && len(m.asks) == 0 && m.core.requested.Why == "" && due(m.start.Add(10*time.Second), m.now) {
		return true
	}
	for _, at := range m.moments {
		if due(at, m.now) {
			return true
		}
	}
	return false
}

// stopDue reports whether this is the moment for the SIGTERM.
func (m *model) stopDue() bool {
	if m.killed || m.stopped || len(m.asks) == 0 && !m.doomed {
		return false
	}
	if m.doomed || !m.ready || m.bad || m.unheard {
		return true
	}
	for i, a := range m.asks {
		tightens := true
		for _, b := range m.asks[:i] {
			tightens = tightens && a.at.Add(a.grace).Before(b.at.Add(b.grace))
		}
		if tightens && due(a.at.Add(a.grace/2), m.now) {
			return true
		}
	}
	return false
}

// signalled reports the signal of the last step to the core.
func (m *model) signalled(kill bool) {
	var err error
	if m.deaf {
		err = errors.New("not permitted")
	}
	hadKill := !m.core.killSent.IsZero()
	switch {
	case !kill:
		m.stopped, m.unheard = true, m.deaf
	case !m.deaf:
		m.killed, m.moments, m.broken = true, nil, true
	default:
		m.retry()
	}
	a := m.core.step(m.now, signalled{kill: kill, err: err})
	if a.kill || a.stop || a.drain || a.ready {
		m.t.Fatalf("%+v follows a signal", a)
	}
	if a.tellTerminators && !m.deaf || a.tellKillers && !m.deaf || m.deaf && !kill && !a.tellTerminators || m.deaf && kill && !a.tellKillers {
		m.t.Fatalf("kill %v, error %v: told %+v", kill, err, a)
	}
	if hadKill && m.core.killSent.IsZero() {
		m.t.Fatal("the kill was forgotten")
	}
}

// retry plans the next kill after one that could not be sent: a moment later,
// or when the grace is used up if that is still to come.
func (m *model) retry() {
	m.broken = true // whatever the handshake does now: the proc is being killed
	m.moments = []time.Time{m.now.Add(killRetry)}
	var deadline time.Time
	for _, a := range m.asks {
		deadline = earlier(deadline, a.at.Add(a.grace))
	}
	if deadline.After(m.now) {
		m.moments = append(m.moments, deadline)
	}
}

// ended checks the record.
func (m *model) ended(x exited) {
	e := m.core.exit
	m.exit = &e
	asked := e.Requested.Why != ""
	if wantFailed := !m.ready && !asked; (e.Kind == launch.Failed) != wantFailed {
		m.t.Fatalf("exit %v: ready %v, asked %v", e, m.ready, asked)
	}
	if e.Ready.IsZero() == m.ready {
		m.t.Fatalf("exit %v: Ready at %v, was ready %v", e, e.Ready, m.ready)
	}
	heard := m.stopped && !m.unheard
	if e.Cause != "" && !m.killed && !(m.doomed && heard) {
		m.t.Fatalf("exit %v: names a cause, but nothing was done for one", e)
	}
	if named := strings.Contains(e.Cause, "unwell"); named != (m.doomed && (m.killed || heard)) {
		m.t.Fatalf("exit %v: condemned %v, told to stop %v, killed %v", e, m.doomed, heard, m.killed)
	}
	if strings.Count(e.Cause, "unwell") > 1 {
		m.t.Fatalf("exit %v: says it twice", e)
	}
}

// check holds at any time.
func (m *model) check(*rapid.T) {
	if m.exit == nil && m.core.phase == Exited {
		m.t.Fatal("an exit was made up")
	}
	if (m.core.phase == Ready) && !m.ready {
		m.t.Fatal("ready without a handshake")
	}
	if next := m.core.next(); due(next, m.now) {
		m.t.Fatalf("something is due at %v and was not done by %v", next, m.now)
	}
}
