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
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
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
	// one an hour. Nil: warnings and errors as text on stderr.
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
	if cfg.Under == nil {
		cfg.Under = tcp()
	}
	t := &Transport{cfg.Under, newKeys(cfg, time.Now), new(batches)}
	if _, err := t.keys.now(context.Background()); err != nil {
		return nil, err
	}
	return t, nil
}

func newKeys(cfg Config, clock func() time.Time) *keys {
	log := orStderr(cfg.Log)
	ask := cfg.Credentials
	if ask == nil {
		ask = newWatch(cfg.Files, log).credentials
	}
	return &keys{
		ask:  func(context.Context) (authority.Credentials, error) { return ask() },
		file: cfg.Files.Cert, clock: clock, log: log,
	}
}

// orStderr returns a logger for those who have named none: that certificates
// expire soon somebody has to see.
func orStderr(log *slog.Logger) *slog.Logger {
	if log != nil {
		return log
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// CheckSelf returns an error unless our certificate speaks for p, which wraps
// authority.ErrAnother: every peer would refuse us, and could not tell us why.
func (t *Transport) CheckSelf(ctx context.Context, p id.Proc) error {
	now, err := t.keys.now(ctx)
	if err != nil {
		return err
	}
	if name := now.creds.Name; !name.Covers(p) {
		return fmt.Errorf("mtls: our own credentials%s: %w: it says %v, and we are %v", t.keys.from(), authority.ErrAnother, name, p)
	}
	return nil
}

// tcp returns what TLS makes secure.
func tcp() channel.Transport {
	return channel.System(channel.SystemConfig{Insecure: true})["tcp"]
}

// Dial connects to an address. The handshake is left to whoever gets the
// connection: see Conn.
func (t *Transport) Dial(ctx context.Context, address string) (net.Conn, error) {
	now, err := t.keys.now(ctx)
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
	if _, err := t.keys.now(ctx); err != nil {
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
