package actor

// batch is what the running goroutine has taken.
type batch struct {
	user   [maxBatch]message // nil: it was dropped, or nothing of it may be used again
	n      int
	system []message
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
		b.user[k] = q.untake(k)
	}
	return b.user[i:end]
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
		if m := q.untake(k); m != nil {
			*q.user.unpop() = m
		}
		b.user[k] = nil
	}
	b.n, q.held = min(b.n, i), min(q.held, int32(i))
	return true
}

// interrupt is for the goroutine that has come to message i of b. It returns
// system work that has come meanwhile, before which that one is not begun, and
// takes out of b what others have dropped.
func (q *queue) interrupt(c *cell, b *batch, i int) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.at.Store(int32(i) - 1)
	for k := i; k < b.n; k++ {
		if *q.taken(k) == nil {
			b.user[k] = nil
		}
	}
	s := q.system
	q.system = nil
	q.urgent.Store(false)
	return s
}

// goOn is the end of interrupt: message i is begun now, unless it was dropped.
func (q *queue) goOn(c *cell, b *batch, i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.at.Store(int32(i))
	if *q.taken(i) == nil {
		b.user[i] = nil
	}
}

// taken returns the slot of message i of the batch. It is nil if others have that
// message, or nobody any more.
func (q *queue) taken(i int) *message { return q.user.at(q.user.done + uint32(i)) }

// untake removes message i from the batch, which did not begin it, and returns
// it; nil if others have it.
func (q *queue) untake(i int) message {
	slot := q.taken(i)
	m := *slot
	*slot = nil
	return m
}

// waiting returns how many messages of the queue and the batch are not begun.
func (q *queue) waiting(c *cell) int {
	n := q.user.len()
	for i := int(c.at.Load()) + 1; i < int(q.held); i++ {
		if *q.taken(i) != nil {
			n++
		}
	}
	return n
}

// mustDrop reports whether a queue that drops what is old has to, before it takes
// one more message. The one in hand counts.
func (q *queue) mustDrop(c *cell, limit int) bool {
	waiting, inHand := q.waiting(c), 0
	if at := c.at.Load(); at >= 0 && at < q.held {
		inHand = 1
	}
	return waiting > 0 && waiting+inHand >= limit
}

// dropOldest removes and returns the user message that waits longest; nil if all
// have been begun.
func (q *queue) dropOldest(c *cell) message {
	if q.held > 0 {
		q.urgent.Store(true) // before at is read: see cell.work
	}
	for i := int(c.at.Load()) + 1; i < int(q.held); i++ {
		if m := q.untake(i); m != nil {
			return m
		}
	}
	if q.user.len() == 0 {
		return nil
	}
	slot := q.user.pop()
	m := *slot
	*slot = nil
	return m
}
