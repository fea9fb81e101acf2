package channel

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// Session is one connection to one peer after both have said hello. It carries
// envelopes both ways, each direction in order.
//
// Frames are numbered and acknowledged, so that at the end it is known which
// messages the peer has for certain: the rest is in Undelivered (MS-3). A
// Session does not outlive its connection.
//
// The owner calls Run, once, and after it Undelivered. All other methods may be
// called at any time by anyone.
type Session struct {
	conn  net.Conn
	cfg   Config
	peer  wire.Hello
	in    *bufio.Reader
	dec   wire.Decoder
	wake  chan struct{} // for the writer, capacity 1
	over  chan struct{} // closed when the connection is lost or finished with
	done  chan struct{} // closed at the end of Run
	timer *time.Timer   // until an acknowledgement is due; the writer waits for it
	armed atomic.Bool   // timer runs

	received  atomic.Uint64 // number of the last frame that came
	ackSent   atomic.Uint64 // the last acknowledgement that we queued
	malformed atomic.Uint64

	out outgoing

	mu         sync.Mutex // guards the following
	state      state
	err        error         // why state is not open
	peerClosed bool          // the peer's Close frame came
	finish     bool          // the last frame is queued: shut our direction down after it
	space      chan struct{} // closed when the queue has shrunk; nil if nobody waits
	seq        uint64        // number of the last frame that was queued
	acked      uint64        // the peer has everything up to here
	pending    pending
}

type state uint8

const (
	open    state = iota
	closing       // takes no more messages; what is queued still goes out
	dead          // nothing goes out any more
)

// Config describes our side of a session.
type Config struct {
	Hello        wire.Hello                        // what we say of ourselves
	Check        func(wire.Hello) error            // refuses a peer by what it says; nil accepts all
	Handle       func(s *Session, e wire.Envelope) // gets what the peer sends, in order, from Run. It must not block
	QueueBytes   int                               // what may wait to be written; 4 MiB if zero (MS-7)
	AckDelay     time.Duration                     // how long an acknowledgement may wait for a message to ride on; 25 ms if zero
	HelloTimeout time.Duration                     // 5 s if zero
	CloseTimeout time.Duration                     // how long a closing peer may take to finish; 5 s if zero
}

func (c Config) withDefaults() Config {
	c.Hello.Version = cmp.Or(c.Hello.Version, wire.Version)
	c.Hello.Limits = c.Hello.Limits.WithDefaults()
	c.QueueBytes = cmp.Or(c.QueueBytes, 4<<20)
	c.AckDelay = cmp.Or(c.AckDelay, 25*time.Millisecond)
	c.HelloTimeout = cmp.Or(c.HelloTimeout, 5*time.Second)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 5*time.Second)
	if c.Check == nil {
		c.Check = func(wire.Hello) error { return nil }
	}
	return c
}

const (
	readBuffer = 16 << 10 // what one read can bring
	ackEvery   = 256      // frames after which an acknowledgement does not wait
	maxUnacked = 1 << 14  // frames that may be without acknowledgement
	largeBody  = 16 << 10 // a body of this size is written from where it is
)

// ErrClosed is wrapped by the error of a Send that the session did not take,
// because it has ended or is about to.
var ErrClosed = errors.New("session closed")

// CloseError is what the peer said when it closed the session.
type CloseError struct {
	Code wire.CloseCode
	Text string
}

func (e *CloseError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("closed by the peer: %v", e.Code)
	}
	return fmt.Sprintf("closed by the peer: %v: %s", e.Code, e.Text)
}

func newSession(conn net.Conn, in *bufio.Reader, peer wire.Hello, cfg Config) *Session {
	s := &Session{
		conn: conn, cfg: cfg, peer: peer, in: in,
		wake: make(chan struct{}, 1), over: make(chan struct{}), done: make(chan struct{}),
	}
	s.out.attempt = newAttempt(conn)
	s.timer = time.NewTimer(cfg.AckDelay)
	s.timer.Stop()
	return s
}

// Peer returns what the peer said of itself.
func (s *Session) Peer() wire.Hello { return s.peer }

