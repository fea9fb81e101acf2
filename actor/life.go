package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// ending is the end of an actor under way: stop orders, or its own failure.
// Guarded by the cell's scope.mu, but for done.
type ending struct {
	drain    bool // what waits is still handled
	deadline time.Time
	timer    *time.Timer
	failure  *Failure
	cause    error
	again    bool          // it may only be the end of a run: what waits is kept
	rested   bool          // the run has ended, and its supervisor knows
	lost     bool          // it is abandoned
	told     order         // to the children; used by the actor's goroutine alone
	cleaned  bool          // likewise
	done     chan struct{} // closed at the end
}

// order is how an actor has to end.
type order struct {
	drain    bool
	deadline time.Time
}

// drainReserve is the part of a stop's budget that is kept for what comes
// after the drain: contexts are cancelled when only this part is left.
const drainReserve = 5 // a fifth

// stop ends the actor: with drain after what waits has been handled, otherwise
// after the handler that runs. At the deadline an actor that has not come back
// is abandoned (AC-3). A later call can tighten, never loosen. The channel is
// closed at the end.
func (c *cell) stop(drain bool, deadline time.Time, cause error) <-chan struct{} {
	return c.beginEnd(ending{drain: drain, deadline: deadline, cause: cause}, wire.ActorStopped)
}

// fail ends the actor, or a run of it, because of a failure that nobody waits
// for.
func (c *cell) fail(f *Failure) {
	c.sign(f)
	c.proc.observeFailure(f)
	c.beginEnd(ending{deadline: c.proc.stopDeadline(), failure: f, cause: f.Err, again: true}, wire.ActorFailed)
}

// sign says in f that it is c's own.
func (c *cell) sign(f *Failure) {
	f.Actor, f.Type, f.Incarnation = c.id(), c.typ.name, c.incarnation()
}

func (c *cell) beginEnd(want ending, reason wire.Reason) <-chan struct{} {
	c.mu.Lock()
	e := c.end
	if e == nil {
		e = &ending{drain: want.drain, deadline: want.deadline, cause: want.cause, failure: want.failure, done: make(chan struct{})}
		e.again = want.again && c.restartable()
		c.end = e
	}
	e.again = e.again && want.again // whoever stops it means it for good
	e.drain = e.drain && want.drain
	if want.deadline.Before(e.deadline) {
		e.deadline = want.deadline
	}
	if e.failure == nil {
		e.failure = want.failure
	}
	drain := e.drain
	var left []message
	if e.again {
		left = c.queue.suspend(c.parent.typ.restarts.drop)
	} else {
		left = c.queue.close(reason, drain)
	}
	if !drain { // after what decides about messages that are left
		c.halt.Store(true) // before anything can abandon it
	}
	c.ends.Store(true)
	c.setTimer(e)
	c.mu.Unlock()

	c.rejectAll(left, cmp.Or(c.queue.refusal(), reason))
	if !drain {
		c.cancelRun(want.cause)
	}
	c.order(wake{})
	return e.done
}

// setTimer sets what happens when the budget is nearly or wholly used up.
func (c *cell) setTimer(e *ending) {
	if e.timer != nil {
		e.timer.Stop()
	}
	if c.gone.Load() {
		return
	}
	left := time.Until(e.deadline)
	if e.drain {
		deadline := e.deadline
		e.timer = time.AfterFunc(left-left/drainReserve, func() {
			c.stop(false, deadline, errDrainOver)
		})
		return
	}
	e.timer = time.AfterFunc(left, func() { c.abandon(e) })
}

// wake makes an actor look at what it has been ordered.
type wake struct{}

func (wake) run(*cell) error                   { return nil }
func (wake) reject(*cell, wire.Reason, string) {}
func (wake) reuse() bool                       { return false }

// advance takes an ending actor one step further, if it is time. It reports
// false when the actor has ended.
func (c *cell) advance() bool {
	if !c.ends.Load() {
		return true
	}
	if c.gone.Load() {
		return false
	}
	if !c.halt.Load() && !c.queue.idle() {
		return true
	}
	c.mu.Lock()
	e := c.end
	now := order{e.drain, e.deadline}
	rested, again := e.rested, e.again
	c.mu.Unlock()
	if e.told != now { // nothing yet, or less strictly
		e.told = now
		c.stopKids(now)
	}
	if c.nkids.Load() > 0 {
		return true
	}
	if !rested {
		c.cleanUp(e)
		rested = c.rest(e)
		again = rested
	}
	if rested && again {
		return true
	}
	c.finish(c.failure(), false)
	return false
}

// failure returns why the actor ends, nil if it was asked to.
func (c *cell) failure() *Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end.failure
}

// lastFailure returns why the actor has ended, f if it is known. The end of the
// agent is that of the proc.
func (c *cell) lastFailure(f *Failure) *Failure {
	if f == nil && c.parent == nil {
		f, _ = errors.AsType[*Failure](c.proc.Err())
	}
	return f
}

