package channel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// dialer is how a session gets to its peer.
type dialer struct {
	t       Transport
	address string
	local   bool
}

// Dial begins a session with the peer that listens at address. ctx bounds the
// call, not the session. The session makes its later connections itself.
func Dial(ctx context.Context, t Transport, address string, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	d := &dialer{t: t, address: address}
	if lt, ok := t.(interface{ Local() bool }); ok {
		d.local = lt.Local()
	}
	number := id.NewUID()
	l, peer, err := d.dial(ctx, &cfg, wire.Hello{Session: number, Local: d.local})
	if err != nil {
		return nil, err
	}
	s := newSession(number, peer, d, cfg)
	s.offered = l
	return s, nil
}

// dial connects and exchanges hellos; h says what is particular about ours.
func (d *dialer) dial(ctx context.Context, cfg *Config, h wire.Hello) (*line, Peer, error) {
	conn, err := d.t.Dial(ctx, d.address)
	if err != nil {
		return nil, Peer{}, err
	}
	return shake(ctx, conn, cfg, func(_ context.Context, l *line) (Peer, error) {
		ours := cfg.hello(h)
		l.said = ours.Received
		if err := writeHello(l, ours); err != nil {
			return Peer{}, err
		}
		return readHello(l, cfg)
	})
}

// reconnect makes a connection that continues the session.
func (s *Session) reconnect(ctx context.Context) (*line, error) {
	h := wire.Hello{Session: s.number, Local: s.dialer.local, Resume: true, Received: s.received.Load()}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.HelloTimeout, errDialTimeout)
	defer cancel()
	l, peer, err := s.dialer.dial(ctx, &s.cfg, h)
	if err != nil {
		return nil, err
	}
	switch {
	case peer.Peer != s.peer.Peer || peer.Epoch != s.peer.Epoch:
		err = fmt.Errorf("%w: %v has been started again", ErrForgotten, s.peer.Peer)
	case !peer.Resume || peer.Session != s.number:
		err = ErrForgotten
	}
	if err != nil {
		l.sayLast()
		return nil, err
	}
	return l, nil
}

var errDialTimeout = errors.New("the peer could not be reached in time")

// refused reports whether nobody listens.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// final reports whether err, of an attempt to continue a session, will not
// change.
func final(err error) bool {
	_, version := errors.AsType[*wire.VersionError](err)
	_, closed := errors.AsType[*CloseError](err)
	_, stranger := errors.AsType[*refusal](err)
	return version || closed || stranger || errors.Is(err, ErrForgotten)
}