// Done is closed when Run has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session takes no more messages, or nil if it does.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Malformed returns how many messages came that made no sense.
func (s *Session) Malformed() uint64 { return s.malformed.Load() }

// Send queues e to go out after everything queued before. It waits while the
// queue is full, at most until ctx is done; nil means that the message goes
// out or, if the session ends first, is among Undelivered.
//
// Send refuses a message that the peer would not take with wire.TooLarge
// (MS-8), and any message once the session is closed with ErrClosed. The
// bytes of e.Body must not be changed afterwards.
func (s *Session) Send(ctx context.Context, e *wire.Envelope) error {
	size := e.Size()
	s.mu.Lock()
	for s.state == open && !s.fits(size, 1) {
		if err := s.waitForSpace(ctx); err != nil {
			return err
		}
	}
	return s.queueLocked(e, size)
}

// TrySend is Send, but refuses with wire.MailboxFull instead of waiting.
//
// What answers or tells about other messages (any kind but Send and Call) may
// use twice the queue: losing it would cost somebody an outcome.
func (s *Session) TrySend(e *wire.Envelope) error {
	size, factor := e.Size(), 1
	if e.Kind != wire.Send && e.Kind != wire.Call {
		factor = 2
	}
	s.mu.Lock()
	if s.state == open && !s.fits(size, factor) {
		s.mu.Unlock()
		return fmt.Errorf("%w: queue to %v", wire.MailboxFull, s.peer.Peer)
	}
	return s.queueLocked(e, size)
}

// fits reports whether size more bytes may be queued. A message that is
// larger than the whole queue is taken when the queue is empty.
func (s *Session) fits(size, factor int) bool {
	if s.seq-s.acked >= uint64(factor*maxUnacked) {
		return false
	}
	return s.out.waiting == 0 || s.out.waiting+size <= factor*s.cfg.QueueBytes
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

// queueLocked queues e, gives the lock up, and sees to it that somebody writes.
func (s *Session) queueLocked(e *wire.Envelope, size int) error {
	if s.state != open {
		err := s.err
		s.mu.Unlock()
		return fmt.Errorf("%w: %v: %w", ErrClosed, s.peer.Peer, err)
	}
	if size > int(s.peer.Limits.MaxFrame) {
		s.mu.Unlock()
		return fmt.Errorf("%w: %d bytes, %v takes at most %d", wire.TooLarge, size, s.peer.Peer, s.peer.Limits.MaxFrame)
	}
	s.seq++
	ack := s.received.Load()
	s.ackSent.Store(ack)
	if e.Kind == wire.Send || e.Kind == wire.Call {
		s.pending.add(s.seq, e)
	}
	s.out.add(e, size, s.seq, ack)
	s.startWriteLocked(e.Kind != wire.Send)
	return nil
}

// Close ends the session in good order (MS-10): what is queued goes out, both
// sides acknowledge what they have and say that they are done, and then the
// connection is closed. When ctx is done first, the connection is cut. Close
// returns when Run has ended, so Run must have been called or be about to.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.state == open {
		s.endLocked(closing, errors.New("closed by us"))
		s.queueCloseLocked(wire.CloseDone, "")
	}
	s.mu.Unlock()
	s.wakeWriter()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		err := fmt.Errorf("close session with %v: %w", s.peer.Peer, context.Cause(ctx))
		s.cut(err)
		<-s.done
		return err
	}
}

// Abort cuts the connection: Run ends soon, because of cause. It is all that a
// session needs that is not run.
func (s *Session) Abort(cause error) { s.cut(cause) }

// Undelivered returns, once Run has ended, the messages (Send and Call, without
// their bodies) of which it is not known that the peer has them, oldest first.
// The value is true if the peer may have got the message: it was written, or
// some of it; false means that it never left.
func (s *Session) Undelivered() iter.Seq2[wire.Envelope, bool] {
	return func(yield func(wire.Envelope, bool) bool) {
		<-s.done
		s.mu.Lock()
		written, left := s.out.taken, s.pending
		s.pending = pending{}
		s.mu.Unlock()
		for left.count > 0 {
			m := left.pop()
			if !yield(m.e, m.seq <= written) {
				return
			}
		}
	}
}
