package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/id"
)

// Conn is a connection over TLS. HandshakeContext comes first, then VerifyPeer,
// when the peer has said who it is; before that nothing it says is to be acted
// upon. It is used like any net.Conn after that.
type Conn struct {
	*tls.Conn
	raw     *stream
	batches *batches
	shaken  atomic.Bool // HandshakeContext has succeeded

	writing sync.Mutex // guards the following, and has one caller at a time write
	owed    int        // how much TryWrite has encrypted that it said it did not take
}

// ErrNotTLS is wrapped by the error about a peer that speaks something else.
var ErrNotTLS = errors.New("the peer does not speak TLS")

// ErrRefused is wrapped by the error about a peer that did not take our
// certificate. Why not, only the peer's log says.
var ErrRefused = errors.New("the peer refused us; its log says why")

// HandshakeContext makes both sides show and check their certificates. ctx
// bounds it. On the side that dials it succeeds before the peer has checked ours:
// that the peer refuses it shows when something is read.
//
// The error has the peer's address and wraps one of package authority if the
// peer's certificate was not taken.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	err := c.Conn.HandshakeContext(ctx)
	if err == nil {
		c.shaken.Store(true)
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("tls with %v: %w", c.RemoteAddr(), explain(err))
}

// explain puts into words what crypto/tls knows by its types.
func explain(err error) error {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w: %w", ErrNotTLS, err)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the peer closed the connection during the handshake (does it speak TLS?): %w", io.ErrUnexpectedEOF)
	}
	return err
}

// Peer returns whom the peer's certificate speaks for, after the handshake.
func (c *Conn) Peer() (authority.Name, error) {
	state := c.ConnectionState()
	if !state.HandshakeComplete {
		return authority.Name{}, fmt.Errorf("tls with %v: there was no handshake", c.RemoteAddr())
	}
	return authority.NameOf(state.PeerCertificates[0])
}

// VerifyPeer returns an error, which wraps authority.ErrAnother, unless the
// peer's certificate speaks for p, or for all procs of its host if p has no name.
func (c *Conn) VerifyPeer(p id.Proc) error {
	name, err := c.Peer()
	if err != nil {
		return err
	}
	if !name.Covers(p) {
		return fmt.Errorf("tls with %v: %w: the peer says that it is %v, its certificate says %v", c.RemoteAddr(), authority.ErrAnother, p, name)
	}
	return nil
}

// Read reads what the peer wrote. It returns io.EOF when the peer has said that
// this is all, with CloseWrite, and another error if the connection just ends. A
// peer that refuses us says so here.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		err = c.readError(err)
	}
	return n, err
}

func (c *Conn) readError(err error) error {
	if err == io.EOF && c.raw.ended {
		return io.ErrUnexpectedEOF
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return fmt.Errorf("tls with %v: %w", c.RemoteAddr(), explain(err))
	}
	return err
}

// Close closes the connection at once. The peer sees that it broke off unless
// CloseWrite came before: telling it now could mean to wait for it.
func (c *Conn) Close() error { return c.raw.Close() }
