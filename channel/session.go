package channel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Session carries envelopes to and from one peer, each direction in order. It
// outlives its connections: after a break the side that dialed connects again,
// both say what they have, and what the other lacks goes out again. So each
// message is handed over once, as long as both processes live (MS-1, MS-5).
//
// A session ends when either side closes it, when the peer has ended or forgot
// it, or when no connection could be made for ResumeFor. What the peer has not
// acknowledged then is in Undelivered (MS-3).
//
// The owner calls Run, once, and after it Undelivered. All other methods may be
// called at any time by anyone.
type Session struct {
	cfg       Config
	number    uint64
	peer      Peer
	dialer    *dialer       // nil if the peer dialed
	resumeFor time.Duration // what both sides agree to
	born      time.Time
	changed   chan struct{} // wakes Run when it waits for a connection; capacity 1
	done      chan struct{} // closed at the end of Run
	writeFn   func()        // s.write, made once
	writers   sync.WaitGroup
	helpers   sync.WaitGroup // who make and open shared memory
	alarm     alarm

	received   atomic.Uint64 // number of the last frame that came
	heard      atomic.Int64  // when something came last, since born
	malformed  atomic.Uint64
	duplicates atomic.Uint64
	deaf       atomic.Bool // nothing more is handed over

	reader reader // Run owns it

	mu         sync.Mutex // guards the following
	state      state
	err        error          // why state is not open
	code       wire.CloseCode // what the peer is told then
	last       error          // not nil: the end of the connection is the end of the session, and this is why
	begun      bool           // the peer is known to know of the session: messages may go out
	peerClosed bool           // the peer's Close frame came
	complete   bool           // and all that it had to say: what it has not acknowledged, it has not got
	space      chan struct{}  // closed when the queue has shrunk; nil if nobody waits
	line       *line          // nil while there is no connection
	offered    *line          // the next one
	heir       *line          // the last one that the peer has made, if it is not the first: no other is begun any more
	vacant     chan struct{}  // closed when line is nil; nil if nobody waits
	giveUp     func()         // ends an attempt to connect; nil if there is none
	out        outbound
	departures departures
	memory     memory
	writer     writer
	vigil      vigil
	alarmAt    time.Time // when alarm rings; zero if it does not
	ackAt      time.Time // when an acknowledgement is due; zero if none is
	endAt      time.Time // when a session that was idle ends, answered or not; zero if it was not idle
	ackSent    uint64    // the last acknowledgement that we queued
	asked      uint64    // how often the peer asked whether we live
	since      time.Time // when line was made, or lost
	why        error     // why it was lost
	resumed    uint64
}

type state uint8

const (
	open    state = iota
	closing       // takes no more messages; what is queued still goes out
	dead          // nothing goes out any more
)

