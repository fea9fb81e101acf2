package actor

import "github.com/hyperactor/hyperactor/id"

// flow is what a queue needs once it has been full.
type flow struct {
	room   chan struct{}       // closed when there is room again; nil if nobody waits
	parked []message           // from other procs, over the limit, in order, and notes that came after them
	excess map[id.Proc]*excess // of the procs that sent some of it, since there was room
	last   *excess             // the last one of them; nil if there is none
}

// excess is what came from a proc that was to hold back. The request to do so
// goes out at once, over the session that the messages come from, most likely:
// in front of the acknowledgement of all that comes later. So what comes
// nevertheless is what the proc may send unacknowledged, twice if some of that was
// acknowledged just before, and not more because it is slow to listen.
type excess struct {
	from  id.Proc
	n     int
	asked bool // to hold back; it is owed the end of that
}

const (
	// maxExcess bounds what is kept beside a full mailbox for each proc. The
	// shortest frame has 32 bytes: a queue of 4 MiB holds a quarter of it, and one
	// of 16 MiB (gateway.Config.QueueBytes) all of it.
	maxExcess = 1 << 19

	// askAgain is after how much more a proc is asked once more: it was let go by
	// the loss of a session, say.
	askAgain = 1 << 15
)

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
	for p, x := range q.flow.excess {
		if x.asked {
			c.proc.resume(c, p)
		}
	}
	clear(q.flow.excess)
	q.flow.last = nil
}

// holdBack asks a proc to hold back, because there is no room for one more
// message that came from there. It reports whether that may be kept nevertheless.
func (f *flow) holdBack(c *cell, from id.Proc) bool {
	x := f.excessOf(from)
	if x.n >= maxExcess {
		return false
	}
	if !x.asked || x.n%askAgain == 0 {
		x.asked = c.proc.pause(c, from) || x.asked // if not, the next message tries again
	}
	x.n++
	return true
}

func (f *flow) excessOf(p id.Proc) *excess {
	if f.last != nil && f.last.from == p {
		return f.last // of many messages in a row this is not the first
	}
	x := f.excess[p]
	if x == nil {
		x = &excess{from: p}
		f.excess[p] = x
	}
	f.last = x
	return x
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
		q.flow = &flow{excess: make(map[id.Proc]*excess)}
	}
	return q.flow
}
