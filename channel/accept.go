package channel

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/hyperactor/hyperactor/wire"
)

// Accept exchanges hellos over a connection that a listener accepted. It
// returns a new session, or ErrResumed if the connection continues one that the
// Hub knows: that goes on with it, also if its old connection seems to be alive.
// A peer that cfg.Check refuses gets no answer. Accept closes conn if it fails
// with any other error. ctx bounds the call.
//
// The Hub knows a session until its Run ends.
func (h *Hub) Accept(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	cfg.Hub = h
	cfg = cfg.withDefaults()
	var s *Session
	answered := false
	l, peer, err := shake(ctx, conn, &cfg, func(ctx context.Context, l *line) (Peer, error) {
		peer, err := readHello(l, &cfg)
		if _, ok := errors.AsType[*wire.VersionError](err); ok {
			l.Write(wire.AppendClose(nil, 0, wire.CloseVersion, err.Error()))
		}
		if err == nil {
			s, err = h.admit(ctx, l, peer, cfg)
			answered = err == nil
		}
		return peer, err
	})
	switch {
	case err != nil && s != nil && answered: // the peer has our answer, and will connect again
		s.why = err
		return s, nil
	case err != nil && s != nil:
		h.forget(s)
		return nil, err
	case err != nil:
		return nil, err
	}
	if peer.Resume {
		s, err = h.find(peer)
		if err != nil {
			l.sayLast()
			return nil, err
		}
	}
	s.offer(l)
	if peer.Resume {
		return nil, ErrResumed
	}
	return s, nil
}

// ErrResumed is returned by Accept for a connection that is in use now, by a
// session that has begun before.
var ErrResumed = errors.New("the connection continues a session")

// admit answers the hello of peer. It returns the session that begins, if one
// does, even if nobody hears the answer.
func (h *Hub) admit(ctx context.Context, l *line, peer Peer, cfg Config) (*Session, error) {
	answer := wire.Hello{Session: peer.Session}
	if !peer.To.IsZero() && peer.To != cfg.Hello.Peer { // perhaps who listened here before us: our hello says who we are
		err := fmt.Errorf("%v wants to reach %v, this is %v", peer.Peer, peer.To, cfg.Hello.Peer)
		return nil, errors.Join(err, writeHello(l, cfg.hello(answer)))
	}
	if !peer.Resume {
		s, err := h.enter(peer, cfg)
		if err == nil {
			err = writeHello(l, cfg.hello(answer))
		}
		return s, err
	}
	s, unknown := h.find(peer)
	if unknown == nil {
		received, err := s.succeed(ctx, l, peer.Received)
		if err != nil {
			return nil, err
		}
		answer.Resume, answer.Received = true, received
	}
	l.said = answer.Received
	if err := writeHello(l, cfg.hello(answer)); err != nil {
		return nil, err
	}
	return nil, unknown
}

func keyOf(p Peer) sessionKey { return sessionKey{p.Peer, p.Session} }

// find returns the session that peer wants to continue.
func (h *Hub) find(peer Peer) (*Session, error) {
	h.mu.Lock()
	s := h.sessions[keyOf(peer)]
	h.mu.Unlock()
	if s == nil || s.peer.Epoch != peer.Epoch {
		return nil, fmt.Errorf("session %x of %v: %w", peer.Session, peer.Peer, errUnknown)
	}
	return s, nil
}

var errUnknown = errors.New("it is to be continued, and is not known here")

// enter makes a session and knows it.
func (h *Hub) enter(peer Peer, cfg Config) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.sessions[keyOf(peer)]; ok {
		return nil, fmt.Errorf("session %x of %v is to begin, and has begun: a repeated hello", peer.Session, peer.Peer)
	}
	if h.sessions == nil {
		h.sessions = make(map[sessionKey]*Session)
	}
	s := newSession(peer.Session, peer, nil, cfg)
	h.sessions[keyOf(peer)] = s
	return s, nil
}

// forget ends what enter began. It does nothing for a session that we dialed.
func (h *Hub) forget(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[keyOf(s.peer)] == s {
		delete(h.sessions, keyOf(s.peer))
	}
}

// succeed ends the connections of the session before l, for a peer that says
// what it has received. It returns what we have when nothing more can come over
// them: the peer will believe that, and send what comes after it over l.
func (s *Session) succeed(ctx context.Context, l *line, received uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if received < s.out.acked || received > s.out.sent {
		return 0, fmt.Errorf("%w: %v says that it has frame %d, want %d to %d", wire.ErrFraming, s.peer.Peer, received, s.out.acked, s.out.sent)
	}
	s.heir = l
	if err := s.vacateLocked(ctx); err != nil {
		return 0, err
	}
	if s.replacedLocked(l) {
		return 0, errReplaced
	}
	return s.received.Load(), nil
}

// vacateLocked ends the present connection and waits until nobody reads from it.
func (s *Session) vacateLocked(ctx context.Context) error {
	if s.line == nil {
		return nil
	}
	s.line.giveUpLocked(errReplaced)
	if s.vacant == nil {
		s.vacant = make(chan struct{})
	}
	vacant := s.vacant
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-vacant:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the connection before this one: %w", context.Cause(ctx))
	}
}

// replacedLocked reports whether the peer has connected again after it made l.
func (s *Session) replacedLocked(l *line) bool { return s.heir != nil && s.heir != l }

// offer makes l the next connection of the session.
func (s *Session) offer(l *line) {
	s.mu.Lock()
	unused := l
	if s.state != dead && !s.replacedLocked(l) {
		unused, s.offered = s.offered, l
	}
	s.wakeLocked()
	s.mu.Unlock()
	if unused != nil {
		unused.sayLast()
	}
}

var errReplaced = errors.New("the peer has connected again")
