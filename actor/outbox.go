package actor

import (
	"sync"

	"github.com/hyperactor/hyperactor/wire"
)

// outbox sends what nobody waits for, from a goroutine of its own that lives
// while there is something to send: Deliver must not block, and may be on the
// very path that would have to make room.
type outbox struct {
	mu      sync.Mutex // guards the following
	queue   []wire.Envelope
	running bool
}

// maxOutbox bounds what a proc owes to peers that do not take it. Beyond it
// messages to them are dropped and counted (Proc.Lost).
const maxOutbox = 1 << 16

// post queues e. It never blocks, and keeps order.
func (p *Proc) post(e wire.Envelope) {
	o := &p.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) >= maxOutbox {
		p.lost.Add(1)
		return
	}
	o.queue = append(o.queue, e)
	if !o.running {
		o.running = true
		go p.flush() // ends when the queue is empty
	}
}

func (p *Proc) flush() {
	for {
		p.outbox.mu.Lock()
		queue := p.outbox.queue
		p.outbox.queue = nil
		p.outbox.running = len(queue) > 0
		p.outbox.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for i := range queue {
			p.countLost(p.route(&queue[i]))
		}
	}
}
