package channel

import (
	"bytes"
	"fmt"

	"github.com/hyperactor/hyperactor/wire"
)

// chunkFrame reads the bytes of a chunk into the buffer that its transfer has,
// when its header is there. It reports false if it is not.
func (s *Session) chunkFrame(l *line, size int) (bool, error) {
	b := l.in.bytes()
	if len(b) < wire.ChunkHeader {
		return false, nil
	}
	head := [wire.ChunkHeader - wire.FrameHeader]byte(b[wire.FrameHeader:]) // b will hold what comes after the chunk
	c := wire.ParseChunk(head[:])
	l.in.use(wire.ChunkHeader)
	s.settle()
	n := size - len(head)
	r := &s.reader
	deaf := s.deaf.Load()
	fresh, err := !deaf, error(nil)
	if !deaf {
		fresh, err = r.in.check(c.Seq, s.received.Load())
	}
	if err != nil {
		return false, err
	}
	var to []byte
	if fresh {
		to, err = r.coming.begin(c, n)
	} else {
		to = make([]byte, n) // it came again, or too late
	}
	if err == nil {
		err = s.readFull(l, to)
	}
	if err != nil {
		return false, err
	}
	l.in.next = overread
	r.unacked += n
	fresh, err = s.numbered(head[:])
	if fresh {
		r.coming.end(c.Transfer, n)
	}
	return err == nil, err
}

// apartFrame handles a Bulk or a Memory frame. b is in own, or ours only until
// apartFrame returns.
func (s *Session) apartFrame(l *line, t wire.FrameType, b []byte, own *buffer) error {
	if fresh, err := s.numbered(b); !fresh {
		return err
	}
	if t == wire.FrameMemory {
		return s.memoryFrame(l, b)
	}
	return s.bulkFrame(b, own)
}

// bulkFrame handles a message whose parts, or all of its tail, are elsewhere.
func (s *Session) bulkFrame(b []byte, own *buffer) error {
	head, apart, rest, err := wire.ParseBulk(b)
	if err != nil {
		return err
	}
	e, sizes, tail, err := s.reader.dec.DecodeApart(rest)
	if err == nil && !s.reader.in.flows.resolve(head.Flow, &e) {
		err = unknownFlow(head.Flow)
	}
	if own == nil {
		tail = bytes.Clone(tail)
	}
	if joined := s.join(&e, apart, sizes, tail, own); err == nil {
		err = joined
	}
	if err != nil {
		s.refuse(&e, err)
		e.Release()
	} else {
		s.deliver(&e)
	}
	return nil
}

// join puts the tail of e together; tail is what came with e, perhaps in own.
// Whatever is wrong with e, what was sent ahead for it is used up.
func (s *Session) join(e *wire.Envelope, a wire.Apart, sizes []uint64, tail []byte, own *buffer) error {
	var ahead error
	if a.Transfer != 0 {
		if len(tail) > 0 {
			ahead = fmt.Errorf("%w: a tail in two places", wire.Malformed)
		}
		came, err := s.reader.coming.take(a.Transfer)
		if err != nil {
			ahead = err
		} else {
			tail, own = came.b, came
		}
	}
	lent, err := s.claim(a.Segments, sizes)
	switch {
	case ahead != nil:
		err = ahead
	case err == nil && len(a.Segments) != 0 && len(a.Segments) != len(sizes):
		err = fmt.Errorf("%w: %d segments for %d parts", wire.Malformed, len(a.Segments), len(sizes))
	case err == nil:
		err = e.Join(tail, sizes, lent)
	}
	switch {
	case err == nil && own != nil:
		s.inBuffer(e, own)
	case err != nil:
		for _, b := range lent {
			b.Release()
		}
		if own != nil {
			s.cfg.Hub.buffers.put(own)
		}
	}
	return err
}

// inBuffer says that e is in b, which is used again when e is released.
func (s *Session) inBuffer(e *wire.Envelope, b *buffer) {
	hub := s.cfg.Hub
	s.reader.lent = true
	e.InBuffer(func() { hub.buffers.put(b) })
}

// memoryFrame handles what the peer says of shared memory.
func (s *Session) memoryFrame(l *line, b []byte) error {
	m, err := wire.ParseMemory(b)
	if err != nil {
		return err
	}
	if !s.local() {
		return fmt.Errorf("%w: shared memory with another machine", wire.ErrFraming)
	}
	switch m.Op {
	case wire.MemoryOffer:
		err = s.memoryOffered(l, m)
	case wire.MemoryDrop:
		err = s.memoryDropped(m.Segment)
	default:
		err = s.memoryAnswered(m)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrFraming, err)
	}
	return nil
}