func newSession(number uint64, peer Peer, d *dialer, cfg Config) *Session {
	now := time.Now()
	s := &Session{
		cfg: cfg, number: number, peer: peer, dialer: d, born: now, since: now,
		changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.writeFn = s.write
	s.alarm.ring = s.ring
	s.out.hub = cfg.Hub
	s.memory.init(cfg.SharedBytes)
	s.departures.limit = bulkLimit(peer.Limits)
	s.reader.coming.limit, s.reader.coming.from = bulkLimit(cfg.Hello.Limits), &cfg.Hub.buffers
	s.begun = d != nil
	s.resumeFor = min(cfg.ResumeFor, peer.ResumeFor)
	s.vigil = vigil{beat: cfg.Heartbeat, suspect: cfg.SuspectAfter, idle: cfg.IdleTimeout}
	if d == nil { // the dialer goes first: it can dial again with an answer to what crosses its Close
		s.vigil.idle += s.vigil.idle / 4
	}
	if peer.Local || d != nil && d.local {
		s.resumeFor = min(s.resumeFor, localResume)
		s.vigil.beat = 0
	}
	return s
}

// Peer returns what the peer said of itself when the session began, and
// whether its first connection proved who it is.
func (s *Session) Peer() Peer { return s.peer }

// Done is closed when Run has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session takes no more messages, or nil if it does.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Status is how a session is doing.
type Status struct {
	Peer       id.Proc
	Connected  bool
	Since      time.Time // when it was connected, or lost its connection
	Lost       error     // why it lost its last connection; nil if it has had only one
	Remote     string    // the address of the other end of the connection
	Unacked    int       // bytes that are queued or not acknowledged
	Resumed    uint64    // how often it was continued over another connection
	Duplicates uint64    // messages that came again, and were dropped
	Malformed  uint64    // messages that came and made no sense
	Shared     int       // bytes of memory that we share with the peer, for what we send
	NotShared  error     // why we do not share memory any more; nil if we do, or never tried
	BySocket   uint64    // parts that were large enough for shared memory and found none
}

// Status returns how the session is doing now.
func (s *Session) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Peer: s.peer.Peer, Connected: s.line != nil, Since: s.since, Lost: s.why, Unacked: s.out.bytes + s.departures.bytes(), Resumed: s.resumed,
		Duplicates: s.duplicates.Load(), Malformed: s.malformed.Load(),
		Shared: s.memory.arena.Bytes(), NotShared: s.memory.none, BySocket: s.memory.missed,
	}
	if s.line != nil {
		st.Remote = s.line.RemoteAddr().String()
	}
	return st
}

// Send queues e to go out after everything queued before. It waits while the
// queue is full, at most until ctx is done; nil means that the message goes
// out or, if the session ends first, is among Undelivered.
//
// Send refuses a message that the peer would not take with wire.TooLarge
// (MS-8), and any message once the session is closed with ErrClosed. The
// bytes of e.Body must not be changed afterwards, unless they are lent
// (wire.Encoder).
func (s *Session) Send(ctx context.Context, e *wire.Envelope) error {
	size := e.Size()
	if isApart(e, size) {
		return s.sendApart(ctx, e, size)
	}
	s.mu.Lock()
	for s.state == open && !s.fits(size, s.ownRoom()) {
		if err := s.waitForSpace(ctx); err != nil {
			return err
		}
	}
	return s.queueLocked(e, size)
}

// TrySend is Send, but refuses with wire.MailboxFull instead of waiting: for
// messages of others, who are to be asked to hold back as long as the session is
// Crowded, and for answers.
func (s *Session) TrySend(e *wire.Envelope) error {
	size, room := e.Size(), s.othersRoom(e.Kind)
	if isApart(e, size) {
		return s.trySendApart(e, size, room)
	}
	s.mu.Lock()
	if s.state == open && !s.fits(size, room) {
		s.mu.Unlock()
		return fmt.Errorf("%w: queue to %v", wire.MailboxFull, s.peer.Peer)
	}
	return s.queueLocked(e, size)
}

// room is how many bytes may be queued, in small messages and in transfers.
type room struct{ small, large int }

// Rooms for small messages, in multiples of QueueBytes.
const (
	relayRoom  = 16 // what others send: some of them fill their own queues while we ask them to hold back
	answerRoom = 20 // what answers or tells about other messages: losing it would cost somebody an outcome
)

func (s *Session) ownRoom() room { return room{s.cfg.QueueBytes, s.cfg.QueueBytes} }

// othersRoom is the room for a message that cannot wait.
func (s *Session) othersRoom(k wire.Kind) room {
	q, large := s.cfg.QueueBytes, s.transfersAtATime()
	if k == wire.Send || k == wire.Call {
		return room{relayRoom * q, 2 * large}
	}
	return room{answerRoom * q, 3 * large}
}

// transfersAtATime is how much of them the peer takes, or our queue if that is more.
func (s *Session) transfersAtATime() int { return max(s.cfg.QueueBytes, bulkLimit(s.peer.Limits)) }

// fits reports whether size more bytes may be queued. A message that is
// larger than the whole queue is taken when the queue is empty.
func (s *Session) fits(size int, in room) bool {
	queued := s.queued()
	return queued == 0 || queued+size <= in.small
}

