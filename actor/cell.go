package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/wire"
)

// cell is one actor: the user's value, what waits for it, and where it is in
// its life. Whatever happens to it is done by the one goroutine in run, or by
// abandon when that goroutine does not come back.
type cell struct {
	scope  // the context of its handlers; also says its proc and name
	queue  queue
	typ    *kind
	actor  any
	parent *cell // nil for the agent

	kids, next, prev *cell                  // guarded by proc.mu: the children, as a list
	nkids            atomic.Int32           // children whose end notice has not been handled
	halt             atomic.Bool            // no further message is handled
	ran              atomic.Bool            // it was made
	bond             atomic.Uint32          // whether it is tied to others, see ties
	birth            atomic.Pointer[birth]  // until whoever spawned it has the answer
	ends             atomic.Bool            // it has to end: advance has something to do
	gone             atomic.Bool            // its terminal state is published
	lull             bool                   // the last message was a call, or in a run: no other will follow at once; used by its worker alone
	barren           bool                   // guarded by proc.mu: it has no more children, those that it had were told to end
	at               atomic.Int32           // which message of the batch is being handled
	inHand           atomic.Pointer[ticket] // the call that is being handled
}

// run handles what waits until nothing does. A worker runs it: whoever queues
// something when there is none at it sees to that.
func (c *cell) run(b *batch) {
	limit := c.typ.mailbox.limit()
	for yielded := true; ; {
		if !c.queue.take(c, b, limit, yielded) {
			if yielded {
				return
			}
			yielded = true
			runtime.Gosched()
			continue
		}
		// After a Send the next one is probably on its way, and a yield costs
		// less than being called again. After a call it is the caller's turn.
		yielded = b.n == 0 || c.lull
		if !c.work(b) {
			return
		}
	}
}

// work handles one batch. It reports whether the goroutine goes on.
func (c *cell) work(b *batch) (goOn bool) {
	ok := false
	defer func() {
		if !ok {
			goOn = c.broke(recover(), b)
		}
	}()
	c.workSystem(b)
	for i := range b.n {
		c.at.Store(int32(i)) // before urgent and halt are read: it is ours, or who drops it or abandons c sees that it is not
		if c.queue.urgent.Load() {
			b.system = c.queue.interrupt(c, b, i)
			c.workSystem(b)
			c.queue.goOn(c, b, i)
		}
		if c.halt.Load() {
			c.leaveRest(b, i)
			break
		}
		c.lull = false
		m := b.user[i]
		if m == nil {
			continue // it was dropped
		}
		c.handled(m, m.run(c))
		if !m.reuse() {
			b.user[i] = nil
		}
	}
	goOn = c.advance()
	ok = true
	return goOn
}

func (c *cell) workSystem(b *batch) {
	for len(b.system) > 0 {
		m := b.system[0]
		b.system = b.system[1:]
		c.handled(m, m.run(c))
	}
	b.system = nil
}

// handled is what becomes of an error that nobody waits for.
func (c *cell) handled(m message, err error) {
	switch {
	case err == nil:
	case c.halt.Load() && errors.Is(err, context.Canceled): // it obeyed
	case err == errNotTaken:
		m.reject(c, c.queue.refusal(), "")
	default:
		c.fail(&Failure{Err: err})
	}
}

// broke is what happens when a handler did not return: it panicked, or ended
// the goroutine (runtime.Goexit), which then needs a successor.
func (c *cell) broke(value any, b *batch) (goOn bool) {
	f := &Failure{Panicked: true, Stack: stack()}
	if value == nil {
		f.Err = fmt.Errorf("handler called runtime.Goexit")
	} else {
		f.Err = fmt.Errorf("panic: %v", value)
	}
	c.failInHand(f.Err.Error())
	c.inHand.Store(nil)
	c.queue.putBack(b.system)
	b.system = nil
	c.fail(f)
	c.leaveRest(b, int(c.at.Load())+1)
	goOn = c.advance()
	if value == nil && goOn {
		c.proc.run(c)
	}
	return goOn
}

// takeUp makes t the call that is being handled. It reports false if the actor
// has been abandoned: whoever did that has looked for the call in hand too early
// to see t.
func (c *cell) takeUp(t *ticket) bool {
	c.inHand.Store(t)
	if c.halt.Load() && c.queue.over() {
		c.inHand.Store(nil)
		return false
	}
	return true
}

// failInHand fails the call that is being handled, if there is one. An actor
// that is abandoned has been halted: it takes up no other call meanwhile.
func (c *cell) failInHand(why string) {
	t := c.inHand.Load()
	if t == nil {
		return
	}
	number := t.number()
	if c.inHand.Load() == t { // so the number is that of this call, and of no later one
		t.call.fail(number, c, wire.ActorFailed, why, true)
	}
}

// leaveRest is for what is left of a batch, from i on: it is kept for the next
// run, if there may be one, or rejected.
func (c *cell) leaveRest(b *batch, i int) {
	if c.queue.keepRest(b, i) {
		return
	}
	rest := c.queue.claim(b, i)
	c.rejectAll(rest, c.queue.refusal())
	clear(rest)
}

func (c *cell) rejectAll(left []message, reason wire.Reason) {
	for _, m := range left {
		if m != nil {
			m.reject(c, reason, "")
		}
	}
}

// order queues system work, if the actor takes any more.
func (c *cell) order(m message) bool {
	taken, start := c.queue.putSystem(m)
	if start {
		c.proc.run(c)
	}
	return taken
}

// note queues what comes after the messages that wait, whatever the limit. An
// actor that ends does not take it.
func (c *cell) note(m message) {
	if c.queue.putNote(m) {
		c.proc.run(c)
	}
}

// waitRoom is for a sender whose message found no room: it waits, is refused,
// or makes room. It returns a slot, with the queue locked.
func (c *cell) waitRoom(ctx context.Context, method string) (*message, error) {
	limit := c.typ.mailbox.limit()
	for {
		if r := c.queue.refusal(); r != 0 {
			return nil, &UndeliverableError{To: c.id(), Method: method, Reason: r}
		}
		switch c.typ.mailbox.Full {
		case Refuse:
			return nil, &UndeliverableError{To: c.id(), Method: method, Reason: wire.MailboxFull}
		case DropOldest:
			slot, dropped := c.queue.beginOrDrop(c, limit)
			if slot != nil {
				return slot, nil
			}
			if dropped != nil {
				dropped.reject(c, wire.MailboxFull, waitedLongest)
			}
			continue
		}
		select {
		case <-c.queue.roomy():
		case <-ctx.Done():
			return nil, fmt.Errorf("%s of %s: waiting for room in its mailbox: %w", method, c.id(), context.Cause(ctx))
		}
		if slot := c.queue.begin(limit); slot != nil {
			return slot, nil
		}
	}
}

// deliver queues a message from another proc. It never blocks: what finds no
// room is parked, and its sender's proc told to hold back (MS-7).
func (c *cell) deliver(in *incoming) (taken bool) {
	taken, start, dropped := c.queue.putIncoming(c, in)
	if start {
		c.proc.run(c)
	}
	if dropped != nil {
		dropped.reject(c, wire.MailboxFull, waitedLongest)
	}
	if !taken {
		in.reject(c, c.noRoom(), "")
	}
	return taken
}

// waitedLongest is why a message goes back that made room for another one.
const waitedLongest = "it waited longest"

// noRoom is the reason for a message that was not taken.
func (c *cell) noRoom() wire.Reason {
	return cmp.Or(c.queue.refusal(), wire.MailboxFull)
}
