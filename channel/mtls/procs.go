package mtls

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
)

// Procs gives each child process of a host a certificate of its own, so that it
// can talk to other hosts without ours (MS-15). It is what the front door takes
// as Config.Identity.
//
// A proc asks for a certificate when it first needs one, over its control
// connection, and again at a handshake when half of its life is over. It makes a
// new key each time and tells its host the public one: the private key leaves
// its process never. It does not tell who it is, the host knows whom it spawned.
type Procs struct {
	// Issuer returns the issuer of the host, as does, for one that is kept in
	// files, authority.IssuerFiles("/etc/hyper").Issuer. The host calls it at its
	// start and whenever a proc asks, concurrently; procs do not call it.
	Issuer func() (*authority.Issuer, error)

	// Valid is how long a certificate is valid; 10 min if zero. The key of a
	// proc ends with it: this bounds what can be done with one that was stolen.
	// Half of it is also how far a peer's clock may be ahead.
	Valid time.Duration

	// Log of a proc hears of certificates that cannot be replaced. Nil: warnings
	// and errors as text on stderr.
	Log *slog.Logger

	clock func() time.Time // of a proc; nil is time.Now
}

const defaultValid = 10 * time.Minute

// Check returns an error if the host's issuer cannot be used.
func (p Procs) Check() error {
	_, err := p.issuer()
	return err
}

func (p Procs) issuer() (*authority.Issuer, error) {
	i, err := p.Issuer()
	if err == nil && time.Now().After(i.Until()) {
		err = fmt.Errorf("%w, on %s", authority.ErrExpired, i.Until().UTC().Format(time.RFC3339))
	}
	if err != nil {
		return nil, fmt.Errorf("mtls: the issuer of our host: %w", err)
	}
	return i, nil
}

// Issue certifies, in the host, that whoever has the private key of public is
// proc.
func (p Procs) Issue(proc id.Proc, public []byte) ([]byte, error) {
	i, err := p.issuer()
	if err != nil {
		return nil, err
	}
	return i.Grant(proc, public, cmp.Or(p.Valid, defaultValid))
}

// Transports returns, in a proc, the transport "tls". ask has the proc's host
// call Issue and returns what that did.
func (p Procs) Transports(proc id.Proc, ask func(ctx context.Context, public []byte) ([]byte, error)) channel.Transports {
	log, clock := orStderr(p.Log), p.clock
	if clock == nil {
		clock = time.Now
	}
	o := &own{proc: proc, ask: ask, clock: clock, log: log, turn: make(chan struct{}, 1)}
	return channel.Transports{"tls": &Transport{tcp(), &keys{ask: o.credentials, clock: clock, log: log}, new(batches)}}
}

// own is the credentials of the proc that we are.
type own struct {
	proc  id.Proc
	ask   func(ctx context.Context, public []byte) ([]byte, error)
	clock func() time.Time
	log   *slog.Logger

	turn    chan struct{} // has room for one, who owns the following
	current authority.Credentials
	renew   time.Time // when half of the life of current is over
}

// askBound is how long the host may take to answer.
const askBound = 2 * time.Second

// credentials returns what is to be used now. One caller at a time asks the
// host; those that come meanwhile use what it is given.
func (o *own) credentials(ctx context.Context) (authority.Credentials, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return authority.Credentials{}, context.Cause(ctx)
	}
	if o.clock().Before(o.renew) {
		return o.current, nil
	}
	err := o.get(ctx)
	if err != nil && len(o.current.Chain) > 0 {
		o.log.Warn("our host does not renew our certificate", "name", o.current.Name.String(), "err", err)
		err = nil // the one from before is used while it is valid
	}
	return o.current, err
}

// get makes a key and has the host certify it.
func (o *own) get(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askBound, fmt.Errorf("our host did not answer within %v", askBound))
	defer cancel()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	grant, err := o.ask(ctx, public)
	if err != nil {
		return fmt.Errorf("certificate for %v: %w", o.proc, err)
	}
	c, err := authority.Granted(key, grant)
	if err == nil && c.Name != authority.ProcName(c.Name.Fleet, o.proc) {
		err = fmt.Errorf("%w: it says %v", authority.ErrAnother, c.Name)
	}
	if err != nil {
		return fmt.Errorf("certificate for %v: %w", o.proc, err)
	}
	now := o.clock().Round(0) // by the clock that certificates go by, also after the machine slept
	_, until := c.Valid()
	o.current, o.renew = c, now.Add(until.Sub(now)/2)
	return nil
}
