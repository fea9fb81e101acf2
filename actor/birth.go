package actor

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// birth makes the actor's value: the first thing that its goroutine does
// (AC-1). Whoever spawns the actor waits for it.
type birth struct {
	cell  *cell
	maker maker
	trace *wire.Trace   // that the spawn is a part of, or nil
	done  chan struct{} // takes one value when it was made, or one of the following is set
	err   error         // the actor's goroutine sets it
	entry [1]message    // the birth itself, as the first thing in its actor's queue

	abandoned atomic.Pointer[Failure]
}

// maker makes the value of an actor.
type maker interface {
	make(ctx context.Context) (any, error)
}

// makeFunc is a maker that needs nothing else.
type makeFunc func(context.Context) (any, error)

func (f makeFunc) make(ctx context.Context) (any, error) { return f(ctx) }

// birthOf is a birth and its maker in one piece of memory.
type birthOf[A, P any] struct {
	birth
	typ    *Type[A, P]
	params P
}

func (b *birthOf[A, P]) make(ctx context.Context) (any, error) { return b.typ.make(ctx, b.params) }

func (b *birth) run(c *cell) error {
	if c.halt.Load() { // stopped before it began: finish answers
		return nil
	}
	c.starts()
	a, err := b.call(c)
	if err == nil && a == nil {
		err = fmt.Errorf("type %s made nil", c.typ.name)
	}
	if err != nil { // finish answers, when there is no such actor any more
		b.err = err
		c.beginEnd(ending{deadline: c.proc.stopDeadline(), cause: err}, wire.ActorFailed)
		return nil
	}
	if c.birth.Swap(nil) == nil { // it was abandoned meanwhile
		return nil
	}
	c.actor = a
	c.ran.Store(true)
	c.ready()
	b.done <- struct{}{}
	return nil
}

// call calls make. What ends make early ends the making, not the proc.
func (b *birth) call(c *cell) (a any, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", ErrFailed, v, stack())
		} else { // runtime.Goexit: the goroutine ends with this
			b.err = fmt.Errorf("%w: make called runtime.Goexit", ErrFailed)
			c.beginEnd(ending{deadline: c.proc.stopDeadline(), cause: b.err}, wire.ActorFailed)
		}
	}()
	a, err = b.maker.make(within(&c.scope, &c.sender, b.trace))
	returned = true
	return a, err
}

// answer tells whoever spawned the actor that there is none. If it was abandoned
// make is still at work, and err not ours to read.
func (b *birth) answer(abandoned *Failure) {
	if abandoned != nil {
		b.abandoned.Store(abandoned)
	} else if b.err == nil {
		b.err = fmt.Errorf("%w before it was made", ErrStopped)
	}
	b.done <- struct{}{}
}

func (b *birth) reject(*cell, wire.Reason, string) {} // finish answers

func (b *birth) reuse() bool { return false }

// made waits until the actor was made. If ctx ends first, the actor is stopped.
func (b *birth) made(ctx context.Context) error {
	if end := ctx.Done(); end == nil {
		<-b.done
	} else {
		select {
		case <-b.done:
		case <-end:
			cause := context.Cause(ctx)
			b.cell.stop(false, time.Now().Add(b.cell.proc.cfg.StopBound), cause)
			return cause
		}
	}
	b.cell.proc.putDone(b.done)
	if f := b.abandoned.Load(); f != nil {
		return f
	}
	return b.err
}
