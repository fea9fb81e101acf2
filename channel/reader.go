package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// reader is what Run keeps between frames. Only Run uses it.
type reader struct {
	in      inbound
	coming  arrivals
	dec     wire.Decoder
	e       wire.Envelope // the message that is being handled, or was
	arena   []byte        // where the bodies of small messages go, one allocation for many
	there   int           // bytes that have been read, from the present frame on
	acked   uint64        // the last acknowledgement that came on this connection
	unacked int           // bytes of frames that came since we saw to an acknowledgement
	again   bool          // frames came that we had: the peer is to be told
	lent    bool          // the message that is being handled is in a buffer that will be used again
	hasty   int           // how many such messages are handed over without a pause
}

// maxArena bounds an arena: who keeps one small body keeps all that are in it.
const maxArena = 8 << 10

// read reads frames until there are no more.
func (s *Session) read(l *line) error {
	s.reader.acked, s.reader.unacked, s.reader.again = 0, 0, false
	begun := s.dialer != nil
	for {
		if err := s.frames(l); err != nil {
			s.settled()
			return err
		}
		s.settle()
		if err := l.in.fill(); err != nil {
			if len(l.in.bytes()) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		s.hear()
		if !begun {
			begun = true
			s.begin()
		}
	}
}

// begin notes that the peer knows of the session.
func (s *Session) begin() {
	s.mu.Lock()
	begins := !s.begun
	s.begun = true
	s.startWriteLocked(true)
	if begins {
		s.cfg.Begun(s)
	}
}

// hear notes that the peer lives.
func (s *Session) hear() { s.heard.Store(int64(time.Since(s.born))) }

// frames handles the frames that have been read.
func (s *Session) frames(l *line) error {
	for {
		b := l.in.bytes()
		if len(b) < wire.FrameHeader {
			return nil
		}
		t, n, err := wire.ParseHeader(b, s.cfg.Hello.Limits)
		if err != nil {
			return err
		}
		if t == wire.FrameChunk {
			if there, err := s.chunkFrame(l, n); err != nil || !there {
				return err
			}
			continue
		}
		if whole := wire.FrameHeader + n; whole <= len(b) {
			s.reader.there = len(b)
			err = s.handle(l, t, b[wire.FrameHeader:whole], nil)
			l.in.use(whole)
		} else if n < largeBody {
			return nil
		} else {
			err = s.large(l, t, n)
		}
		if err != nil {
			return err
		}
	}
}

// large reads and handles a large frame that is not there yet. Its body is not
// copied again.
func (s *Session) large(l *line, t wire.FrameType, n int) error {
	s.settle()
	l.in.use(wire.FrameHeader)
	b := s.cfg.Hub.buffers.get(n)
	if err := s.readFull(l, b.b); err != nil {
		return err
	}
	l.in.next = overread // another large one is likely to follow, whose bytes are to go where they belong
	return s.handle(l, t, b.b, b)
}

// readFull reads what belongs into b.
func (s *Session) readFull(l *line, b []byte) error {
	begun := time.Now()
	for got := 0; got < len(b); {
		k, err := l.in.read(b[got:])
		got += k
		s.hear()
		if d := time.Since(begun); d >= s.cfg.Heartbeat { // a slow line: the peer's Ping waits behind its frame
			begun = begun.Add(d)
			s.acknowledge()
		}
		if got < len(b) && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// handle handles one frame. b is in own, or ours only until handle returns.
func (s *Session) handle(l *line, t wire.FrameType, b []byte, own *buffer) error {
	switch t {
	case wire.FrameData:
		fresh, err := s.numbered(b)
		if fresh {
			s.envelope(b, own)
		}
		return err
	case wire.FrameBulk, wire.FrameMemory:
		return s.apartFrame(l, t, b, own)
	case wire.FrameHello:
		return fmt.Errorf("%w: a second hello", wire.ErrFraming)
	}
	if err := s.acknowledged(binary.BigEndian.Uint64(b)); err != nil {
		return err
	}
	switch t {
	case wire.FrameClose:
		return s.closedByPeer(l, parseClose(b))
	case wire.FramePing:
		s.pinged(binary.BigEndian.Uint64(b[8:]))
	case wire.FrameKeep:
		s.kept(b[8] == 1)
	}
	return nil
}

// numbered judges a frame that begins with its number and an acknowledgement.
// It reports whether we did not have it yet.
func (s *Session) numbered(b []byte) (fresh bool, err error) {
	r := &s.reader
	seq, ack := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if err := s.acknowledged(ack); err != nil || s.deaf.Load() {
		return false, err // it was not taken: it may come again
	}
	if fresh, err = r.in.judge(seq, s.received.Load()); err != nil {
		return false, err
	}
	r.unacked += len(b)
	if !fresh {
		r.again = true
		s.duplicates.Add(1)
		return false, nil
	}
	s.received.Store(seq) // before Handle, so that the answer carries the acknowledgement
	return true, nil
}

// envelope hands over what a new Data frame carries.
func (s *Session) envelope(b []byte, own *buffer) {
	r := &s.reader
	e := &r.e
	head, rest := wire.ParseData(b)
	if known := &r.in.flows.known; head.Flow == 0 || head.Flow != *known || !e.DecodeUnnamed(rest) {
		*known = 0
		err := r.dec.DecodeInto(e, rest)
		switch {
		case err == nil && len(e.Parts) > 0:
			err = errParts
		case err == nil && !r.in.flows.resolve(head.Flow, e):
			err = unknownFlow(head.Flow)
		}
		if err != nil {
			s.refuse(e, err)
			return
		}
		*known = head.Flow.Number()
	}
	switch {
	case own != nil:
		s.inBuffer(e, own)
	case e.Kind == wire.Send && s.cfg.Take != nil && s.cfg.Take(s, e):
		e.Forget()
		return
	default:
		s.keepBody(e)
	}
	s.deliver(e)
	e.Forget()
}

// errParts refuses a message with parts in a Data frame: they are for Bulk frames.
var errParts = fmt.Errorf("%w: parts in a data frame", wire.Malformed)

func unknownFlow(n wire.Flow) error {
	return fmt.Errorf("%w: flow %d stands for nothing", wire.Malformed, n.Number())
}

// refuse counts a message that makes no sense, and tells its sender.
func (s *Session) refuse(e *wire.Envelope, err error) {
	s.malformed.Add(1)
	s.returnMalformed(e, err)
}

// deliver hands e over.
func (s *Session) deliver(e *wire.Envelope) {
	if e.Kind != wire.Send {
		s.mu.Lock()
		astray := s.vigil.came(e)
		s.mu.Unlock()
		if astray {
			s.cfg.Hub.answered(s, true)
		}
	}
	s.cfg.Handle(s, e)
	if s.reader.lent {
		s.reader.pause()
	}
}

// pause lets go first who was given a message in a buffer: the bytes are still in
// the cache of this CPU, and so is the buffer, if it comes back before the next
// message. Nobody is woken on another CPU. After a long pause, because many want
// to run, there is none for some messages.
func (r *reader) pause() {
	r.lent = false
	if r.hasty > 0 {
		r.hasty--
		return
	}
	begun := time.Now()
	runtime.Gosched()
	r.hasty = int(time.Since(begun) / aPause)
}

// aPause is what a message may cost in pauses, on average.
const aPause = 100 * time.Microsecond

// keepBody copies the body of e out of the read buffer.
func (s *Session) keepBody(e *wire.Envelope) {
	r, n := &s.reader, len(e.Body)
	if n > maxArena/8 || wire.IsBytes(e.Body) {
		e.CloneBody()
		return
	}
	if n == 0 {
		return
	}
	if cap(r.arena)-len(r.arena) < n {
		r.arena = make([]byte, 0, max(n, min(maxArena, r.there-wire.DataHeader)))
	}
	start := len(r.arena)
	r.arena = append(r.arena, e.Body...)
	e.Body = r.arena[start:len(r.arena):len(r.arena)]
}

// settle is called when everything that was read has been handled. It sees to
// it that it gets acknowledged: by the messages that we send, or at once if it
// is much, or after AckDelay.
func (s *Session) settle() {
	s.settled()
	r := &s.reader
	r.arena = nil
	if r.unacked == 0 {
		return
	}
	s.mu.Lock()
	if received := s.received.Load(); received == s.ackSent && !r.again {
		r.unacked = 0
		s.mu.Unlock()
		return
	}
	if r.unacked < s.ackBytes() && !r.again {
		if s.ackAt.IsZero() {
			s.ackAt = time.Now().Add(s.cfg.AckDelay)
			s.armLocked()
		}
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	r.unacked, r.again = 0, false
	s.acknowledge()
}

// settled tells that what came was handed over.
func (s *Session) settled() {
	if s.cfg.Settled != nil {
		s.cfg.Settled(s)
	}
}

// acknowledge tells the peer what we have, which also shows that we live.
func (s *Session) acknowledge() {
	s.mu.Lock()
	s.writer.ack = true
	s.startWriteLocked(true)
}

// ackBytes is how much may come before it is acknowledged: a quarter of what
// the peer sends ahead.
func (s *Session) ackBytes() int { return int(s.peer.Window / 4) }

// acknowledged handles an acknowledgement of everything up to seq.
func (s *Session) acknowledged(seq uint64) error {
	if seq <= s.reader.acked {
		return nil
	}
	s.reader.acked = seq
	s.mu.Lock()
	held := s.departures.any() && !s.mayCutLocked()
	err := s.out.acknowledge(seq)
	if err == nil {
		s.spaceLocked()
	}
	if held && s.mayCutLocked() {
		s.startWriteLocked(false)
	} else {
		s.mu.Unlock()
	}
	return err
}

// returnMalformed tells the sender of a message that makes no sense, if that
// much of it does (MS-8).
func (s *Session) returnMalformed(e *wire.Envelope, err error) {
	if !e.Kind.Returns() || e.From.IsZero() {
		return
	}
	back := &wire.Envelope{
		Kind: wire.Return, TTL: wire.DefaultTTL, Reason: wire.Malformed, Call: e.Call,
		To: e.From, From: e.To, Method: e.Method, Body: []byte(err.Error()),
	}
	if e.Kind == wire.Watch {
		back.Kind, back.Method = wire.Down, ""
	}
	s.TrySend(back)
}

// pinged answers a Ping: somebody depends on us.
func (s *Session) pinged(nonce uint64) {
	s.mu.Lock()
	s.asked++
	s.writer.pong, s.writer.nonce = true, nonce
	s.startWriteLocked(true)
}

// kept notes whether the peer wants the session although it is idle.
func (s *Session) kept(want bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vigil.kept && !want {
		s.vigil.rest(time.Now())
	}
	s.vigil.kept = want
	s.armLocked()
}

// closedByPeer answers the peer's Close: we say what is still queued and our
// own Close, acknowledge all, and read on to the end, because the peer's last
// acknowledgement comes after it has seen ours. A Close with another code
// tells us that it is over.
func (s *Session) closedByPeer(l *line, why *CloseError) error {
	if why.Code != wire.CloseDone && why.Code != wire.CloseIdle {
		return why.framing()
	}
	s.mu.Lock()
	if l.closeHeard {
		s.mu.Unlock()
		return fmt.Errorf("%w: a second close", wire.ErrFraming)
	}
	l.closeHeard, s.peerClosed = true, true
	s.closeLocked(why, wire.CloseDone)
	s.writer.ack = s.writer.ack || l.closeSaid
	l.SetReadDeadline(time.Now().Add(s.cfg.CloseTimeout))
	s.startWriteLocked(true)
	return nil
}

// framing makes what the peer says of our framing look like what it is.
func (e *CloseError) framing() error {
	if e.Code == wire.CloseFraming {
		return fmt.Errorf("%w: %w", wire.ErrFraming, e)
	}
	return e
}
