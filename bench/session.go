package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// sessionLink is a session of ours without actors, gateways or CBOR: what
// package channel alone costs.
type sessionLink struct {
	sess    *channel.Session
	e       wire.Envelope
	replies chan struct{} // capacity 1
}

// closeBound is how long the end of a link may take.
const closeBound = 5 * time.Second

func sessionPeer() *peer {
	hub := new(channel.Hub) // of all sessions that this process dials
	return &peer{
		label: sessionName, networks: []string{"unix", "tcp", "tls"}, serve: serveSession,
		dial: func(ctx context.Context, at place, address string) (carrier, error) {
			return dialSession(ctx, hub, at, address)
		},
	}
}

func dialSession(ctx context.Context, hub *channel.Hub, at place, address string) (carrier, error) {
	s := &sessionLink{replies: make(chan struct{}, 1)}
	s.e = wire.Envelope{TTL: wire.DefaultTTL, To: farProc().Actor("receiver"), From: nearProc(at.Serial).Actor(""), Method: putMethod.Name()}
	transports, err := oursOver(at)
	if err != nil {
		return nil, err
	}
	s.sess, err = transports.Dial(ctx, channel.Addr(at.Network+":"+address), channel.Config{
		Hello:  wire.Hello{Peer: nearProc(at.Serial)},
		Handle: func(*channel.Session, *wire.Envelope) { s.replies <- struct{}{} },
		Hub:    hub,
	})
	if err != nil {
		return nil, err
	}
	go s.sess.Run() // close waits for it
	return s, nil
}

func (s *sessionLink) send(ctx context.Context, body []byte) error {
	s.e.Kind, s.e.Body = wire.Send, body
	return s.sess.Send(ctx, &s.e)
}

func (s *sessionLink) flush(context.Context) error { return nil }

func (s *sessionLink) call(ctx context.Context, body []byte) error {
	s.e.Kind, s.e.Body = wire.Call, body
	s.e.Call++
	if err := s.sess.Send(ctx, &s.e); err != nil {
		return err
	}
	select {
	case <-s.replies:
		return nil
	case <-s.sess.Done():
		return errors.New("the session has ended")
	}
}

func (s *sessionLink) close() error {
	s.sess.Abort(net.ErrClosed)
	<-s.sess.Done()
	return nil
}

func serveSession(at place, m *meter) (string, error) {
	transports, err := oursOver(at)
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	l, address, err := transports.Listen(ctx, channel.Addr(at.Network+":"+freshAddress(at)))
	if err != nil {
		return "", err
	}
	hub := new(channel.Hub)
	cfg := channel.Config{
		Hello: wire.Hello{Peer: farProc()}, Hub: hub,
		Take: func(_ *channel.Session, e *wire.Envelope) bool {
			m.handle(e.Body)
			return true
		},
		Handle: func(s *channel.Session, e *wire.Envelope) {
			if e.Kind == wire.Send { // a large one: Take gets the others
				m.handle(e.Body)
				e.Release()
				return
			}
			s.Send(ctx, &wire.Envelope{Kind: wire.Reply, TTL: wire.DefaultTTL, Call: e.Call, To: e.From, From: e.To, Body: e.Body})
		},
	}
	go func() { // ends with the process, like the sessions
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if s, err := hub.Accept(ctx, conn, cfg); err == nil {
					s.Run()
				}
			}()
		}
	}()
	return address.Address(), nil
}
