// Package mtls carries envelopes between hosts: TLS 1.3 in which both sides
// show a certificate of their fleet, over TCP (MS-15). It is a channel.Transport
// for addresses like "tls:10.0.0.7:7000".
//
// A peer is who its certificate says. The handshake of a session gives what the
// peer says of itself to Conn.VerifyPeer, on the side that listens and on the one
// that dials, and a peer that says another name than its certificate is refused.
// Who is refused gets a TLS alert, the same whatever its certificate says; our
// own error says what was wrong. As always in TLS, whoever connects sees our
// certificate, and with it the names of our fleet and host.
//
// There are no session tickets: each connection proves who it is anew. A
// connection that is up stays up when certificates are replaced or expire.
//
// This package links crypto/tls. A program that does not name it, and its
// children, do without.
package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
)

// Config says who we are. One of Files and Credentials is given.
type Config struct {
	// Files are read by New, and again when they have changed: that is looked
	// up at each handshake. While what they hold cannot be used, because it is
	// half-written say, the credentials from before are.
	Files authority.Files

	// Credentials returns what is to be used now. It is asked at each handshake,
	// concurrently, and should not take long.
	Credentials func() (authority.Credentials, error)

	// Under makes the connections that TLS is spoken over; TCP if nil.
	Under channel.Transport

	// Log hears of credentials that are replaced, cannot be read or expire soon:
	// in the last third of their life there is a warning at a handshake, at most
	// one an hour. Nothing is logged if it is nil.
	Log *slog.Logger
}

// Transport speaks TLS. It may be used concurrently, and has nothing to close.
type Transport struct {
	under   channel.Transport
	keys    *keys
	batches *batches
}

// New returns a transport, or why the credentials cannot be used.
func New(cfg Config) (*Transport, error) {
	fromFiles := cfg.Files != (authority.Files{})
	if fromFiles == (cfg.Credentials != nil) {
		return nil, errors.New("mtls: want either Files or Credentials in the Config")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Under == nil {
		cfg.Under = channel.System(channel.SystemConfig{Insecure: true})["tcp"] // TLS is what makes it secure
	}
	ask := cfg.Credentials
	if fromFiles {
		ask = newWatch(cfg.Files, cfg.Log).credentials
	}
	t := &Transport{cfg.Under, &keys{ask: ask, file: cfg.Files.Cert, log: cfg.Log}, new(batches)}
	if _, err := t.keys.now(); err != nil {
		return nil, err
	}
	return t, nil
}

// Dial connects to an address. The handshake is left to whoever gets the
// connection: see Conn.
func (t *Transport) Dial(ctx context.Context, address string) (net.Conn, error) {
	now, err := t.keys.now()
	if err != nil {
		return nil, err
	}
	raw, err := t.under.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	s := newStream(raw)
	return &Conn{Conn: tls.Client(s, now.client), raw: s, batches: t.batches}, nil
}

// Listen listens on an address. It fails if there are no credentials that are
// valid now.
func (t *Transport) Listen(ctx context.Context, address string) (net.Listener, error) {
	if _, err := t.keys.now(); err != nil {
		return nil, err
	}
	l, err := t.under.Listen(ctx, address)
	if err != nil {
		return nil, err
	}
	return listener{l, t.keys.serverConfig(), t.batches}, nil
}

type listener struct {
	net.Listener
	cfg     *tls.Config
	batches *batches
}

// Accept returns as soon as somebody has connected, so that one who goes on to
// say nothing holds up nobody.
func (l listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := newStream(raw)
	return &Conn{Conn: tls.Server(s, l.cfg), raw: s, batches: l.batches}, nil
}
