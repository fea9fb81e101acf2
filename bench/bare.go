package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"time"
)

// bare is a socket and nothing else: no framing, no addressing, no errors. All
// messages have the size that both sides know. It says how far the machine is
// from what the others do.
type bare struct {
	conn net.Conn
	out  io.Writer // conn, or a buffer in front of it
	back []byte
}

// bareBuffer is what a batched sender collects before it writes, and what one
// read can bring.
const bareBuffer = 64 << 10

// barePeer sends with a write for each message or, batched, with one for
// bareBuffer bytes of them. The receiver is the same.
func barePeer(label string, batched bool) *peer {
	return &peer{
		label: label, networks: []string{"unix", "tcp", "tls"}, serve: serveBare,
		only: func(s shape) bool { return !batched || !s.Calls },
		dial: func(ctx context.Context, at place, address string) (carrier, error) {
			conn, err := dial(ctx, at.Network, address)
			if err != nil {
				return nil, err
			}
			b := &bare{conn: conn, out: conn, back: make([]byte, at.Size)}
			if batched {
				b.out = bufio.NewWriterSize(conn, bareBuffer)
			}
			return b, nil
		},
	}
}

func (b *bare) send(_ context.Context, body []byte) error {
	_, err := b.out.Write(body)
	return err
}

func (b *bare) flush(context.Context) error {
	if w, ok := b.out.(*bufio.Writer); ok {
		return w.Flush()
	}
	return nil
}

func (b *bare) call(_ context.Context, body []byte) error {
	if _, err := b.conn.Write(body); err != nil {
		return err
	}
	_, err := io.ReadFull(b.conn, b.back)
	return err
}

func (b *bare) close() error { return b.conn.Close() }

func serveBare(at place, m *meter) (string, error) {
	l, err := listen(at)
	if err != nil {
		return "", err
	}
	go func() { // ends with the process, like the connections
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if at.Calls {
				go echoBare(conn, at.Size)
			} else {
				go readBare(conn, at.Size, m)
			}
		}
	}()
	return l.Addr().String(), nil
}

// readBare reads to the end. A message that fits is looked at in the buffer,
// a larger one is read into a buffer of its size.
func readBare(conn net.Conn, size int, m *meter) {
	if size >= bareBuffer {
		b := make([]byte, size)
		for {
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			m.handle(b)
		}
	}
	in := bufio.NewReaderSize(conn, bareBuffer)
	for {
		b, err := in.Peek(size)
		if err != nil {
			return
		}
		m.handle(b)
		in.Discard(size)
	}
}

func echoBare(conn net.Conn, size int) {
	b := make([]byte, size)
	for {
		if _, err := io.ReadFull(conn, b); err != nil {
			return
		}
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// memcpy copies each message once, within this process: the bound for what
// shares memory. What it copies to is as large as a message.
type memcpy struct{}

func (memcpy) name() string         { return memcpyName }
func (memcpy) carries(s shape) bool { return s.Network != "local" && !s.Calls }

func (memcpy) open(_ context.Context, s shape) (*link, error) {
	m := newMeter()
	return &link{carrier: &copier{m: m, to: make([]byte, s.Size)}, far: nearby{m}}, nil
}

type copier struct {
	m  *meter
	to []byte
}

func (c *copier) send(_ context.Context, body []byte) error {
	copy(c.to, body)
	c.m.handle(c.to)
	return nil
}

func (c *copier) flush(context.Context) error        { return nil }
func (c *copier) call(context.Context, []byte) error { return errNoCalls }
func (c *copier) close() error                       { return nil }

// nearby is a far side that is in this process: it uses nothing of its own.
type nearby struct{ m *meter }

func (n nearby) expect(_ context.Context, size int) error {
	n.m.size.Store(int64(size))
	return nil
}

func (n nearby) await(ctx context.Context, want int64, patience time.Duration) (tally, error) {
	return n.m.await(ctx, want, patience), nil
}

func (nearby) usage(context.Context, bool) (usage, error) { return usage{}, nil }
func (nearby) profile(context.Context, string) error      { return nil }
func (nearby) close() error                               { return nil }
