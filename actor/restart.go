package actor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/restart"
	"github.com/hyperactor/hyperactor/wire"
)

// Restarts says how an actor restarts its children (AC-6, AC-7); see
// Type.WithRestarts. The zero value restarts each by itself, by the default
// limits.
type Restarts struct {
	Strategy Strategy

	// Limits says how soon a child is started again and when it is given up:
	// the supervisor fails then, with the failure of the child. With OneForOne
	// they count the runs of each child, otherwise those of all together. A run
	// is ready when the child was made.
	Limits restart.Limits

	// DropMessages returns what waits for a child that fails to its senders, as
	// ErrFailed. Otherwise the next run handles it.
	DropMessages bool
}

// Strategy says which children restart when one has failed.
type Strategy uint8

// The strategies. Where several restart, those that run are stopped first, the
// last one that was spawned first, and then all are made again in the order in
// which they were spawned, one after the other.
const (
	OneForOne  Strategy = iota // that one
	AllForOne                  // all children
	RestForOne                 // that one, and those that were spawned after it
)

// restarts are Restarts that make sense.
type restarts struct {
	strategy Strategy
	policy   restart.Policy
	drop     bool
}

// WithRestarts returns a Type like t whose actors can restart their children:
// with the verdict Restart of their ChildEnded, or if they have no such method.
// Each child is made again by the Type that has made it, from the same parameters, which
// must not have been changed. It keeps its ref, its place among its siblings, and
// what waits in its mailbox: senders see nothing but a delay. The message that
// was being handled when it failed is not handled again. WithRestarts panics if
// the limits mean nothing: it runs when the program starts.
//
// It costs each child some 400 bytes.
func (t *Type[A, P]) WithRestarts(r Restarts) *Type[A, P] {
	policy, err := restart.NewPolicy(restart.Always, r.Limits)
	if err != nil || r.Strategy > RestForOne {
		panic(fmt.Sprintf("actor type %q: restarts %+v: %v", t.kind.name, r, err))
	}
	c := *t
	c.kind.restarts = &restarts{r.Strategy, policy, r.DropMessages}
	return &c
}

// history is a restart.History; the plans do not look at it.
type history = restart.History

// group is what a supervisor knows of its children as a whole.
type group struct {
	past restart.History
	plan plan
}

// planOf returns the plan that restarts k, and the history that decides.
func (c *cell) planOf(k *kid) (*plan, *restart.History) {
	if c.typ.restarts.strategy == OneForOne {
		return &k.own, &k.past
	}
	return &c.rare.kids.plan, &c.rare.kids.past
}

// restartKid plans the restart of k, whose run has ended with a failure, and
// of those that restart with it. It returns why not, if they have to be given up.
func (c *cell) restartKid(k *kid, run restart.Run) (gaveUp string) {
	p, past := c.planOf(k)
	v := c.typ.restarts.policy.Next(past, run, rand.Float64())
	if v.Do != restart.Again {
		return v.Why
	}
	p.begin(c.bound(k), v.After)
	c.goOn(p)
	return ""
}

// bound returns the kids that restart with k, and those that are about to
// restart anyway, in the order in which they were spawned.
func (c *cell) bound(k *kid) []*kid {
	strategy := c.typ.restarts.strategy
	if strategy == OneForOne {
		return []*kid{k}
	}
	var all []*kid
	for _, sib := range slices.Backward(c.proc.kidsOf(c)) {
		r := sib.runs()
		if r == nil || !sib.ran.Load() || r.kid.state == kidOver {
			continue
		}
		if strategy == AllForOne || len(all) > 0 || &r.kid == k || r.kid.planned {
			all = append(all, &r.kid)
		}
	}
	return all
}

// errSibling is the cause of the contexts that end when a sibling failed.
var errSibling = errors.New("restarts with a sibling")

// goOn does what the plan says, as far as it can be done now.
func (c *cell) goOn(p *plan) {
	for {
		switch step, k := p.next(); step {
		case stepStop:
			k.cell.pause(errSibling)
		case stepStart:
			c.startKid(k)
		case stepDelay:
			m := &planDue{p, p.turn}
			time.AfterFunc(p.delay, func() { c.order(m) })
			return
		default:
			return
		}
	}
}

// startKid starts k when the proc may restart another actor.
func (c *cell) startKid(k *kid) {
	if wait := c.proc.rate.take(); wait > 0 {
		time.AfterFunc(wait, func() { k.cell.order(rebirth{}) })
		return
	}
	k.cell.order(rebirth{})
}

// kidIs notes that a child is in another state, and goes on with the plan that
// waits for that.
func (c *cell) kidIs(child *cell, s kidState) {
	r := child.runs()
	if r == nil || child.parent != c {
		return
	}
	r.kid.state = s
	if !c.halt.Load() {
		p, _ := c.planOf(&r.kid)
		c.goOn(p)
	}
}

// planDue tells a supervisor that the delay of a plan is over.
type planDue struct {
	plan *plan
	turn int
}

func (m *planDue) run(c *cell) error {
	if !c.halt.Load() {
		m.plan.due(m.turn)
		c.goOn(m.plan)
	}
	return nil
}

func (m *planDue) reject(*cell, wire.Reason, string) {}
func (m *planDue) reuse() bool                       { return false }

// childMade tells a supervisor that a child runs again.
type childMade struct{ child *cell }

func (m *childMade) run(c *cell) error {
	c.kidIs(m.child, kidUp)
	return nil
}

func (m *childMade) reject(*cell, wire.Reason, string) {}
func (m *childMade) reuse() bool                       { return false }

// defaultRestartRate is how many actors of a proc are restarted in a second.
const defaultRestartRate = 1000

// rate bounds the restarts of a proc.
type rate struct {
	mu     sync.Mutex      // guards the following
	bucket *restart.Bucket // nil: there is no bound
}

// take takes a turn and returns how long it is until then.
func (r *rate) take() time.Duration {
	if r.bucket == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucket.Take(time.Now())
}
