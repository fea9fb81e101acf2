package channel

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/channel/internal/shm"
	"github.com/hyperactor/hyperactor/wire"
)

// memory is what a session shares with a peer on the same machine: the
// segments that we write, and those that the peer writes and we read. It
// belongs to the session, not to a connection: Memory frames are numbered like
// messages, so that both sides agree over reconnects, too. Session.mu guards it.
//
// The memory goes when either process ends, or the session does, or nobody has
// used it for memoryIdle. What was handed out of it to be read stays until it
// is released.
type memory struct {
	arena    shm.Arena
	segments map[uint32]*writing
	none     error     // not nil: there will be no more segments, and this is why
	missed   uint64    // large parts that went through the socket
	expireAt time.Time // when we look for segments that nobody uses; zero if we do not

	lodgings shm.Lodgings
}

// writing is a segment of ours.
type writing struct {
	*shm.Segment
	hub     *Hub
	filling bool // somebody copies into it
}

// Close gives the segment back.
func (w *writing) Close() {
	w.hub.shared.Add(-int64(w.Key().Size))
	w.Segment.Close()
}

const (
	minShared  = 256 << 10 // parts of more bytes than this go through memory
	maxShared  = 512 << 20 // all segments that a process makes, for all its peers
	memoryIdle = 10 * time.Second
)

// share reports whether size more bytes may be shared, and counts them then.
func (h *Hub) share(size int) bool {
	if h.shared.Add(int64(size)) <= maxShared {
		return true
	}
	h.shared.Add(-int64(size))
	return false
}

// init sets the limits: what we share, and what we take from the peer, which is
// more, so that it need not be counted in the same way.
func (m *memory) init(limit int) {
	m.arena.Limit, m.lodgings.Limit = max(limit, 0), 2*max(limit, 0)
}

// local reports whether the peer is on the same machine, as far as we know.
func (s *Session) local() bool { return s.peer.Local || s.dialer != nil && s.dialer.local }

// lodge copies the large parts of m into segments, as far as there are any. It
// sees to it that there will be more.
func (s *Session) lodge(m *departure) {
	if !s.local() || s.cfg.SharedBytes < 0 {
		return
	}
	for i := range m.e.Parts {
		if m.e.Parts[i].Len() <= minShared {
			continue
		}
		n, ok := s.fill(m.e.Parts[i])
		if !ok {
			continue
		}
		if m.apart.Segments == nil {
			m.apart.Segments = make([]uint32, len(m.e.Parts))
		}
		m.apart.Segments[i] = n
	}
}

