package actor

import (
	"time"
)

// kid is a child as the plans of its supervisor see it.
type kid struct {
	cell    *cell
	state   kidState
	planned bool // a plan is to restart it
	past    history
	own     plan // to restart it alone
}

// kidState is where a child is between two runs. The zero state is that of one
// that runs.
type kidState uint8

const (
	kidUp kidState = iota
	kidStopping
	kidDown
	kidComing
	kidOver // it has ended for good
)

// plan restarts some children of a supervisor: those that run are stopped, the
// last one that was spawned first, and when the delay is over all are started
// again, the first one that was spawned first; each after the one before has
// ended, or was made. It is pure: next says what to do, and the kids' state what
// became of it.
type plan struct {
	todo  []*kid // in the order in which they were spawned
	phase planPhase
	at    int           // the next of todo
	delay time.Duration // before they start
	turn  int           // counts the beginnings, so that an old timer is known
}

type planPhase uint8

const (
	planIdle planPhase = iota
	planStopping
	planDelaying
	planStarting
)

// planStep is what to do next.
type planStep uint8

const (
	stepNone  planStep = iota // nothing, until a kid's state changes or the time has come
	stepStop                  // the kid
	stepDelay                 // call due after the delay
	stepStart                 // the kid
)

// begin makes todo what is restarted, whatever was under way.
func (p *plan) begin(todo []*kid, delay time.Duration) {
	for _, k := range todo {
		k.planned = true
	}
	p.todo, p.delay, p.phase, p.at = todo, delay, planStopping, len(todo)-1
	p.turn++
}

// due is told that the delay of that turn is over.
func (p *plan) due(turn int) {
	if turn == p.turn && p.phase == planDelaying {
		p.phase, p.at = planStarting, 0
	}
}

// next returns the next step, and marks the kid that it is for.
func (p *plan) next() (planStep, *kid) {
	switch p.phase {
	case planStopping:
		return p.nextStop()
	case planStarting:
		return p.nextStart()
	}
	return stepNone, nil
}

func (p *plan) nextStop() (planStep, *kid) {
	for ; p.at >= 0; p.at-- {
		switch k := p.todo[p.at]; k.state {
		case kidUp:
			k.state = kidStopping
			return stepStop, k
		case kidStopping, kidComing:
			return stepNone, nil
		}
	}
	p.phase = planDelaying
	return stepDelay, nil
}

func (p *plan) nextStart() (planStep, *kid) {
	for ; p.at < len(p.todo); p.at++ {
		switch k := p.todo[p.at]; k.state {
		case kidDown:
			k.state = kidComing
			return stepStart, k
		case kidComing:
			return stepNone, nil
		case kidUp:
			k.planned = false
		}
	}
	p.todo, p.phase = nil, planIdle
	return stepNone, nil
}