// stopKids passes the order on, with most of what is left of the budget (AC-4).
func (c *cell) stopKids(o order) {
	left := time.Until(o.deadline)
	for _, k := range c.proc.lastKidsOf(c) {
		k.stop(o.drain, o.deadline.Add(-left/10), fmt.Errorf("parent %s ends", c.name))
	}
}

// Stopper is an actor that has something to clean up. Stop runs once, after
// the last message and after the children have ended; not after a panic. Its
// ctx ends with the budget of the stop, and sends as the actor does, after what
// it sent before (MS-1). The actor spawns nothing any more.
type Stopper interface {
	Stop(ctx context.Context) error
}

func (c *cell) cleanUp(e *ending) {
	s, ok := c.actor.(Stopper)
	if f := c.failure(); !ok || e.cleaned || f != nil && f.Panicked {
		return
	}
	e.cleaned = true
	c.mu.Lock()
	deadline := e.deadline
	c.mu.Unlock()
	ctx, cancel := context.WithDeadline(c.lastCtx(), deadline)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			c.cleanUpFailed(e, &Failure{Err: fmt.Errorf("clean up: panic: %v", v), Panicked: true, Stack: stack()})
		}
	}()
	if err := s.Stop(ctx); err != nil {
		c.cleanUpFailed(e, &Failure{Err: fmt.Errorf("clean up: %w", err)})
	}
}

// lastCtx is the ctx of the run for what it does after its end, which has ended
// that one.
func (c *cell) lastCtx() context.Context {
	ctx := context.WithValue(context.Background(), senderKey{}, c.self())
	return context.WithValue(ctx, incarnationKey{}, c.incarnation())
}

func (c *cell) cleanUpFailed(e *ending, f *Failure) {
	c.sign(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.failure == nil {
		e.failure = f
	}
}

// finish ends the actor: everything that waits gets its outcome, the
// supervisor its one notice, and then the end is published (AC-5).
func (c *cell) finish(f *Failure, abandoned bool) {
	reason := wire.ActorStopped
	if f != nil {
		reason = wire.ActorFailed
	}
	left, first := c.queue.finish(c, reason, abandoned)
	if !first {
		return
	}
	if !abandoned { // others may know the cell for a long time yet
		c.actor = nil
	}
	c.rejectAll(left, c.queue.refusal())
	c.failOwed(reason)
	if abandoned {
		c.failInHand("its handler did not return")
	}
	tied := c.proc.freeName(c) // a supervisor may spawn the next one under it at once
	c.mu.Lock()
	rested := c.end.rested
	c.mu.Unlock()
	c.notify(&childEnd{End: c.endOf(f), child: c, silent: rested})
	if tied {
		c.proc.cutTies(c, allTies, c.lastFailure(f))
	}
	c.cancelRun(errEnded)
	c.mu.Lock()
	if c.end.timer != nil {
		c.end.timer.Stop()
	}
	done := c.end.done
	c.gone.Store(true)
	c.mu.Unlock()
	c.proc.remove(c)
	failed := f != nil
	if b := c.birth.Swap(nil); b != nil {
		if !abandoned {
			f = nil
		}
		b.answer(f)
	}
	close(done)
	if failed && c.parent == nil { // the end of the agent is the end of the proc
		c.proc.beginEnd(false, c.proc.cfg.StopBound, c.failure())
	}
}

var (
	errEnded     = errors.New("actor has ended")
	errDrainOver = errors.New("the time to drain is used up")
)

// abandon gives up on an actor that did not end in time: its handler ignores
// that its ctx is cancelled. It is detached and reported; its goroutine stays
// for as long as the handler does (AC-3). Its children, whom it could not tell,
// get a short one of their own.
func (c *cell) abandon(e *ending) {
	c.mu.Lock()
	over := c.end != e || e.rested && e.again || c.gone.Load()
	e.lost = !over
	c.mu.Unlock()
	if over {
		return
	}
	f := &Failure{Err: ErrAbandoned, Stack: stackOf(c)}
	c.sign(f)
	for _, k := range c.proc.kidsOf(c) {
		k.stop(false, time.Now().Add(c.proc.cfg.StopBound/drainReserve), f.Err)
	}
	c.proc.addAbandoned(c.id())
	c.finish(f, true)
}

// owe remembers a call that is answered later; paid forgets it.
func (c *cell) owe(t *ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rare == nil {
		c.rare = &rare{}
	}
	if c.rare.owed == nil {
		c.rare.owed = make(map[*ticket]struct{})
	}
	c.rare.owed[t] = struct{}{}
}

func (c *cell) paid(t *ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rare.owed, t)
}

func (c *cell) failOwed(reason wire.Reason) {
	var owed map[*ticket]struct{}
	c.mu.Lock()
	if c.rare != nil {
		owed, c.rare.owed = c.rare.owed, nil
	}
	c.mu.Unlock()
	for t := range owed {
		t.call.fail(t.number(), c, reason, "before it had answered", true)
	}
}