// fill copies one part into a segment, if there is one.
func (s *Session) fill(part wire.Bulk) (number uint32, ok bool) {
	s.mu.Lock()
	mem := &s.memory
	if s.state != open || s.line == nil || mem.none != nil {
		mem.missed++
		s.mu.Unlock()
		return 0, false
	}
	if number, ok = mem.arena.Take(part.Len()); !ok {
		mem.missed++
		s.growLocked(part.Len())
		return 0, false
	}
	w := mem.segments[number]
	w.filling = true
	s.mu.Unlock()
	err := part.View(func(p []byte) error {
		copy(w.Bytes(), p)
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return number, s.filledLocked(number, w, err)
}

// filledLocked ends what fill began, and reports whether the part is in w.
func (s *Session) filledLocked(number uint32, w *writing, err error) bool {
	w.filling = false
	if s.memory.segments[number] != w {
		w.Close() // the end of the session has left that to us
		return false
	}
	if err != nil {
		s.memory.arena.Untake(number, time.Now())
	}
	return err == nil
}

// unlodge takes the segments of m back, which was not queued.
func (s *Session) unlodge(m *departure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range m.apart.Segments {
		if n != 0 {
			s.memory.arena.Untake(n, time.Now())
		}
	}
}

// growLocked begins to make a segment for n bytes, and gives the lock up.
func (s *Session) growLocked(n int) {
	g := s.memory.arena.Grow(n)
	drop := s.dropLocked(g.Drop)
	switch {
	case g.Size == 0:
	case s.cfg.Hub.share(g.Size):
		s.helpers.Go(func() { s.grow(g.Number, g.Size) })
	default:
		s.memory.arena.Opened(g.Number, false, time.Time{})
	}
	s.startWriteLocked(false)
	closeAll(drop)
}

// grow makes a segment and offers it to the peer.
func (s *Session) grow(number uint32, size int) {
	seg, err := shm.Make(size)
	w := &writing{Segment: seg, hub: s.cfg.Hub}
	s.mu.Lock()
	switch {
	case err != nil:
		s.cfg.Hub.shared.Add(-int64(size))
		s.memory.arena.Opened(number, false, time.Time{})
		s.mu.Unlock()
		s.noMemory(err)
		return
	case s.state != open:
		s.mu.Unlock()
		w.Close()
		return
	}
	if s.memory.segments == nil {
		s.memory.segments = make(map[uint32]*writing)
	}
	s.memory.segments[number] = w
	k := seg.Key()
	s.sayLocked(wire.Memory{Op: wire.MemoryOffer, Segment: number, FD: k.FD, Size: k.Size, Inode: k.Inode})
	s.startWriteLocked(false)
}

// noMemory ends the making of segments.
func (s *Session) noMemory(why error) {
	s.mu.Lock()
	first := s.memory.none == nil
	s.memory.none = why
	s.mu.Unlock()
	if first && s.cfg.NotShared != nil {
		s.cfg.NotShared(why)
	}
}

// sayLocked queues a Memory frame. After the end it says nothing.
func (s *Session) sayLocked(m wire.Memory) {
	if s.state == open {
		s.out.addMemory(m, s.received.Load())
	}
}

// dropLocked gives segments up that are off the books. They are to be closed.
func (s *Session) dropLocked(numbers []uint32) []*writing {
	var all []*writing
	for _, n := range numbers {
		all = append(all, s.memory.segments[n])
		delete(s.memory.segments, n)
		s.sayLocked(wire.Memory{Op: wire.MemoryDrop, Segment: n})
	}
	return all
}

func closeAll(all []*writing) {
	for _, w := range all {
		w.Close()
	}
}

// memoryAnswered handles what the peer says of a segment of ours.
func (s *Session) memoryAnswered(m wire.Memory) error {
	s.mu.Lock()
	mem, now := &s.memory, time.Now()
	w := mem.segments[m.Segment]
	var err error
	switch {
	case w == nil:
		err = fmt.Errorf("segment %d is not there", m.Segment)
	case m.Op == wire.MemoryReturn:
		err = mem.arena.Return(m.Segment, now)
	default:
		err = mem.arena.Opened(m.Segment, m.Op == wire.MemoryOpened, now)
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	failed := m.Op == wire.MemoryFailed
	if failed {
		delete(mem.segments, m.Segment)
	}
	s.expireLaterLocked(now)
	s.mu.Unlock()
	if failed {
		w.Close()
		s.noMemory(errNotOpened)
	} else {
		w.CloseDescriptor()
	}
	return nil
}

var errNotOpened = errors.New("the peer does not open our memory: it is another user, sees other processes, or takes less")

// expireLaterLocked sees to it that segments which nobody uses are given up.
func (s *Session) expireLaterLocked(now time.Time) {
	if s.memory.expireAt.IsZero() {
		s.memory.expireAt = now.Add(memoryIdle)
		s.armLocked()
	}
}

// expireLocked gives up the segments that nobody has used for long. They are to
// be closed.
func (s *Session) expireLocked(now time.Time) []*writing {
	mem := &s.memory
	if mem.expireAt.IsZero() || now.Before(mem.expireAt) {
		return nil
	}
	mem.expireAt = time.Time{}
	numbers, next := mem.arena.Expire(now.Add(-memoryIdle))
	if !next.IsZero() {
		mem.expireAt = next.Add(memoryIdle)
	}
	return s.dropLocked(numbers)
}

// mayAnswerLocked refuses what is to be answered with a Memory frame if what the
// peer has not acknowledged is more than messages can be: it asks and asks, and
// does not listen (MS-7).
func (s *Session) mayAnswerLocked() error {
	if kept := s.out.bytes - s.out.chunks; kept > (answerRoom+1)*max(s.cfg.QueueBytes, wire.ChunkSize) {
		return fmt.Errorf("%d bytes wait for their acknowledgement", kept)
	}
	return nil
}

// memoryOffered begins to open a segment of the peer's.
func (s *Session) memoryOffered(l *line, m wire.Memory) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayAnswerLocked(); err != nil {
		return err
	}
	ok, err := s.memory.lodgings.Announce(m.Segment, m.Size)
	if err != nil || s.state != open {
		return err
	}
	if !ok {
		s.sayLocked(wire.Memory{Op: wire.MemoryFailed, Segment: m.Segment})
		return nil
	}
	pid := 0 // nobody
	if c, ok := l.Conn.(syscall.Conn); ok {
		pid = shm.PeerPID(c)
	}
	key := shm.Key{FD: m.FD, Size: m.Size, Inode: m.Inode}
	s.helpers.Go(func() { s.openSegment(pid, m.Segment, key) })
	return nil
}

func (s *Session) openSegment(pid int, number uint32, key shm.Key) {
	b, err := shm.Open(pid, key)
	s.mu.Lock()
	answer := wire.Memory{Op: wire.MemoryOpened, Segment: number}
	if err != nil {
		s.memory.lodgings.Refused(number)
		answer.Op = wire.MemoryFailed
	} else {
		s.memory.lodgings.Mapped(number, b) // the end of the session waits for us
	}
	s.sayLocked(answer)
	s.startWriteLocked(false)
}

// memoryDropped handles that the peer gives a segment of its own up.
func (s *Session) memoryDropped(number uint32) error {
	s.mu.Lock()
	b, err := s.memory.lodgings.Drop(number)
	s.mu.Unlock()
	shm.Close(b)
	return err
}

// claim returns the parts that are in segments, by their number. Whoever has
// one gives the segment back by releasing it, also if there is an error.
func (s *Session) claim(segments []uint32, sizes []uint64) (map[int]wire.Bulk, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mayAnswerLocked(); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.Malformed, err)
	}
	lent := make(map[int]wire.Bulk)
	for i, n := range segments {
		if n == 0 {
			continue
		}
		size := 0
		if i < len(sizes) {
			size = int(sizes[i])
		}
		b, err := s.memory.lodgings.Let(n, size)
		if err != nil {
			return lent, fmt.Errorf("%w: %w", wire.Malformed, err)
		}
		lent[i] = wire.Lend(b, func() { s.giveBack(n) })
	}
	return lent, nil
}

// giveBack is called when nobody uses what is in a segment of the peer's.
func (s *Session) giveBack(number uint32) {
	s.mu.Lock()
	b := s.memory.lodgings.Return(number)
	if b == nil {
		s.sayLocked(wire.Memory{Op: wire.MemoryReturn, Segment: number})
	}
	s.startWriteLocked(false)
	shm.Close(b)
}

// freeMemory gives everything back, at the end of the session. What somebody
// reads or writes now goes when they are done.
func (s *Session) freeMemory() {
	s.helpers.Wait()
	s.mu.Lock()
	mem := &s.memory
	var all []*writing
	for n, w := range mem.segments {
		if !w.filling {
			all = append(all, w)
		}
		delete(mem.segments, n)
	}
	unmap := mem.lodgings.DropAll()
	s.mu.Unlock()
	closeAll(all)
	for _, b := range unmap {
		shm.Close(b)
	}
}
