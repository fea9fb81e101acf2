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
	to    map[id.Proc]*outbox
	empty chan struct{} // closed when there are none; nil if nobody waits
}

// outbox is what one proc has not taken yet.
type outbox struct {
	queue []wire.Envelope
	bytes int // of the replies in queue, and of those that flush is at
	taken int // of the replies that flush is at
}

const (
	// maxOutbox bounds what a proc owes to another one that does not take it.
	// Beyond it messages to that one are dropped and counted (Proc.Lost), but
	// for those that there are no more of than watches, and pauses before them.
	maxOutbox = 1 << 16
	// maxAnswers bounds the bytes of the replies among that: who has more of them
	// waits.
	maxAnswers = 64 << 20
)

// post queues e. It never blocks, and keeps order. It reports false if e was
// dropped.
func (p *Proc) post(e wire.Envelope) bool {
	o := &p.outboxes
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.to[e.To.Proc]
	if b != nil && len(b.queue) >= maxOutbox && e.Kind != wire.Down && e.Kind != wire.Resume {
		p.lost.Add(1)
		return false
	}
	p.postLocked(b, e)
	return true
}

// postReply is post for a reply. It reports false if the outbox has no room.
func (p *Proc) postReply(e wire.Envelope) bool {
	o := &p.outboxes
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.to[e.To.Proc]
	if b != nil && (len(b.queue) >= maxOutbox || b.bytes > 0 && b.bytes+replySize(&e) > maxAnswers) {
		return false
	}
	p.postLocked(b, e)
	return true
}

// postLocked adds e to b, or to a new outbox if that is nil.
func (p *Proc) postLocked(b *outbox, e wire.Envelope) {
	o := &p.outboxes
	if b == nil {
		b = &outbox{}
		if o.to == nil {
			o.to = make(map[id.Proc]*outbox)
		}
		o.to[e.To.Proc] = b
		go p.flush(e.To.Proc) // ends when the queue is empty
	}
	b.queue = append(b.queue, e)
	b.bytes += replySize(&e)
}

// replySize returns how many bytes e has if it is a reply, which only its caller
// bounds.
func replySize(e *wire.Envelope) int {
	if e.Kind != wire.Reply {
		return 0
	}
	return len(e.Body) + wire.PartsLen(e.Parts)
}

func (p *Proc) flush(to id.Proc) {
	for {
		queue := p.outboxes.take(to)
		if len(queue) == 0 {
			return
		}
		for i := range queue {
			if e := &queue[i]; e.Kind == wire.Reply {
				p.countLost(p.sendReply(p.base, e))
			} else {
				p.countLost(p.route(e))
			}
		}
	}
}

// owes reports whether something that was posted to a proc is not on its way yet.
func (o *outboxes) owes(to id.Proc) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to[to] != nil
}

func (o *outboxes) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.to)
}

// lastWords is how long the end of a proc that was not drained waits for a proc
// elsewhere to take what was posted to it. Those in the same process always do, at
// once.
const lastWords = 500 * time.Millisecond

// sent waits until all that was posted is on its way, so that the answers of a
// proc come before the news of its end. Only the end of the proc waits, and
// not for longer than patience.
func (o *outboxes) sent(patience time.Duration) {
	o.mu.Lock()
	if len(o.to) == 0 {
		o.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	o.empty = empty
	o.mu.Unlock()
	bound := time.NewTimer(patience)
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
	b := o.to[to]
	queue := b.queue
	if len(queue) == 0 {
		delete(o.to, to)
		if len(o.to) == 0 && o.empty != nil {
			close(o.empty)
			o.empty = nil
		}
	} else {
		b.queue = nil
		b.bytes -= b.taken
		b.taken = b.bytes
	}
	return queue
}
