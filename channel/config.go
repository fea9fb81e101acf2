package channel

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// Config describes our side of a session. Hello.Peer and Handle are needed.
type Config struct {
	// Hello is what we say of ourselves: Peer, Epoch, Token, Limits and Addr,
	// and To, whom we want to reach. The session knows the rest.
	Hello wire.Hello
	Check func(p Peer) error // refuses a peer; nil accepts all
	Hub   *Hub               // what the sessions of this process share; one of its own if nil

	// Handle gets what the peer sends, in order, from Run. It must not block. e
	// is there only until it returns, and From, To and Method must not be
	// changed; what e refers to stays.
	Handle func(s *Session, e *wire.Envelope)

	// Take, if it is there, gets each small Send first, before its body is copied:
	// that is there only until Take returns. False says that it is for Handle.
	Take func(s *Session, e *wire.Envelope) bool

	// Settled, if it is there, is called when all that has come is handled, before
	// Run waits for more.
	Settled func(s *Session)

	// Begun is called by Run, before it hands anything over, when a peer that
	// dialed has shown that it knows of the session; nil if nobody wants to know.
	// What is sent before waits for that.
	Begun func(s *Session)

	// QueueBytes is what may be queued and not acknowledged; 4 MiB if zero
	// (MS-7).
	QueueBytes int

	// SharedBytes is how much memory we share at most with a peer on the same
	// machine, for large parts of messages to it; 64 MiB if zero, none if
	// negative (MS-9).
	SharedBytes int

	// NotShared is told, once, why large parts to a peer on the same machine
	// go through the socket; nil if nobody wants to know. It must not block.
	NotShared func(err error)

	// ResumeFor is how long a session without a connection waits to be
	// continued; 2 min if zero. The shorter one of both sides counts, and on
	// one machine a second does: there a lost connection means a lost peer.
	ResumeFor time.Duration

	Heartbeat    time.Duration // how often a peer that somebody depends on shows that it lives; 1 s if zero (MS-11)
	SuspectAfter time.Duration // how long it may be silent before the connection is given up; 5 s if zero
	IdleTimeout  time.Duration // how long nothing may be said in a session that nobody keeps, a quarter longer if the peer dialed; 10 min if zero

	AckDelay     time.Duration // how long an acknowledgement may wait for a message to ride on; 25 ms if zero
	HelloTimeout time.Duration // how long the peer may take to say hello on a new connection; 5 s if zero
	CloseTimeout time.Duration // how long a peer may take to finish that closes a session, or that is idle; 5 s if zero
}

func (c Config) withDefaults() Config {
	c.Hello.Version = cmp.Or(c.Hello.Version, wire.Version)
	c.Hello.Limits = c.Hello.Limits.WithDefaults()
	c.QueueBytes = cmp.Or(c.QueueBytes, 4<<20)
	c.SharedBytes = cmp.Or(c.SharedBytes, 64<<20)
	c.ResumeFor = cmp.Or(c.ResumeFor, 2*time.Minute)
	c.Heartbeat = cmp.Or(c.Heartbeat, time.Second)
	c.SuspectAfter = cmp.Or(c.SuspectAfter, defaultSuspect)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 10*time.Minute)
	c.AckDelay = cmp.Or(c.AckDelay, 25*time.Millisecond)
	c.HelloTimeout = cmp.Or(c.HelloTimeout, 5*time.Second)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 5*time.Second)
	if c.Hub == nil {
		c.Hub = new(Hub)
	}
	if c.Begun == nil {
		c.Begun = func(*Session) {}
	}
	if c.Check == nil {
		c.Check = func(Peer) error { return nil }
	}
	return c
}

// Peer is who is at the other end.
type Peer struct {
	wire.Hello      // what it says
	Proven     bool // the connection itself proved that it is Hello.Peer (MS-15)
	Alone      bool // and that it speaks for no other proc of its host
}

const (
	defaultSuspect = 5 * time.Second
	largeBody      = 16 << 10               // a body of this size is written from where it is
	localResume    = time.Second            // ResumeFor between peers on one machine
	firstPause     = 10 * time.Millisecond  // between attempts to connect again,
	lastPause      = time.Second            // growing up to this
	refusedPause   = 100 * time.Millisecond // or to this while nobody listens
	lastWords      = time.Second            // bounds how long we read from a peer that we cannot write to
	maxBroken      = 5                      // connections in a row that end in broken framing and bring nothing
)

// Errors that end a session. Each is wrapped with more about it.
var (
	// ErrClosed is wrapped by the error of a Send that the session did not
	// take, because it has ended or is about to.
	ErrClosed = errors.New("session closed")

	// ErrIdle ends a session that nobody used for IdleTimeout.
	ErrIdle = errors.New("idle")

	// ErrForgotten ends a session that the peer does not know any more: its
	// end waited too long, or it is another life of the peer (MS-6). What was
	// not acknowledged is in doubt.
	ErrForgotten = errors.New("the peer does not know the session any more")

	// ErrNotResumed ends a session that lost its connection and found no other
	// one in time.
	ErrNotResumed = errors.New("connection lost")

	// ErrSilent ends a connection: nothing came for SuspectAfter.
	ErrSilent = errors.New("the peer is silent")
)

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
