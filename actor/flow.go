package actor

import "github.com/hyperactor/hyperactor/id"

// flow is what a queue needs once it has been full.
type flow struct {
	room   chan struct{}        // closed when there is room again; nil if nobody waits
	parked []message            // from other procs, over the limit, in order, and notes that came after them
	paused map[id.Proc]struct{} // procs that were told to hold back
	told   id.Proc              // the last one of them; zero if there is none
}

// maxParked bounds what is kept beside a full mailbox.
const maxParked = 1 << 16

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
	if _, told := q.flow.paused[from]; !told {
		if !c.proc.pause(c, from) {
			return // the next message tries again
		}
		q.flow.paused[from] = struct{}{}
	}
	q.flow.told = from
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
