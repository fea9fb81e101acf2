package actor

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/restart"
	"github.com/hyperactor/hyperactor/wire"
)

// An actor is a cell, and each run of it has a scope: its context, and the sender
// that it is (see SelfOf). The scope of the first run is a part of the cell, and
// is also where the cell's mu is; that of a later one is a runScope, in runs,
// which is in rare. Who may call what:
//
//	the actor's goroutine                     ctx, runCtx, lastCtx, self, starts, ready, rest, owe
//	the actor's goroutine, or who has c.mu    runScope
//	anybody                                   runs, runOf, cancelRun, incarnation, restartable, bury, pause, paid, failOwed

// rare is what few actors have. Those that were spawned without it get it when
// they need it.
type rare struct {
	owed map[*ticket]struct{} // calls that it answers later; the cell's mu guards it
	runs *runs                // nil unless its supervisor restarts it
	kids *group               // nil unless it restarts its children
}

// runs are the runs of an actor that is restarted by its supervisor.
type runs struct {
	maker maker
	kid   kid // its supervisor's

	started, ready time.Time // of this run; used by the actor's goroutine alone

	// The cell's mu guards the following, which only the actor's goroutine writes.
	n     int       // which run this is, from 1
	scope *runScope // its context; nil in the first run, whose context is the cell's
}

// runScope is the context of the handlers of a later run.
type runScope struct {
	scope
	n int
}

type incarnationKey struct{}

// Value also returns the number of the run.
func (s *runScope) Value(key any) any {
	if _, ok := key.(incarnationKey); ok {
		return s.n
	}
	return s.scope.Value(key)
}

// Self says which actor it is, and which run of it.
type Self struct {
	Actor       id.Actor
	Incarnation int // 1 until it is restarted
}

// SelfOf returns the actor whose handler's ctx this is.
func SelfOf(ctx context.Context) (Self, error) {
	s, err := senderOf(ctx)
	if err != nil {
		return Self{}, err
	}
	if s.cell == nil {
		return Self{}, fmt.Errorf("self: %w: the ctx is not that of an actor", ErrNoActor)
	}
	n, ok := ctx.Value(incarnationKey{}).(int)
	if !ok {
		n = 1
	}
	return Self{s.id(), n}, nil
}

// rareParts returns what an actor has that is made by m and restarts others, or
// is restarted; nil for most.
func (c *cell) rareParts(m maker) *rare {
	restarted := c.parent != nil && c.parent.typ.restarts != nil && !c.typ.part
	if !restarted && c.typ.restarts == nil {
		return nil
	}
	r := &rare{}
	if restarted {
		r.runs = &runs{maker: m, n: 1}
		r.runs.kid.cell = c
	}
	if c.typ.restarts != nil {
		r.kids = &group{}
	}
	return r
}

// runs returns the runs of an actor that can be restarted, or nil. Anybody may
// ask who got c from a message or a list of the proc.
func (c *cell) runs() *runs {
	if p := c.parent; p == nil || p.typ.restarts == nil {
		return nil
	}
	return c.rare.runs // rare was there before c was, and stays
}

// ctx returns the context of the run, for its goroutine.
func (c *cell) ctx() context.Context {
	if c.rare == nil {
		return &c.scope
	}
	return c.runCtx()
}

// handlerCtx is the context of a run, which needs no goroutine to be watched.
type handlerCtx interface {
	context.Context
	AfterFunc(f func()) (stop func() bool)
}

func (c *cell) runCtx() handlerCtx {
	if c.rare != nil {
		if r := c.rare.runs; r != nil && r.scope != nil {
			return r.scope
		}
	}
	return &c.scope
}

// self returns the sender that the run is, for its goroutine.
func (c *cell) self() *sender { return &c.runScope().sender }

// runScope returns the scope of the run. Others than its goroutine hold c.mu.
func (c *cell) runScope() *scope {
	if c.rare != nil {
		if r := c.rare.runs; r != nil && r.scope != nil {
			return &r.scope.scope
		}
	}
	return &c.scope
}

