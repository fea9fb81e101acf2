package mtls_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/versus"
	"github.com/hyperactor/hyperactor/wire"
)

// BenchmarkRealRoundTrip64B is a call and its answer, against the same bytes
// over crypto/tls as it comes.
func BenchmarkRealRoundTrip64B(b *testing.B) {
	const rounds = 2000
	answered := make(chan struct{}, 1)
	body := make([]byte, 64)
	client := benchSessions(b, func(*channel.Session, *wire.Envelope) { answered <- struct{}{} }, func(s *channel.Session, e *wire.Envelope) {
		s.Send(context.Background(), &wire.Envelope{Kind: wire.Reply, TTL: 8, Call: e.Call, To: e.From, From: e.To, Body: body})
	})
	near, far := barePair(b)
	var echo sync.WaitGroup
	b.Cleanup(func() { near.Close(); echo.Wait() })
	echo.Go(func() {
		defer far.Close()
		io.CopyBuffer(struct{ io.Writer }{far}, struct{ io.Reader }{far}, make([]byte, 64))
	})
	e := wire.Envelope{Kind: wire.Call, TTL: 8, To: procB.Actor("counter"), From: procA.Actor("main"), Method: "counter.add", Body: body}
	var pair versus.Pair
	for b.Loop() {
		pair.Add(func() time.Duration {
			return versus.Each(rounds, func() {
				e.Call++
				client.Send(b.Context(), &e)
				<-answered
			})
		}, func() time.Duration {
			return versus.Each(rounds, func() {
				near.Write(body)
				io.ReadFull(near, body)
			})
		})
	}
	pair.Report(b)
}

func BenchmarkRealStream64KiB(b *testing.B) { stream(b, 64<<10, 2000) }
func BenchmarkRealStream1MiB(b *testing.B)  { stream(b, 1<<20, 200) }

// stream is n messages one way until the last has arrived, against as many
// chunks of that size over crypto/tls as it comes.
func stream(b *testing.B, size, n int) {
	all := make(chan struct{})
	client := benchSessions(b, func(*channel.Session, *wire.Envelope) {}, func(_ *channel.Session, e *wire.Envelope) {
		e.Release()
		if e.Method == "last" {
			all <- struct{}{}
		}
	})
	near, far := barePair(b)
	var sink sync.WaitGroup
	b.Cleanup(func() { near.Close(); sink.Wait() })
	sink.Go(func() {
		defer far.Close()
		chunk := make([]byte, size)
		for i := 1; ; i++ {
			if _, err := io.ReadFull(far, chunk); err != nil {
				return
			}
			if i%n == 0 {
				all <- struct{}{}
			}
		}
	})
	body := make([]byte, size)
	e := wire.Envelope{Kind: wire.Send, TTL: 8, To: procB.Actor("counter"), From: procA.Actor("main"), Method: "next", Body: body}
	last := e
	last.Method = "last"
	var pair versus.Pair
	for b.Loop() {
		pair.Add(func() time.Duration {
			return versus.Time(func() {
				for range n - 1 {
					client.Send(b.Context(), &e)
				}
				client.Send(b.Context(), &last)
				<-all
			}) / time.Duration(n)
		}, func() time.Duration {
			return versus.Time(func() {
				for range n {
					near.Write(body)
				}
				<-all
			}) / time.Duration(n)
		})
	}
	pair.Report(b)
}

// benchSessions joins two sessions over TLS until the end of the benchmark.
func benchSessions(b *testing.B, atA, atB func(*channel.Session, *wire.Envelope)) *channel.Session {
	b.Helper()
	demo := newAuthority(b, "demo")
	alpha := newTransport(b, nil, newHost(b, demo, "alpha", time.Hour).Credentials)
	beta := newTransport(b, nil, newHost(b, demo, "beta", time.Hour).Credentials)
	l, err := beta.Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var far *channel.Session
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err == nil {
			far, err = new(channel.Hub).Accept(b.Context(), conn, sessionConfig(procB, atB))
		}
		if err != nil {
			b.Error(err)
		}
	})
	near, err := channel.Dial(b.Context(), alpha, l.Addr().String(), sessionConfig(procA, atA))
	wg.Wait()
	if err != nil || far == nil {
		b.Fatalf("no session: %v", err)
	}
	wg.Go(func() { near.Run() })
	wg.Go(func() { far.Run() })
	b.Cleanup(func() {
		near.Abort(net.ErrClosed)
		far.Abort(net.ErrClosed)
		wg.Wait()
	})
	return near
}

func sessionConfig(self id.Proc, handle func(*channel.Session, *wire.Envelope)) channel.Config {
	return channel.Config{Hello: wire.Hello{Peer: self}, Handle: handle}
}

// barePair returns the two ends of a connection over crypto/tls.
func barePair(b *testing.B) (near, far net.Conn) {
	b.Helper()
	c := newHost(b, newAuthority(b, "demo"), "beta", time.Hour).Credentials
	tcp := channel.System(channel.SystemConfig{})["tcp"]
	l, err := tcp.Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	raw, err := tcp.Dial(b.Context(), l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	client, server := tls.Client(raw, tlsConfig(nil)), tls.Server(accepted, tlsConfig(&c))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.HandshakeContext(b.Context()); err != nil {
			b.Error(err)
		}
	})
	if err := client.HandshakeContext(b.Context()); err != nil {
		b.Fatal(err)
	}
	wg.Wait()
	return client, server
}