// queued is how much is queued or not acknowledged, without transfers.
func (s *Session) queued() int { return s.out.bytes - s.out.chunks + s.departures.small }

// Crowd is what is queued too much of for others to go on sending it.
type Crowd uint8

// The crowds. Of transfers there may be very many before they count as one: small
// messages do not wait for them (MS-9).
const (
	NoCrowd   Crowd = iota
	Queue           // the queue for Send is three quarters full
	Transfers       // transfers under way are half of what the peer takes at a time
)

// Crowded returns the crowd that e, which somebody else sends, would join.
func (s *Session) Crowded(e *wire.Envelope) Crowd {
	apart := isApart(e, e.Size())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != open:
	case s.queued() >= s.cfg.QueueBytes/4*3:
		return Queue
	case apart && s.departures.large >= s.transfersAtATime()/2:
		return Transfers
	}
	return NoCrowd
}

// Eased waits until a crowd is two thirds of itself, or the session takes no more
// messages, or ctx is done.
func (s *Session) Eased(ctx context.Context, c Crowd) error {
	s.mu.Lock()
	for s.state == open && !s.easedLocked(c) {
		if err := s.waitForSpace(ctx); err != nil {
			return err
		}
	}
	s.mu.Unlock()
	return nil
}

func (s *Session) easedLocked(c Crowd) bool {
	if c == Transfers {
		return s.departures.large <= s.transfersAtATime()/3
	}
	return s.queued() <= s.cfg.QueueBytes/2
}

// waitForSpace gives the lock up until the queue has shrunk. It returns with
// the lock, or without it and an error when ctx is done.
func (s *Session) waitForSpace(ctx context.Context) error {
	if s.space == nil {
		s.space = make(chan struct{})
	}
	space := s.space
	s.mu.Unlock()
	select {
	case <-space:
		s.mu.Lock()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queue to %v is full: %w", s.peer.Peer, context.Cause(ctx))
	}
}

// spaceLocked tells those who wait for space to look again.
func (s *Session) spaceLocked() {
	if s.space != nil {
		close(s.space)
		s.space = nil
	}
}

// queueLocked queues e, gives the lock up, and sees to it that somebody writes.
func (s *Session) queueLocked(e *wire.Envelope, size int) error {
	if err := s.mayQueueLocked(); err != nil {
		s.mu.Unlock()
		return err
	}
	if size > int(s.peer.Limits.MaxFrame) {
		s.mu.Unlock()
		return fmt.Errorf("%w: %d bytes, %v takes at most %d", wire.TooLarge, size, s.peer.Peer, s.peer.Limits.MaxFrame)
	}
	held := s.departures.holds(e)
	if held || len(e.Body) >= largeBody {
		e.KeepBody()
	}
	if held {
		s.departures.add(&departure{e: *e, size: size})
	} else {
		s.ackSent = s.received.Load()
		s.out.add(e, size, s.ackSent)
	}
	s.queuedLocked(e)
	return nil
}

// mayQueueLocked returns an error if the session takes no more messages.
func (s *Session) mayQueueLocked() error {
	if s.state != open {
		return fmt.Errorf("%w: %v: %w", ErrClosed, s.peer.Peer, s.err)
	}
	return nil
}

// queuedLocked sees to it that e, which was queued, gets written. It gives the
// lock up.
func (s *Session) queuedLocked(e *wire.Envelope) {
	astray := s.vigil.went(e)
	s.watchLocked()
	s.startWriteLocked(e.Kind != wire.Send)
	if astray {
		s.cfg.Hub.answered(s, false)
	}
}

// Keep says that the session is wanted although nothing is said over it: until
// release is called it does not end for being idle, at either side, and its peer
// is watched (MS-11). To call release again does nothing.
func (s *Session) Keep() (release func()) {
	s.mu.Lock()
	s.vigil.keepers++
	s.watchLocked()
	s.writer.keep = s.writer.keep || s.vigil.keepers == 1
	s.startWriteLocked(true)
	return sync.OnceFunc(s.letGo)
}