// runOf returns the scope of the run that s is, or nil if that is over.
func (c *cell) runOf(s *sender) *scope {
	c.mu.Lock()
	defer c.mu.Unlock()
	if run := c.runScope(); &run.sender == s {
		return run
	}
	return nil
}

// cancelRun ends the context of the run.
func (c *cell) cancelRun(cause error) {
	c.mu.Lock()
	s := c.runScope()
	c.mu.Unlock()
	s.cancel(cause)
}

// incarnation returns which run this is.
func (c *cell) incarnation() int {
	r := c.runs()
	if r == nil {
		return 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.n
}

// restartable reports whether the end of a run need not be the end of the actor.
func (c *cell) restartable() bool { return c.runs() != nil && c.ran.Load() }

// starts and ready note when a run begins and when it was made, for the
// supervisor.
func (c *cell) starts() {
	if r := c.runs(); r != nil {
		r.started, r.ready = time.Now(), time.Time{}
	}
}

func (c *cell) ready() {
	if r := c.runs(); r != nil {
		r.ready = time.Now()
	}
}

// rest ends a run that need not be the last one: the actor is without a value
// and takes no user message until its supervisor has decided. It reports false
// if the actor has to end.
func (c *cell) rest(e *ending) bool {
	c.mu.Lock()
	rests := e.again && !e.lost
	if rests {
		e.rested = true
		e.timer.Stop()
	}
	f := e.failure
	c.mu.Unlock()
	if !rests {
		return false
	}
	c.actor = nil
	reason := wire.ActorStopped
	if f != nil {
		reason = wire.ActorFailed
	}
	c.failOwed(reason)
	if c.bond.Load() == bound {
		c.proc.cutTies(c, tiesOfRun, f)
	}
	c.cancelRun(errEnded)
	r := c.runs()
	c.notify(&childEnd{End: c.endOf(f), child: c, rests: true, was: restart.Run{
		Started: r.started, Ready: r.ready, Ended: time.Now(), How: restart.Failed,
	}})
	return true
}

// endOf returns the notice of the end of the run.
func (c *cell) endOf(f *Failure) End {
	return End{Actor: c.id(), Type: c.typ.name, Incarnation: c.incarnation(), Failure: f}
}

// bury ends an actor that rests for good.
func (c *cell) bury(cause error) {
	c.beginEnd(ending{deadline: c.proc.stopDeadline(), cause: cause}, wire.ActorFailed)
}

// pause ends the run of an actor that is to be restarted with a sibling.
func (c *cell) pause(cause error) {
	c.beginEnd(ending{deadline: c.proc.stopDeadline(), cause: cause, again: true}, wire.ActorStopped)
}

// rebirth begins the next run, of an actor that rests.
type rebirth struct{}

func (rebirth) run(c *cell) error {
	if !c.enterRun() {
		return nil
	}
	c.starts()
	a, err := c.runs().maker.make(c.ctx())
	if err == nil && a == nil {
		err = fmt.Errorf("type %s made nil", c.typ.name)
	}
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	c.actor = a
	c.ready()
	c.queue.wakeUp()
	c.parent.order(&childMade{c})
	return nil
}

func (rebirth) reject(*cell, wire.Reason, string) {}
func (rebirth) reuse() bool                       { return false }

// enterRun makes c an actor that is about to be made. It reports false if it
// has to end instead.
func (c *cell) enterRun() bool {
	c.proc.mu.Lock()
	c.barren = false
	c.proc.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil || !c.end.rested || !c.end.again {
		return false
	}
	c.end = nil
	c.ends.Store(false)
	c.halt.Store(false)
	r := c.rare.runs
	r.n++
	r.scope = &runScope{n: r.n}
	r.scope.proc, r.scope.name, r.scope.cell = c.proc, c.name, c
	if c.rare.kids != nil {
		c.rare.kids = &group{}
	}
	return true
}

// Whether an actor is tied to others; see cell.bond.
const (
	unbound uint32 = iota
	bound          // perhaps: ties.of may have some
	over           // its name is free again: nobody finds it any more
)

// bind makes c one that ends its ties with it. It reports false if it has ended.
func (c *cell) bind() bool { return c.bond.CompareAndSwap(unbound, bound) || c.bond.Load() == bound }
