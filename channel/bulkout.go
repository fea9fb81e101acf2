package channel

import (
	"context"
	"fmt"
	"math"

	"github.com/hyperactor/hyperactor/wire"
)

// isApart reports whether e, whose binary form has size bytes, is more than a
// frame in passing: it does not fit into one chunk, or has parts. What is large
// of it goes through memory that we share with the peer, if there is some, and
// otherwise in chunks ahead of the message.
func isApart(e *wire.Envelope, size int) bool { return size > wire.ChunkSize || len(e.Parts) > 0 }

// sendApart is Send for such a message.
func (s *Session) sendApart(ctx context.Context, e *wire.Envelope, size int) error {
	m, err := s.prepare(e, size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	for s.state == open && !s.fitsApart(m, s.ownRoom()) {
		if err := s.waitForSpace(ctx); err != nil {
			s.unlodge(m)
			return err
		}
	}
	return s.queueApartLocked(m)
}

// trySendApart is TrySend for such a message.
func (s *Session) trySendApart(e *wire.Envelope, size int, room room) error {
	m, err := s.prepare(e, size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.state == open && !s.fitsApart(m, room) {
		s.mu.Unlock()
		s.unlodge(m)
		return fmt.Errorf("%w: queue to %v", wire.MailboxFull, s.peer.Peer)
	}
	return s.queueApartLocked(m)
}

// prepare finds out how e travels, and puts into shared memory what goes there.
func (s *Session) prepare(e *wire.Envelope, size int) (*departure, error) {
	if err := s.checkApart(e, size); err != nil {
		return nil, err
	}
	e.KeepBody()
	m := &departure{e: *e, size: size}
	s.lodge(m)
	m.gather(int(s.peer.Limits.MaxFrame))
	return m, nil
}

// checkApart refuses a message that the peer would not take (MS-8).
func (s *Session) checkApart(e *wire.Envelope, size int) error {
	bulk, limits := wire.PartsLen(e.Parts), s.peer.Limits
	switch {
	case size-bulk > int(limits.MaxFrame):
		return fmt.Errorf("%w: %d bytes without bulk, %v takes at most %d", wire.TooLarge, size-bulk, s.peer.Peer, limits.MaxFrame)
	case bulk > int(limits.MaxBulk):
		return fmt.Errorf("%w: %d bytes of bulk, %v takes at most %d", wire.TooLarge, bulk, s.peer.Peer, limits.MaxBulk)
	case len(e.Parts) > wire.MaxParts:
		return fmt.Errorf("%w: %d parts, at most %d are allowed", wire.TooLarge, len(e.Parts), wire.MaxParts)
	}
	return nil
}

// gather collects the tail, and decides whether it goes with the message, of
// which maxFrame bytes may be in one frame, or ahead of it.
func (m *departure) gather(maxFrame int) {
	tail := 0
	add := func(b []byte) {
		if len(b) > 0 {
			m.tail = append(m.tail, b)
			tail += len(b)
		}
	}
	add(m.e.Body)
	for i := range m.e.Parts {
		if m.apart.Segments == nil || m.apart.Segments[i] == 0 {
			add(m.e.Parts[i].Bytes())
		} else {
			m.size -= m.e.Parts[i].Len()
		}
	}
	if m.size > wire.ChunkSize || m.size > maxFrame {
		m.total, m.left = tail, tail
		m.size -= tail
	}
}

// fitsApart reports whether m may be queued. Transfers have room of their own:
// small messages do not wait for them. One that is larger than all the room is
// taken when there is no other.
func (s *Session) fitsApart(m *departure, in room) bool {
	if m.total == 0 {
		return s.fits(m.size, in)
	}
	left := s.departures.large
	return left == 0 || left+m.total <= in.large
}

// queueApartLocked queues m and gives the lock up.
func (s *Session) queueApartLocked(m *departure) error {
	if err := s.mayQueueLocked(); err != nil {
		s.mu.Unlock()
		s.unlodge(m)
		return err
	}
	for _, n := range m.apart.Segments {
		if n != 0 {
			s.memory.arena.Sent(n)
		}
	}
	if m.total > 0 || s.departures.holds(&m.e) {
		s.departures.add(m)
	} else {
		s.ackSent = s.received.Load()
		s.out.addApart(m, s.ackSent)
	}
	s.queuedLocked(&m.e)
	for i, n := range m.apart.Segments {
		if n != 0 {
			m.e.Parts[i].Release() // it was copied
		}
	}
	return nil
}

// mayCutLocked reports whether there is a chunk to queue, and the peer has
// acknowledged enough of those before it: they are kept until then (MS-7).
func (s *Session) mayCutLocked() bool {
	return s.departures.any() && s.out.chunks < max(s.cfg.QueueBytes, s.departures.limit)
}

// cutLocked queues the next chunk, when the one before it has gone out.
func (s *Session) cutLocked() {
	d := &s.departures
	if !s.mayCutLocked() || s.out.lastChunk > s.out.given {
		return
	}
	p := d.cut()
	ack := s.received.Load()
	s.out.addChunk(p, ack)
	for _, m := range p.due {
		s.out.addApart(m, ack)
	}
	s.ackSent = ack
	if d.large <= s.cfg.QueueBytes/2 { // who waits is not woken for each chunk
		s.spaceLocked()
	}
}

// bulkLimit is how much of transfers may be under way at a time.
func bulkLimit(l wire.Limits) int {
	return int(min(uint64(l.MaxFrame)+uint64(l.MaxBulk), math.MaxInt))
}
