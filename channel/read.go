package channel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// errFinished is the end of a session that both sides closed.
var errFinished = errors.New("closed")

// Run serves the session until it ends: it reads, hands every message to
// Config.Handle, and writes what Send queues. It returns why the session
// ended, which is never nil. Run is called once.
func (s *Session) Run() error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write()
	}()
	err := s.read()
	if s.endedWell(err) {
		s.await(written) // our last acknowledgement may still be on its way
		err = errFinished
	}
	s.mu.Lock()
	s.endLocked(dead, err)
	err = s.err
	s.mu.Unlock()
	close(s.over)
	s.conn.Close()
	<-written
	s.timer.Stop()
	close(s.done)
	return err
}

// endedWell reports whether err is the end of what a peer says that has closed
// the session.
func (s *Session) endedWell(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peerClosed && errors.Is(err, io.EOF)
}

// await waits until the writer has ended, CloseTimeout at most.
func (s *Session) await(written chan struct{}) {
	t := time.NewTimer(s.cfg.CloseTimeout)
	defer t.Stop()
	select {
	case <-written:
	case <-t.C:
	}
}

// read reads frames until there are no more.
func (s *Session) read() error {
	for {
		head, err := s.in.Peek(wire.FrameHeader)
		if err != nil {
			if len(head) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		t, n, err := wire.ParseHeader(head, s.cfg.Hello.Limits)
		if err == nil {
			s.in.Discard(wire.FrameHeader)
			err = s.frame(t, n)
		}
		if errors.Is(err, wire.ErrFraming) {
			s.refuse(err)
		}
		if err != nil {
			return err
		}
	}
}

// frame reads and handles what follows a header. A frame that fits into the
// read buffer is taken apart there and costs one allocation, its body.
func (s *Session) frame(t wire.FrameType, n int) error {
	if n > s.in.Size() {
		b := make([]byte, n)
		if _, err := io.ReadFull(s.in, b); err != nil {
			return err
		}
		return s.handle(t, b, false)
	}
	b, err := s.in.Peek(n)
	if err == nil {
		err = s.handle(t, b, true)
		s.in.Discard(n)
	} else if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// handle handles one frame. shared means that b is ours only until it returns.
func (s *Session) handle(t wire.FrameType, b []byte, shared bool) error {
	switch t {
	case wire.FrameData:
		return s.data(b, shared)
	case wire.FrameAck:
		return s.ack(binary.BigEndian.Uint64(b))
	case wire.FrameClose:
		if err := s.ack(binary.BigEndian.Uint64(b)); err != nil {
			return err
		}
		return s.closedByPeer(parseClose(b))
	}
	return fmt.Errorf("%w: a second hello", wire.ErrFraming)
}

func (s *Session) data(b []byte, shared bool) error {
	seq, ack := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if want := s.received.Load() + 1; seq != want {
		return fmt.Errorf("%w: frame %d came, want %d", wire.ErrFraming, seq, want)
	}
	if err := s.ack(ack); err != nil {
		return err
	}
	e, err := s.dec.Decode(b[16:])
	s.received.Store(seq) // before Handle, so that the answer carries the acknowledgement
	if err != nil {
		s.malformed.Add(1)
		s.returnMalformed(e, err)
	} else {
		if shared {
			e.Body = bytes.Clone(e.Body)
		}
		s.cfg.Handle(s, e)
	}
	s.ackLater(seq)
	return nil
}

// ackLater sees to it that frame seq gets acknowledged: with the next message
// that we send, or after ackEvery frames, or after AckDelay.
func (s *Session) ackLater(seq uint64) {
	unacked := seq - s.ackSent.Load()
	switch {
	case unacked == 0:
	case unacked%ackEvery == 0:
		s.queueAck(ackEvery)
		s.wakeWriter()
	case !s.armed.Load():
		s.armed.Store(true)
		s.timer.Reset(s.cfg.AckDelay)
	}
}

// ack handles an acknowledgement of everything up to seq.
func (s *Session) ack(seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq < s.acked || seq > s.out.taken {
		return fmt.Errorf("%w: acknowledgement of frame %d, want %d to %d", wire.ErrFraming, seq, s.acked, s.out.taken)
	}
	full := s.seq-s.acked >= maxUnacked
	s.acked = seq
	s.pending.forget(seq)
	if full {
		s.spaceLocked()
	}
	return nil
}

// returnMalformed tells the sender of a message that makes no sense, if that
// much of it does (MS-8).
func (s *Session) returnMalformed(e wire.Envelope, err error) {
	if e.Kind != wire.Send && e.Kind != wire.Call || e.From.IsZero() {
		return
	}
	s.TrySend(&wire.Envelope{
		Kind: wire.Return, TTL: wire.DefaultTTL, Reason: wire.Malformed, Call: e.Call,
		To: e.From, From: e.To, Method: e.Method, Body: []byte(err.Error()),
	})
}

// closedByPeer answers the peer's Close: we say what is still queued and our
// own Close, acknowledge all, and read on to the end, because the peer's last
// acknowledgement comes after it has seen ours.
func (s *Session) closedByPeer(why *CloseError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peerClosed {
		return fmt.Errorf("%w: a second close", wire.ErrFraming)
	}
	s.peerClosed = true
	if why.Code != wire.CloseDone {
		return why
	}
	if s.state == open {
		s.endLocked(closing, why)
		s.queueCloseLocked(wire.CloseDone, "")
	} else if s.state == closing {
		s.ackLocked(s.received.Load())
	}
	s.finish = true
	s.conn.SetReadDeadline(time.Now().Add(s.cfg.CloseTimeout))
	s.wakeWriter()
	return nil
}

// refuse tells a peer that broke framing why it loses its connection, if the
// socket takes that at once.
func (s *Session) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == dead || s.out.busy || s.out.attempt == nil {
		return
	}
	s.endLocked(dead, err)
	s.out.attempt.write(wire.AppendClose(nil, s.received.Load(), wire.CloseFraming, err.Error()))
}
