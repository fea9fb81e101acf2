package channel

import (
	"net"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// writer is what is to be said on the present connection besides messages, and
// the batch that is being written. Session.mu guards it, except bufs and
// before while outbound is busy: they belong to whoever writes.
//
// A message is written by its own sender if the socket is idle and takes it
// without blocking: that saves waking a goroutine, which costs more than the
// write. What is left over, and what comes meanwhile, a goroutine writes,
// everything there is at once, and ends. It never waits for more.
type writer struct {
	ack   bool // an acknowledgement
	ping  bool
	pong  bool // with nonce
	keep  bool // whether we want the session kept
	nonce uint64

	line   *line
	bufs   net.Buffers // what is left of the batch
	store  net.Buffers // where bufs begins, to be used again
	before []byte      // frames without a number, at the beginning of the batch
}

// toWriteLocked reports whether there is something to write on l.
func (s *Session) toWriteLocked(l *line) bool {
	w := &s.writer
	return w.ack || w.ping || w.pong || w.keep || s.mayTalkLocked() && (s.out.unsent() || s.mayCutLocked()) || s.mayCloseLocked(l)
}

// mayCloseLocked reports whether our Close frame is due.
func (s *Session) mayCloseLocked(l *line) bool {
	return s.state == closing && !l.closeSaid && !s.messagesLocked()
}

// mayTalkLocked reports whether messages may go out. A dialer that did not hear
// our hello knows of no session: what we said to it would be in doubt. So one
// that did says something at once, and until then we say nothing.
func (s *Session) mayTalkLocked() bool { return s.begun || s.state == closing }

// messagesLocked reports whether there are messages that have not gone out.
func (s *Session) messagesLocked() bool { return s.out.unsent() || s.departures.any() }

// takeLocked makes a batch of what is to be written on l.
func (s *Session) takeLocked(l *line) {
	w := &s.writer
	ack := s.received.Load()
	b := w.before[:0]
	if w.keep {
		b = wire.AppendKeep(b, ack, s.vigil.keepers > 0)
	}
	if w.ping {
		b = wire.AppendPing(b, wire.FramePing, ack, s.out.seq)
	}
	if w.pong {
		b = wire.AppendPing(b, wire.FramePong, ack, w.nonce)
	}
	if w.ack && len(b) == 0 {
		b = wire.AppendAck(b, ack)
	}
	w.line, w.bufs = l, w.store[:0]
	if len(b) > 0 {
		w.bufs = append(w.bufs, b)
		s.ackSent = ack
	}
	if s.out.busy = true; s.mayTalkLocked() {
		s.cutLocked()
		w.bufs = s.out.take(w.bufs)
	}
	if s.mayCloseLocked(l) {
		l.closeSaid = true
		w.bufs = append(w.bufs, wire.AppendClose(nil, ack, s.code, ""))
		s.ackSent = ack
	}
	w.before, w.store = b, w.bufs
	w.ack, w.ping, w.pong, w.keep = false, false, false, false
}

// startWriteLocked sees to it that what is queued gets written, by the caller
// if that is allowed and does not block. It gives the lock up.
func (s *Session) startWriteLocked(direct bool) {
	defer s.mu.Unlock()
	l := s.line
	if l == nil || s.out.busy || l.cause != nil || l.shut || !s.toWriteLocked(l) {
		return // whoever writes looks again, and so does who makes a connection
	}
	s.takeLocked(l)
	s.writers.Add(1)
	w := &s.writer
	if direct && s.state == open && l.try != nil && len(w.bufs) == 1 {
		s.mu.Unlock()
		n := l.try.TryWrite(w.bufs[0])
		s.mu.Lock()
		if n == len(w.bufs[0]) {
			s.out.written()
			if !s.nextLocked(l) {
				s.writers.Done()
				return
			}
		} else {
			w.bufs[0] = w.bufs[0][n:]
		}
	}
	go s.writeFn() // detach waits for it
}

// nextLocked makes the next batch, and reports whether there is one.
func (s *Session) nextLocked(l *line) bool {
	if l.cause != nil || !s.toWriteLocked(l) {
		return false
	}
	s.takeLocked(l)
	return true
}

// write is the goroutine that writes batches until there are no more. After the
// last one of all it shuts our direction down: the peer reads to the end and
// knows that it has everything.
func (s *Session) write() {
	defer s.writers.Done()
	s.mu.Lock()
	l := s.writer.line
	for more := true; more; {
		s.mu.Unlock()
		err := l.writeAll(&s.writer.bufs)
		s.mu.Lock()
		s.out.written()
		if err != nil {
			s.writeFailedLocked(l, err)
		}
		more = s.nextLocked(l)
	}
	last := l.cause == nil && l.closeHeard && l.closeSaid && !l.shut
	l.shut = l.shut || last
	s.mu.Unlock()
	if last {
		l.closeWrite()
	}
}

// writeFailedLocked stops writing on l. What the peer sent before is still
// read: often the connection is broken because the peer has ended, and its last
// words wait in the socket.
func (s *Session) writeFailedLocked(l *line, err error) {
	l.torn = true
	if l.cause == nil {
		l.cause = err
		l.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// watchLocked begins to watch the peer, if somebody depends on it now.
func (s *Session) watchLocked() {
	v := &s.vigil
	if v.beat == 0 || v.watching || s.line == nil || s.out.acked == s.out.seq && v.waiting == 0 && v.keepers == 0 {
		return
	}
	v.watch(time.Now())
	s.armLocked()
}

// armLocked sees to it that the alarm rings when there is something to do.
func (s *Session) armLocked() {
	due := s.endAt
	if s.line != nil {
		for _, at := range [...]time.Time{s.vigil.next(), s.ackAt, s.memory.expireAt} {
			if due.IsZero() || !at.IsZero() && at.Before(due) {
				due = at
			}
		}
	}
	if due.IsZero() || s.state == dead || !s.alarmAt.IsZero() && !due.Before(s.alarmAt) {
		return // an alarm that rings too early does no harm
	}
	s.alarmAt = due
	s.cfg.Hub.set(&s.alarm, due)
}

// ring does what is due. The Hub calls it.
func (s *Session) ring(now time.Time) {
	s.mu.Lock()
	s.alarmAt = time.Time{}
	if !s.endAt.IsZero() && !now.Before(s.endAt) {
		s.endAt = time.Time{}
		if !s.peerClosed { // or it has some time of its own
			s.abortLocked(ErrIdle)
		}
	}
	l := s.line
	if l == nil || s.state == dead {
		s.armLocked()
		s.mu.Unlock()
		return
	}
	if !s.ackAt.IsZero() && !now.Before(s.ackAt) {
		s.ackAt = time.Time{}
		s.writer.ack = s.writer.ack || s.received.Load() != s.ackSent
	}
	heard := s.born.Add(time.Duration(s.heard.Load()))
	said := s.out.seq + s.received.Load() + s.asked + uint64(s.heard.Load()) // part of a frame counts
	found := s.vigil.look(now, heard, said, s.out.acked < s.out.seq)
	switch {
	case found.silent:
		l.giveUpLocked(ErrSilent)
	case found.expire && s.state == open:
		s.closeLocked(ErrIdle, wire.CloseIdle)
		s.endAt = now.Add(s.cfg.CloseTimeout)
	}
	s.writer.ping = s.writer.ping || found.ping
	unused := s.expireLocked(now)
	s.armLocked()
	s.startWriteLocked(true)
	closeAll(unused)
}
