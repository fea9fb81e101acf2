package actor

import (
	"sync"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Mailbox says how many messages may wait for an actor and what happens to
// one more (MS-7). The zero Mailbox is the default.
type Mailbox struct {
	Limit int  // messages, with those that the actor has taken to work on; 1024 if zero
	Full  Full // Wait if zero
}

// Full says what happens to a message for an actor whose mailbox is full.
type Full uint8

// The policies of a full mailbox.
const (
	// Wait makes the sender wait for room, bounded by its ctx. Procs elsewhere
	// are told to hold their next message back; what is on its way meanwhile, which
	// their queues bound, is kept beside the mailbox: for each proc 524,288 messages,
	// more than such a queue holds. One that sends more all the same is refused that.
	Wait Full = iota
	// Refuse gives the message back as ErrMailboxFull.
	Refuse
	// DropOldest makes room: of all messages that are not begun, the one that
	// waits longest goes back to its sender as ErrMailboxFull. There is always
	// room for one: no sender waits.
	DropOldest
)

const (
	defaultMailbox = 1024
	maxBatch       = 32 // messages taken under one lock
)

func (m Mailbox) limit() int {
	if m.Limit <= 0 {
		return defaultMailbox
	}
	return m.Limit
}

// message is one thing for an actor to do: typed at both ends, opaque here.
type message interface {
	run(c *cell) error                         // handles it; the error is one that nobody waits for
	reject(c *cell, r wire.Reason, why string) // its outcome is that it is not handled (MS-3)
	reuse() bool                               // its queue may use it again for another message
}

// queue is what waits for one actor: system work and, behind it, the messages
// of users (AC-1). Senders put; the one goroutine that runs the actor takes in
// batches, and ends when there is nothing to take (AC-12).
type queue struct {
	mu      sync.Mutex // guards the following
	user    ring[message]
	held    int32 // messages of the last batch, done or being handled
	system  []message
	running bool        // a goroutine is at work
	closed  wire.Reason // why no user message is taken any more; zero while open
	cut     int32       // where finish found the goroutine of an abandoned actor in its batch
	ended   bool        // nothing at all is taken any more
	asleep  bool        // user messages wait for the next run
	flow    *flow       // nil until the queue was full once

	urgent atomic.Bool // system is not empty, or something was dropped that the goroutine has taken
}

// begin locks q and returns the slot for one more message. If there is no
// room, or q is closed, it returns nil and q is not locked.
func (q *queue) begin(limit int) *message {
	q.mu.Lock()
	if q.closed == 0 && q.user.len()+int(q.held) < limit {
		return q.user.push()
	}
	q.mu.Unlock()
	return nil
}

// beginOrDrop is begin for a queue that drops what is old. Instead of a slot it
// may return the message that makes room; with neither, one may try again.
func (q *queue) beginOrDrop(c *cell, limit int) (slot *message, dropped message) {
	q.mu.Lock()
	if q.closed == 0 && !q.mustDrop(c, limit) {
		return q.user.push(), nil
	}
	defer q.mu.Unlock()
	if q.closed == 0 {
		dropped = q.dropOldest(c)
	}
	return nil, dropped
}

// commit ends what begin began, and reports whether the caller has to start
// the goroutine that runs the actor.
func (q *queue) commit() (start bool) {
	start = !q.running
	q.running = true
	q.mu.Unlock()
	return start
}

// open makes first what the actor does first. The caller starts its goroutine.
func (q *queue) open(first []message) {
	q.system, q.running = first, true
	q.urgent.Store(true)
}

// putSystem queues system work, which has no limit. It reports whether the
// actor still takes any, and whether the caller has to start its goroutine.
func (q *queue) putSystem(m message) (taken, start bool) {
	q.mu.Lock()
	if q.ended {
		q.mu.Unlock()
		return false, false
	}
	q.system = append(q.system, m)
	q.urgent.Store(true)
	return true, q.commit()
}

// take fills b with what is next. It reports false when there is nothing; if
// last is set, the goroutine that called it must then end.
func (q *queue) take(c *cell, b *batch, limit int, last bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle(b)
	if q.flow != nil {
		q.refill(c, limit)
	}
	b.system, q.system = q.system, nil
	q.urgent.Store(false)
	b.n = min(q.user.len(), maxBatch)
	if q.asleep {
		b.n = 0
	}
	for i := range b.n {
		b.user[i] = *q.user.pop()
	}
	q.held = int32(b.n)
	c.at.Store(-1)
	some := b.n > 0 || len(b.system) > 0
	q.running = some || !last
	return some
}

// putBack returns system work that was taken and not handled.
func (q *queue) putBack(system []message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.system = append(system, q.system...)
	q.urgent.Store(len(q.system) > 0)
}

// suspend keeps user messages for the next run of the actor. With drop, those
// that wait are returned instead.
func (q *queue) suspend(drop bool) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asleep = true
	if !drop {
		return nil
	}
	q.wakeSenders()
	return q.empty()
}

