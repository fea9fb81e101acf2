package channel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// Dial connects to address over t and exchanges hellos. ctx bounds the call,
// not the session.
func Dial(ctx context.Context, t Transport, address string, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	conn, err := t.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return shake(ctx, conn, cfg, func(r *bufio.Reader) (wire.Hello, error) {
		if err := writeHello(conn, cfg.Hello); err != nil {
			return wire.Hello{}, err
		}
		return readHello(r, cfg)
	})
}

// Accept exchanges hellos over a connection that a listener accepted. A peer
// that cfg.Check refuses gets no answer. Accept closes conn if it fails.
func Accept(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	return shake(ctx, conn, cfg, func(r *bufio.Reader) (wire.Hello, error) {
		peer, err := readHello(r, cfg)
		if _, ok := errors.AsType[*wire.VersionError](err); ok {
			conn.Write(wire.AppendClose(nil, 0, wire.CloseVersion, err.Error()))
		}
		if err != nil {
			return wire.Hello{}, err
		}
		return peer, writeHello(conn, cfg.Hello)
	})
}

// shake runs one side's part of the exchange, bounded by ctx and HelloTimeout.
func shake(ctx context.Context, conn net.Conn, cfg Config, exchange func(*bufio.Reader) (wire.Hello, error)) (*Session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.HelloTimeout, errHelloTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	r := bufio.NewReaderSize(conn, readBuffer)
	peer, err := exchange(r)
	if !stop() {
		err = fmt.Errorf("hello: %w", context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return newSession(conn, r, peer, cfg), nil
}

var errHelloTimeout = errors.New("the peer did not say hello in time")

func writeHello(conn net.Conn, h wire.Hello) error {
	b, err := h.Append(nil)
	if err == nil {
		_, err = conn.Write(b)
	}
	return err
}

// readHello reads and checks the peer's hello. Who the peer is comes first:
// a stranger learns nothing, not even our version.
func readHello(r *bufio.Reader, cfg Config) (wire.Hello, error) {
	head, err := r.Peek(wire.FrameHeader)
	if err != nil {
		return wire.Hello{}, helloEOF(err)
	}
	t, n, err := wire.ParseHeader(head, cfg.Hello.Limits)
	if err != nil {
		return wire.Hello{}, fmt.Errorf("hello: %w", err)
	}
	if t != wire.FrameHello && t != wire.FrameClose {
		return wire.Hello{}, fmt.Errorf("hello: %w: the first frame has type %d", wire.ErrFraming, t)
	}
	r.Discard(wire.FrameHeader)
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return wire.Hello{}, helloEOF(err)
	}
	if t == wire.FrameClose {
		return wire.Hello{}, fmt.Errorf("refused by the peer: %w", parseClose(b))
	}
	h, err := wire.ParseHello(b)
	if err != nil {
		return wire.Hello{}, err
	}
	if err := cfg.Check(h); err != nil {
		return wire.Hello{}, err
	}
	return h, h.CheckVersion()
}

func helloEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("hello: the peer closed the connection without a word (refused?): %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("hello: %w", err)
}

// parseClose returns what follows the header of a Close frame as an error.
func parseClose(b []byte) *CloseError {
	return &CloseError{Code: wire.CloseCode(b[8]), Text: string(b[9:])}
}
