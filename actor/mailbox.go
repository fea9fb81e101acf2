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
	// are told to hold their next message back; what is on its way meanwhile is
	// kept beside the mailbox, up to 65,536 messages, and refused beyond that.
	Wait Full = iota
	// Refuse gives the message back as ErrMailboxFull.
	Refuse
	// DropOldest makes room: the message that waits longest goes back to its
	// sender as ErrMailboxFull.
	DropOldest
)

const (
	defaultMailbox = 1024
	maxBatch       = 32      // messages taken under one lock
	maxParked      = 1 << 16 // messages kept beside a full mailbox
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

	urgent atomic.Bool // system is not empty
}

// flow is what a queue needs once it has been full.
type flow struct {
	room   chan struct{}        // closed when there is room again; nil if nobody waits
	parked []message            // from other procs, over the limit, in order, and notes that came after them
	paused map[id.Proc]struct{} // procs that were told to hold back
	told   id.Proc              // the last one of them; zero if there is none
}

// batch is what the running goroutine has taken.
type batch struct {
	user   [maxBatch]message // nil: nothing of it may be used again
	n      int
	system []message
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

// settle gives the slots of the last batch free.
func (q *queue) settle(b *batch) {
	for i := range q.held {
		if b.user[i] == nil {
			*q.user.at(q.user.done + uint32(i)) = nil
		}
	}
	q.user.settle()
	q.held = 0
}

// putBack returns system work that was taken and not handled.
func (q *queue) putBack(system []message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.system = append(system, q.system...)
	q.urgent.Store(len(q.system) > 0)
}

// claim returns the messages of b from i on, unless finish has claimed them.
func (q *queue) claim(b *batch, i int) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	end := b.n
	if q.ended {
		end = min(end, int(q.cut)+1)
	}
	if i >= end {
		return nil
	}
	for k := i; k < end; k++ {
		*q.user.at(q.user.done + uint32(k)) = nil
	}
	return b.user[i:end]
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

// keepRest puts the messages of b from i on back in front, if there may be
// another run. What others have taken from there meanwhile leaves room enough.
func (q *queue) keepRest(b *batch, i int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.asleep || q.closed != 0 || q.ended {
		return false
	}
	for k := b.n - 1; k >= i; k-- {
		*q.user.at(q.user.done + uint32(k)) = nil
		*q.user.unpop() = b.user[k]
		b.user[k] = nil
	}
	b.n, q.held = min(b.n, i), min(q.held, int32(i))
	return true
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

// takeSystem returns system work that came while a batch is being handled.
func (q *queue) takeSystem() []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.system
	q.system = nil
	q.urgent.Store(false)
	return s
}

// refill moves parked messages in, wakes senders that wait for room, and tells
// procs that they may send again: under the lock, like a pause, so that neither
// overtakes the other.
func (q *queue) refill(c *cell, limit int) {
	f := q.flow
	for len(f.parked) > 0 && q.user.len() < limit {
		*q.user.push() = f.parked[0]
		f.parked[0] = nil
		f.parked = f.parked[1:]
	}
	if len(f.parked) > 0 || q.user.len() > limit/2 {
		return
	}
	q.wakeSenders()
	q.resumeAll(c)
}

func (q *queue) resumeAll(c *cell) {
	for p := range q.flow.paused {
		c.proc.resume(c, p)
	}
	clear(q.flow.paused)
	q.flow.told = id.Proc{}
}

// holdBack tells a proc, once, that there is no room.
func (q *queue) holdBack(c *cell, from id.Proc) {
	if q.flow.told == from {
		return // of many messages in a row this is the first only
	}
	q.flow.told = from
	if _, told := q.flow.paused[from]; !told {
		q.flow.paused[from] = struct{}{}
		c.proc.pause(c, from)
	}
}

func (q *queue) wakeSenders() {
	if q.flow != nil && q.flow.room != nil {
		close(q.flow.room)
		q.flow.room = nil
	}
}

// roomy returns a channel that is closed when there may be room again.
func (q *queue) roomy() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != 0 || q.user.len()+int(q.held) == 0 { // no take would close it
		now := make(chan struct{})
		close(now)
		return now
	}
	f := q.flows()
	if f.room == nil {
		f.room = make(chan struct{})
	}
	return f.room
}

func (q *queue) flows() *flow {
	if q.flow == nil {
		q.flow = &flow{paused: make(map[id.Proc]struct{})}
	}
	return q.flow
}

// dropOldest removes and returns the user message that waits longest, if any.
func (q *queue) dropOldest() message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.user.len() == 0 {
		return nil
	}
	slot := q.user.pop()
	m := *slot
	*slot = nil
	return m
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
func (q *queue) load() (waiting int, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting = q.user.len()
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

// putIncoming queues a message from another proc, or parks it and tells the
// proc to hold back. dropped is the message that made room.
func (q *queue) putIncoming(c *cell, in *incoming) (taken, start bool, dropped message) {
	box := c.typ.mailbox
	limit := box.limit()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != 0 {
		return false, false, nil
	}
	if q.user.len()+int(q.held) >= limit || q.flow != nil && len(q.flow.parked) > 0 {
		switch {
		case box.Full == Wait && len(q.flows().parked) < maxParked:
			q.flow.parked = append(q.flow.parked, in)
			q.holdBack(c, in.env.From.Proc)
			return true, false, nil
		case box.Full == DropOldest && q.user.len() > 0:
			slot := q.user.pop()
			dropped, *slot = *slot, nil
		default:
			return false, false, nil
		}
	}
	*q.user.push() = in
	start = !q.running
	q.running = true
	return true, start, dropped
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
