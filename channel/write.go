package channel

import (
	"net"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// outgoing is what waits to be written. Session.mu guards it, except now,
// bufs and attempt: they belong to whoever set busy.
//
// A message is written by its own sender if the socket is idle and takes it
// without blocking: that saves waking the writer, which costs more than the
// write. What is left over, and what comes meanwhile, the writer goroutine
// writes, everything there is at once. It never waits for more.
type outgoing struct {
	next    batch  // is being filled
	waiting int    // bytes in next and now
	queued  uint64 // number of the last frame in next
	taken   uint64 // number of the last frame that somebody began to write
	busy    bool   // somebody writes now
	left    bool   // a sender could not write all of now; the writer goes on

	now     batch
	bufs    net.Buffers // what is left of now
	attempt *attempt    // nil if the connection cannot be written without blocking
}

// batch is a number of frames. Small ones are in scratch; a large body is a
// segment of its own, never copied.
type batch struct {
	segs    [][]byte
	scratch []byte
	mark    int // scratch[mark:] is not in segs yet
}

// maxScratch is how large a scratch grows before the next one begins, and so
// how much memory an idle session may keep, twice.
const maxScratch = 64 << 10

func (b *batch) empty() bool { return len(b.segs) == 0 && len(b.scratch) == b.mark }

// seal moves what is in scratch into segs. Growing scratch later moves it
// elsewhere, which leaves the segment as it is.
func (b *batch) seal() {
	if len(b.scratch) > b.mark {
		b.segs = append(b.segs, b.scratch[b.mark:len(b.scratch):len(b.scratch)])
		b.mark = len(b.scratch)
	}
}

// room makes room for size bytes in scratch.
func (b *batch) room(size int) {
	if len(b.scratch) > 0 && len(b.scratch)+size > maxScratch {
		b.seal()
		b.scratch, b.mark = make([]byte, 0, maxScratch), 0
	}
}

// reset empties b and keeps its last scratch.
func (b *batch) reset() {
	clear(b.segs)
	b.segs, b.scratch, b.mark = b.segs[:0], b.scratch[:0], 0
	if cap(b.segs) > 1024 {
		b.segs = nil
	}
}

// add queues the frame of e.
func (o *outgoing) add(e *wire.Envelope, size int, seq, ack uint64) {
	b := &o.next
	if len(e.Body) < largeBody {
		b.room(wire.DataHeader + size)
	}
	b.scratch = wire.AppendData(b.scratch, size, seq, ack)
	b.scratch = e.AppendHeader(b.scratch)
	if len(e.Body) < largeBody {
		b.scratch = append(b.scratch, e.Body...)
	} else {
		b.seal()
		b.segs = append(b.segs, e.Body)
	}
	o.queued = seq
	o.waiting += wire.DataHeader + size
}

// take makes next the batch that is written now.
func (o *outgoing) take() {
	o.busy, o.taken = true, o.queued
	o.now, o.next = o.next, o.now
	o.now.seal()
	o.bufs = append(o.bufs[:0], o.now.segs...)
}

// written ends what take began.
func (o *outgoing) written() {
	for _, seg := range o.now.segs {
		o.waiting -= len(seg)
	}
	o.now.reset()
	o.busy, o.left = false, false
}

// startWriteLocked sees to it that what is queued gets written, by the caller
// if that is allowed and does not block. It gives the lock up.
func (s *Session) startWriteLocked(direct bool) {
	o := &s.out
	if o.busy {
		s.mu.Unlock() // whoever writes looks again
		return
	}
	if !direct || o.attempt == nil || len(o.next.segs) > 0 {
		s.mu.Unlock()
		s.wakeWriter()
		return
	}
	o.take()
	s.mu.Unlock()
	n := o.attempt.write(o.bufs[0])
	s.mu.Lock()
	if n < len(o.bufs[0]) {
		o.bufs[0] = o.bufs[0][n:]
		o.left = true
	} else {
		s.writtenLocked()
	}
	more := o.left || !o.next.empty() || s.finish
	s.mu.Unlock()
	if more {
		s.wakeWriter()
	}
}

func (s *Session) writtenLocked() {
	s.out.written()
	s.spaceLocked()
}

// spaceLocked tells those who wait for space to look again.
func (s *Session) spaceLocked() {
	if s.space != nil {
		close(s.space)
		s.space = nil
	}
}

func (s *Session) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write is the writer goroutine. Run owns it. It ends when the last frame is
// written, or nothing can be written any more.
func (s *Session) write() {
	for {
		select {
		case <-s.wake:
		case <-s.timer.C:
			s.armed.Store(false)
			s.queueAck(1)
		case <-s.over:
			return
		}
		if s.flush() {
			return
		}
	}
}

// flush writes until nothing is left, or somebody else writes. It reports
// whether that was all, for good.
func (s *Session) flush() bool {
	o := &s.out
	for {
		s.mu.Lock()
		switch {
		case s.state == dead:
			s.mu.Unlock()
			return true
		case o.busy && !o.left:
			s.mu.Unlock() // whoever writes wakes us if there is more
			return false
		case !o.busy && o.next.empty():
			last := s.finish
			s.mu.Unlock()
			if last {
				s.finishWriting()
			}
			return last
		case !o.busy:
			o.take()
		}
		o.left = false
		s.mu.Unlock()
		_, err := o.bufs.WriteTo(s.conn)
		s.mu.Lock()
		s.writtenLocked()
		s.mu.Unlock()
		if err != nil {
			s.writeFailed(err)
			return true
		}
	}
}

// finishWriting shuts our direction down: the peer reads to the end and knows
// that it has everything.
func (s *Session) finishWriting() {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
		return
	}
	s.cut(errFinished)
}

// writeFailed stops sending. What the peer sent before is still read: often
// the connection is broken because the peer has ended, and its last words wait
// in the socket.
func (s *Session) writeFailed(err error) {
	s.mu.Lock()
	s.endLocked(dead, err)
	s.mu.Unlock()
	s.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// lastWords bounds how long we read from a peer that we cannot write to.
const lastWords = time.Second

// queueAck queues an acknowledgement if at least due frames came after the
// last one. While the peer does not read, it is put off: a peer that only
// talks does not make the queue grow.
func (s *Session) queueAck(due uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ack := s.received.Load()
	if s.state == dead || s.finish || ack-s.ackSent.Load() < due {
		return
	}
	if s.out.waiting > s.cfg.QueueBytes {
		s.armed.Store(true)
		s.timer.Reset(s.cfg.AckDelay)
		return
	}
	s.ackLocked(ack)
}

func (s *Session) ackLocked(ack uint64) {
	s.ackSent.Store(ack)
	before := len(s.out.next.scratch)
	s.out.next.scratch = wire.AppendAck(s.out.next.scratch, ack)
	s.out.waiting += len(s.out.next.scratch) - before
}

func (s *Session) queueCloseLocked(code wire.CloseCode, text string) {
	ack := s.received.Load()
	s.ackSent.Store(ack)
	before := len(s.out.next.scratch)
	s.out.next.scratch = wire.AppendClose(s.out.next.scratch, ack, code, text)
	s.out.waiting += len(s.out.next.scratch) - before
}

// endLocked moves the session towards its end; the first reason stays.
func (s *Session) endLocked(to state, why error) {
	if s.state >= to {
		return
	}
	s.state = to
	if s.err == nil {
		s.err = why
	}
	s.spaceLocked()
}

// cut ends everything at once.
func (s *Session) cut(why error) {
	s.mu.Lock()
	s.endLocked(dead, why)
	s.mu.Unlock()
	s.conn.Close()
	s.wakeWriter()
}
