package actor

import (
	"sync"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// outboxes send what nobody waits for: Deliver must not block, and may be on
// the very path that would have to make room. There is one for each proc that
// something is on its way to, with a goroutine of its own, so that a proc that
// takes nothing holds up no other; it goes when it is empty.
type outboxes struct {
	mu sync.Mutex // guards the following
	to map[id.Proc][]wire.Envelope
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
	if len(queue) >= maxOutbox {
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

// take empties the outbox for one proc, and removes it if it is empty.
func (o *outboxes) take(to id.Proc) []wire.Envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue := o.to[to]
	if len(queue) == 0 {
		delete(o.to, to)
	} else {
		o.to[to] = nil
	}
	return queue
}
