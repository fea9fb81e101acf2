package probe

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCore steps the core with whatever can come of a try against a model that
// keeps all tries and looks through all of them each time.
func TestCore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(1, 40).Draw(t, "tries") {
			m.turn()
			m.check()
		}
	})
}

// model is the slow and obvious core.
type model struct {
	t    *rapid.T
	core core
	now  time.Time
	past []pastTry
}

// pastTry is all about a try that has ended.
type pastTry struct {
	planned, begun, ended time.Time
	try
}

func newModel(t *rapid.T) *model {
	span := func(name string) time.Duration {
		return time.Duration(rapid.IntRange(1, 8).Draw(t, name)) * time.Second
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := Config{
		Interval: span("interval"), Timeout: span("timeout"),
		Failures: rapid.IntRange(1, 4).Draw(t, "failures"), Successes: rapid.IntRange(1, 3).Draw(t, "successes"),
	}
	return &model{t: t, now: start, core: core{cfg: cfg, planned: start}}
}

// turn makes one try.
func (m *model) turn() {
	late := func(name string) time.Duration {
		return rapid.SampledFrom([]time.Duration{0, 0, 0, m.core.cfg.Timeout / 2, m.core.cfg.Timeout/2 + 1, time.Minute}).Draw(m.t, name)
	}
	p := pastTry{planned: m.core.planned, begun: m.core.planned.Add(late("begins late"))}
	timeout := m.core.begin(p.begun)
	if want := time.Duration(1+m.stretch()) * m.core.cfg.Timeout; timeout != want {
		m.t.Fatalf("try %d may take %v, want %v", len(m.past), timeout, want)
	}
	switch rapid.IntRange(0, 3).Draw(m.t, "outcome") {
	case 0, 1:
		p.ended = p.begun.Add(timeout / 2)
		if rapid.Bool().Draw(m.t, "no") {
			p.err = errors.New("no")
		}
	default:
		p.err, p.unanswered, p.overrun = errors.New("nothing"), true, late("ends late")
		p.ended = p.begun.Add(timeout + p.overrun + late("returns late"))
	}
	p.excused = p.err != nil && rapid.IntRange(0, 5).Draw(m.t, "excused") == 0
	m.core.end(p.ended, p.try)
	m.past = append(m.past, p)
}

func (m *model) late(p pastTry) bool {
	bound := p.planned.Add(m.core.cfg.Timeout / 2)
	return p.begun.After(bound) || p.overrun > m.core.cfg.Timeout/2
}

// stretch counts how much more time the next try has.
func (m *model) stretch() int {
	n := 0
	for _, p := range m.past {
		switch late := m.late(p); {
		case late && n < 7:
			n++
		case !late && n > 0:
			n--
		}
	}
	return n
}

// counted returns whether each of the tries that count was good.
func (m *model) counted() (good []bool) {
	for _, p := range m.past {
		if p.err == nil || !p.excused && !(p.unanswered && m.late(p)) {
			good = append(good, p.err == nil)
		}
	}
	return good
}

// check compares what the core says with what the past says.
func (m *model) check() {
	good, last := m.counted(), m.past[len(m.past)-1]
	want := undecided
	for i := range good {
		if row(good[:i+1], m.core.cfg.Successes, true) {
			want = ready
		}
		if row(good[:i+1], m.core.cfg.Failures, false) {
			want = failed
		}
	}
	if m.core.verdict != want {
		m.t.Fatalf("after %v: verdict %v, want %v", good, m.core.verdict, want)
	}
	if m.core.last != last.err || m.core.tries != len(m.past) {
		m.t.Fatalf("last %v of %d tries, want %v of %d", m.core.last, m.core.tries, last.err, len(m.past))
	}
	if !row(good, m.core.misses, false) || row(good, m.core.misses+1, false) {
		m.t.Fatalf("after %v: %d misses in a row", good, m.core.misses)
	}
	next := m.past[0].planned
	for !next.After(last.ended) {
		next = next.Add(m.core.cfg.Interval)
	}
	if !m.core.planned.Equal(next) {
		m.t.Fatalf("the next try is at %v, want %v", m.core.planned, next)
	}
}

// row reports whether the last n of good are all as wanted.
func row(good []bool, n int, want bool) bool {
	if len(good) < n {
		return false
	}
	for _, g := range good[len(good)-n:] {
		if g != want {
			return false
		}
	}
	return true
}