// letGo ends what Keep began.
func (s *Session) letGo() {
	s.mu.Lock()
	if s.vigil.keepers--; s.vigil.keepers == 0 {
		s.vigil.rest(time.Now())
		s.armLocked()
		s.writer.keep = true
	}
	s.startWriteLocked(true)
}

// EndWithConnection says that the peer's process is known to have ended: what
// it said before is still read, but the end of the connection is now the end
// of the session, because of cause. If there is no connection, Run ends at once.
func (s *Session) EndWithConnection(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = cmp.Or(cause, errNoCause)
	}
	s.wakeLocked()
}

// wakeLocked wakes Run if it waits for a connection.
func (s *Session) wakeLocked() {
	if s.giveUp != nil && (s.state == dead || s.last != nil) {
		s.giveUp()
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// StopReceiving says that nobody is there for more messages: those that come
// from now on are neither handed over nor acknowledged, so the peer returns
// them to their senders. Close follows.
func (s *Session) StopReceiving() { s.deaf.Store(true) }

// Close ends the session in good order (MS-10): what is queued goes out, both
// sides acknowledge what they have and say that they are done, and then the
// connection is closed. A session without a connection waits for one first.
// When ctx is done, the session is aborted. Close returns when Run has ended,
// so Run must have been called or be about to.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closeLocked(errClosedByUs, wire.CloseDone)
	s.startWriteLocked(true)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		err := fmt.Errorf("close session with %v: %w", s.peer.Peer, context.Cause(ctx))
		s.Abort(err)
		<-s.done
		return err
	}
}

var (
	errClosedByUs = errors.New("closed by us")
	errNoCause    = errors.New("given up")
)

// closeLocked begins the end in good order.
func (s *Session) closeLocked(why error, code wire.CloseCode) {
	if s.state == open {
		s.endLocked(closing, why)
		s.code = code
	}
}

// Abort ends the session now, for good, and tells the peer if it takes that at
// once: Run ends soon, because of cause. It is all that a session needs that
// is not run.
func (s *Session) Abort(cause error) {
	s.mu.Lock()
	s.abortLocked(cmp.Or(cause, errNoCause))
	unused := s.offered
	s.offered = nil
	s.mu.Unlock()
	s.cfg.Hub.forget(s)
	if unused != nil {
		unused.farewell = wire.AppendClose(nil, s.received.Load(), wire.CloseAborted, "")
		unused.sayLast()
	}
}

// abortLocked makes Run end soon.
func (s *Session) abortLocked(cause error) {
	s.endLocked(dead, cause)
	s.code = wire.CloseAborted
	if s.line != nil {
		s.line.giveUpLocked(cause)
	}
	s.wakeLocked()
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

// Undelivered returns, once Run has ended, the messages whose senders want to
// know (wire.Kind.Returns) and the Downs, without their bodies, of which it is not
// known that the peer has them: those between the same two actors in their order. The value
// is true if the peer may have got the message: it was written, or some of it.
// False means that it never left, or that the peer has said to the end what it
// got.
func (s *Session) Undelivered() iter.Seq2[wire.Envelope, bool] {
	return func(yield func(wire.Envelope, bool) bool) {
		<-s.done
		s.mu.Lock()
		left, waiting, complete := s.out, s.departures.all(), s.complete
		s.out, s.departures = outbound{hub: left.hub}, departures{}
		s.mu.Unlock()
		for seq, e := range left.left() {
			if wanted(e.Kind) && !yield(e, seq <= left.sent && !complete) {
				return
			}
		}
		for _, e := range waiting {
			if wanted(e.Kind) && !yield(e, false) {
				return
			}
		}
	}
}

// wanted reports whether a message that was not delivered is of use to somebody.
func wanted(k wire.Kind) bool { return k.Returns() || k == wire.Down }
