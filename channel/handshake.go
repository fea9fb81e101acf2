package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// shake runs one side's part of the exchange of hellos, bounded by ctx and
// HelloTimeout. It closes conn if it fails.
func shake(ctx context.Context, conn net.Conn, cfg *Config, exchange func(context.Context, *line) (Peer, error)) (*line, Peer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.HelloTimeout, errHelloTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	var peer Peer
	err := secure(ctx, conn)
	l := newLine(conn, cfg.Hub)
	if err == nil {
		peer, err = exchange(ctx, l)
	}
	if !stop() {
		err = fmt.Errorf("hello: %w", context.Cause(ctx))
	}
	if err != nil {
		l.in.release()
		conn.Close()
		return nil, peer, err
	}
	l.peer = peer.Hello
	return l, peer, nil
}

var errHelloTimeout = errors.New("the peer did not say hello in time")

// secure runs the handshake of a connection that has one of its own.
func secure(ctx context.Context, conn net.Conn) error {
	c, ok := conn.(interface {
		HandshakeContext(ctx context.Context) error
	})
	if !ok {
		return nil
	}
	return c.HandshakeContext(ctx)
}

// hello completes what we say with what is the same on every connection.
func (c *Config) hello(h wire.Hello) wire.Hello {
	h.Version, h.Peer, h.Epoch, h.Token = c.Hello.Version, c.Hello.Peer, c.Hello.Epoch, c.Hello.Token
	h.Limits, h.Addr, h.To = c.Hello.Limits, c.Hello.Addr, c.Hello.To
	h.ResumeFor, h.Window = c.ResumeFor, uint32(min(c.QueueBytes, 1<<31))
	return h
}

// prover is a connection that proves who the peer is (MS-15). It goes by that,
// and needs no token. A proc without a name stands for all of its host.
type prover interface {
	VerifyPeer(p id.Proc) error
}

func writeHello(l *line, h wire.Hello) error {
	if _, ok := l.Conn.(prover); ok {
		h.Token = nil // the peer is of our fleet, but not of our host
	}
	b, err := h.Append(nil)
	if err != nil {
		return err
	}
	if n, err := l.Write(b); n < len(b) {
		return err
	}
	return nil // with or without an error: the peer may have it
}

// readHello reads and checks the peer's hello. Who the peer is comes first:
// a stranger learns nothing, not even our version. Nothing larger than a hello
// is read before that.
func readHello(l *line, cfg *Config) (Peer, error) {
	t, b, err := firstFrame(l, cfg)
	if err != nil {
		return Peer{}, err
	}
	if t == wire.FrameClose {
		return Peer{}, fmt.Errorf("refused by the peer: %w", parseClose(b))
	}
	h, err := wire.ParseHello(b)
	if err != nil {
		return Peer{}, err
	}
	peer := Peer{Hello: h}
	if c, ok := l.Conn.(prover); ok {
		if err := c.VerifyPeer(h.Peer); err != nil {
			return Peer{}, &refusal{err}
		}
		peer.Proven, peer.Alone = true, c.VerifyPeer(id.Proc{Host: h.Peer.Host}) != nil
	}
	if err := cfg.Check(peer); err != nil {
		return Peer{}, &refusal{err}
	}
	return peer, h.CheckVersion()
}

// firstFrame reads the frame that begins a connection: a hello, or a Close from
// somebody who does not want us.
func firstFrame(l *line, cfg *Config) (wire.FrameType, []byte, error) {
	for need := wire.FrameHeader; ; {
		b := l.in.bytes()
		if len(b) < need {
			if err := l.in.fill(); err != nil {
				return 0, nil, helloEOF(err)
			}
			continue
		}
		t, n, err := wire.ParseHeader(b, cfg.Hello.Limits)
		if err != nil {
			return 0, nil, fmt.Errorf("hello: %w", err)
		}
		if t != wire.FrameHello && t != wire.FrameClose {
			return 0, nil, fmt.Errorf("hello: %w: the first frame has type %d", wire.ErrFraming, t)
		}
		if need = wire.FrameHeader + n; len(b) >= need {
			l.in.use(need)
			return t, b[wire.FrameHeader:need], nil
		}
	}
}

func helloEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the latter over TLS
		return fmt.Errorf("hello: the peer closed the connection without a word: it refused us, "+
			"or does not speak version %d of the protocol: %w", wire.Version, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("hello: %w", err)
}

// refusal is an error of those who look at the peer.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// parseClose returns what follows the header of a Close frame as an error.
func parseClose(b []byte) *CloseError {
	return &CloseError{Code: wire.CloseCode(b[8]), Text: string(b[9:])}
}