// wakeUp ends suspend.
func (q *queue) wakeUp() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asleep = false
}

// putNote queues m behind the user messages, beyond the limit, and reports
// whether the caller has to start the actor's goroutine. A queue that is closed
// drops it.
func (q *queue) putNote(m message) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed != 0:
		return false
	case q.flow != nil && len(q.flow.parked) > 0:
		q.flow.parked = append(q.flow.parked, m)
	default:
		*q.user.push() = m
	}
	start = !q.running
	q.running = true
	return start
}

// close refuses user messages from now on. With keep, those that wait are
// still handled; otherwise close returns them.
func (q *queue) close(r wire.Reason, keep bool) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == 0 {
		q.closed = r
	}
	q.wakeSenders()
	if keep {
		return nil
	}
	return q.empty()
}

func (q *queue) empty() []message {
	var left []message
	for q.user.len() > 0 {
		slot := q.user.pop()
		left = append(left, *slot)
		*slot = nil
	}
	if q.flow != nil {
		left = append(left, q.flow.parked...)
		q.flow.parked = nil
	}
	return left
}

// idle reports whether no user message waits.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.user.len() == 0 && (q.flow == nil || len(q.flow.parked) == 0)
}

// load returns how many user messages wait, and whether any is being handled.
func (q *queue) load(c *cell) (waiting int, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting = q.waiting(c)
	if q.flow != nil {
		waiting += len(q.flow.parked)
	}
	return waiting, q.running
}

// refusal returns why no user message is taken, or zero.
func (q *queue) refusal() wire.Reason {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// over reports whether finish was called.
func (q *queue) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// putIncoming queues a message from another proc, or parks it and tells the
// proc to hold back. dropped is the message that made room.
func (q *queue) putIncoming(c *cell, in *incoming) (taken, start bool, dropped message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	slot, parked, dropped := q.seat(c, &in.env.From.Proc)
	if slot == nil {
		return false, false, nil
	}
	*slot = in
	if !parked {
		start = !q.running
		q.running = true
	}
	return true, start, dropped
}

// seat returns the slot for one more message from the proc from, if there is one:
// in the queue, or beside it, in which case from is told to hold back. dropped is
// the message that made room. Its caller has the lock.
func (q *queue) seat(c *cell, from *id.Proc) (slot *message, parked bool, dropped message) {
	box := &c.typ.mailbox
	switch {
	case q.closed != 0:
		return nil, false, nil
	case q.user.len()+int(q.held) < box.limit() && (q.flow == nil || len(q.flow.parked) == 0):
	case box.Full == Wait && q.flows().holdBack(c, *from):
		q.flow.parked = append(q.flow.parked, nil)
		return &q.flow.parked[len(q.flow.parked)-1], true, nil
	case box.Full == DropOldest:
		if q.mustDrop(c, box.limit()) {
			dropped = q.dropOldest(c)
		}
	default:
		return nil, false, nil
	}
	return q.user.push(), false, dropped
}

// finish refuses everything from now on and returns what is left. Only the
// first call reports true. When the actor is abandoned, what its goroutine has
// taken and not begun is left too.
func (q *queue) finish(c *cell, r wire.Reason, abandoned bool) (left []message, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return nil, false
	}
	q.ended = true
	if q.closed == 0 {
		q.closed = r
	}
	q.wakeSenders()
	q.cut = maxBatch
	if abandoned {
		q.cut = c.at.Load()
		for i := q.cut + 1; i < q.held; i++ {
			if m := *q.user.at(q.user.done + uint32(i)); m != nil {
				left = append(left, m)
			}
		}
	}
	left = append(append(left, q.empty()...), q.system...)
	q.system = nil
	if q.flow != nil {
		q.resumeAll(c)
	}
	return left, true
}
