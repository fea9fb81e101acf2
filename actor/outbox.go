package actor

import (
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// outboxes send what nobody waits for: Deliver must not block, and may be on
// the very path that would have to make room. There is one for each proc that
// something is on its way to, with a goroutine of its own, so that a proc that
// takes nothing holds up no other; it goes when it is empty.
type outboxes struct {
	mu    sync.Mutex // guards the following
	to    map[id.Proc][]wire.Envelope
	empty chan struct{} // closed when there are none; nil if nobody waits
}

// maxOutbox bounds what a proc owes to another one that does not take it.
// Beyond it messages to that one are dropped and counted (Proc.Lost).
const maxOutbox = 1 << 16

// post queues e. It never blocks, and keeps order.
func (p *Proc) post(e wire.Envelope) {
	o := &p.outboxes
	o.mu.Lock()
	defer o.mu.Unlock()
	queue, running := o.to[e.To.Proc]
	if len(queue) >= maxOutbox && e.Kind != wire.Down { // there are no more of those than watches
		p.lost.Add(1)
		return
	}
	if o.to == nil {
		o.to = make(map[id.Proc][]wire.Envelope)
	}
	o.to[e.To.Proc] = append(queue, e)
	if !running {
		go p.flush(e.To.Proc) // ends when the queue is empty
	}
}

func (p *Proc) flush(to id.Proc) {
	for {
		queue := p.outboxes.take(to)
		if len(queue) == 0 {
			return
		}
		for i := range queue {
			p.countLost(p.route(&queue[i]))
		}
	}
}

func (o *outboxes) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.to)
}

// lastWords is how long the end of a proc waits for a proc elsewhere to take
// what was posted to it. Those in the same process always do, at once.
const lastWords = 500 * time.Millisecond

// sent waits until all that was posted is on its way, so that the answers of a
// proc come before the news of its end. Only the end of the proc waits, and
// not for long.
func (o *outboxes) sent() {
	o.mu.Lock()
	if len(o.to) == 0 {
		o.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	o.empty = empty
	o.mu.Unlock()
	bound := time.NewTimer(lastWords)
	defer bound.Stop()
	select {
	case <-empty:
	case <-bound.C:
	}
}

// take empties the outbox for one proc, and removes it if it is empty.
func (o *outboxes) take(to id.Proc) []wire.Envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue := o.to[to]
	if len(queue) == 0 {
		delete(o.to, to)
		if len(o.to) == 0 && o.empty != nil {
			close(o.empty)
			o.empty = nil
		}
	} else {
		o.to[to] = nil
	}
	return queue
}
