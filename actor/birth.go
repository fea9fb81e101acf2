package actor

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// birth makes the actor's value: the first thing that its goroutine does
// (AC-1). Whoever spawns the actor waits for it.
type birth struct {
	cell *cell
	make func(context.Context) (any, error)
	err  error
	done chan struct{} // takes one value when it was made, or err is set
}

func (b *birth) run(c *cell) error {
	if c.halt.Load() { // stopped before it began
		b.reject(c, c.queue.refusal(), "")
		return nil
	}
	a, err := b.call(c)
	if err == nil && a == nil {
		err = fmt.Errorf("type %s made nil", c.typ.name)
	}
	if err != nil {
		c.beginEnd(ending{deadline: c.proc.stopDeadline(), cause: err}, wire.ActorFailed)
	} else {
		c.actor = a
	}
	b.answer(err)
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
			err = fmt.Errorf("%w: make called runtime.Goexit", ErrFailed)
			c.beginEnd(ending{deadline: c.proc.stopDeadline(), cause: err}, wire.ActorFailed)
			b.answer(err)
		}
	}()
	a, err = b.make(&c.scope)
	returned = true
	return a, err
}

func (b *birth) answer(err error) {
	b.err = err
	b.done <- struct{}{}
}

func (b *birth) reject(_ *cell, r wire.Reason, why string) {
	b.answer(fmt.Errorf("%w %s", r, why))
}

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
	return b.err
}
