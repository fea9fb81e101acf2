package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsLink publishes to a subscriber in the far process, which has the server
// in it as well: the subscriber reaches it without a socket, so that a message
// crosses one socket, like everybody else's. The server listens on TCP only.
//
// Core NATS drops the messages of a subscriber that is behind. So the
// subscriber says how much it has handled, and the publisher has at most
// windowBytes on the way, which costs a small message per MiB.
type natsLink struct {
	conn    *nats.Conn
	sent    int64         // bytes, as natsBytes counts them
	handled atomic.Int64  // of those, as the subscriber says
	news    chan struct{} // capacity 1: handled has grown
}

// Subjects.
const (
	natsPut    = "put"
	natsEcho   = "echo"
	natsCredit = "credit"
)

// natsReport is after how many bytes the subscriber says what it has handled.
const natsReport = 1 << 20

// natsBytes is what a message counts: one without a body is not nothing.
func natsBytes(body []byte) int64 { return int64(len(body)) + 64 }

func natsPeer() *peer {
	return &peer{label: "NATS", networks: []string{"tcp"}, serve: serveNATS, dial: dialNATS}
}

func dialNATS(_ context.Context, _ place, address string) (carrier, error) {
	conn, err := nats.Connect(address)
	if err != nil {
		return nil, err
	}
	n := &natsLink{conn: conn, news: make(chan struct{}, 1)}
	_, err = conn.Subscribe(natsCredit, func(msg *nats.Msg) {
		n.handled.Store(int64(binary.BigEndian.Uint64(msg.Data)))
		select {
		case n.news <- struct{}{}:
		default:
		}
	})
	return n, errors.Join(err, conn.Flush())
}

func (n *natsLink) send(ctx context.Context, body []byte) error {
	for n.sent-n.handled.Load() > windowBytes-natsReport {
		select {
		case <-n.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := n.conn.Publish(natsPut, body); err != nil {
		return err
	}
	n.sent += natsBytes(body)
	return nil
}

func (n *natsLink) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // it wants a bound
	defer cancel()
	return n.conn.FlushWithContext(ctx)
}

func (n *natsLink) call(_ context.Context, body []byte) error {
	_, err := n.conn.Request(natsEcho, body, 10*time.Second)
	return err
}

func (n *natsLink) close() error {
	n.conn.Close()
	return nil
}

func serveNATS(_ place, m *meter) (string, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return "", err
	}
	s.Start() // ends with the process
	if !s.ReadyForConnections(10 * time.Second) {
		return "", errors.New("the NATS server is not ready after 10s")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return "", err
	}
	var handled, reported int64
	put, err := conn.Subscribe(natsPut, func(msg *nats.Msg) {
		m.handle(msg.Data)
		if handled += natsBytes(msg.Data); handled-reported >= natsReport {
			reported = handled
			conn.Publish(natsCredit, binary.BigEndian.AppendUint64(nil, uint64(handled)))
		}
	})
	if err != nil {
		return "", err
	}
	if err := put.SetPendingLimits(-1, -1); err != nil { // windowBytes is the limit
		return "", err
	}
	if _, err := conn.Subscribe(natsEcho, func(msg *nats.Msg) { msg.Respond(msg.Data) }); err != nil {
		return "", err
	}
	return s.ClientURL(), conn.Flush()
}
