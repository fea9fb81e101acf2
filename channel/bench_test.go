package channel_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

var (
	procA = id.Proc{Host: "alpha", Name: "a", UID: 1}
	procB = id.Proc{Host: "alpha", Name: "b", UID: 2}
)

// BenchmarkRealRoundTrip64B is a call and its answer over a unix socket,
// against the same bytes over the same kind of socket without a session. Run
// it with -cpu 1 to see the cost of the software.
func BenchmarkRealRoundTrip64B(b *testing.B) {
	near, far := realPair(b, "unix")
	bare := bareRoundTrip(b, near, far)
	near, far = realPair(b, "unix")
	answered := make(chan struct{}, 1)
	body := make([]byte, 64)
	client, _ := sessions(b, near, far,
		func(s *channel.Session, e *wire.Envelope) { answered <- struct{}{} },
		func(s *channel.Session, e *wire.Envelope) {
			s.Send(context.Background(), &wire.Envelope{Kind: wire.Reply, TTL: 8, Call: e.Call, To: e.From, From: e.To, Body: body})
		})
	e := wire.Envelope{Kind: wire.Call, TTL: 8, To: procB.Actor("counter"), From: procA.Actor("main"), Method: "counter.add", Body: body}
	b.ReportAllocs()
	for b.Loop() {
		e.Call++
		client.Send(b.Context(), &e)
		<-answered
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bare, "x-bare")
	b.ReportMetric(bare, "bare-ns/op")
}

// bareRoundTrip returns the nanoseconds of 64 bytes there and back.
func bareRoundTrip(b *testing.B, near, far net.Conn) float64 {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer near.Close()
	wg.Go(func() {
		defer far.Close()
		io.CopyBuffer(struct{ io.Writer }{far}, struct{ io.Reader }{far}, make([]byte, 256))
	})
	const rounds = 20000
	buf := make([]byte, 64)
	start := time.Now()
	for range rounds {
		near.Write(buf)
		io.ReadFull(near, buf)
	}
	return float64(time.Since(start).Nanoseconds()) / rounds
}

// BenchmarkRealSend is one-way messages until the last has arrived.
func BenchmarkRealSend(b *testing.B) {
	for _, size := range []int{64, 64 << 10, 1 << 20} {
		b.Run(byteSize(size), func(b *testing.B) {
			near, far := realPair(b, "unix")
			var last sync.WaitGroup
			last.Add(1)
			client, _ := sessions(b, near, far, func(*channel.Session, *wire.Envelope) {}, func(s *channel.Session, e *wire.Envelope) {
				if e.Kind == wire.Call {
					last.Done()
				}
			})
			e := wire.Envelope{Kind: wire.Send, TTL: 8, To: procB.Actor("counter"), From: procA.Actor("main"), Method: "counter.add", Body: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				client.Send(b.Context(), &e)
			}
			end := e
			end.Kind = wire.Call
			client.Send(b.Context(), &end)
			last.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func byteSize(n int) string {
	return map[int]string{64: "64B", 64 << 10: "64KiB", 1 << 20: "1MiB"}[n]
}

// realPair returns the two ends of a connection, unix or tcp.
func realPair(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	tr := channel.System(channel.SystemConfig{})[network]
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(shortDir(t), "s")
	}
	l, err := tr.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = tr.Dial(t.Context(), l.Addr().String()); err == nil {
		far, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

type handler func(*channel.Session, *wire.Envelope)

// only returns a transport that makes one connection, to a peer on this machine:
// when that is lost, so is the session.
func only(conn net.Conn) channel.Transport {
	f := make(fixed, 1)
	f <- conn
	return f
}

// fixed is the connections that are left.
type fixed chan net.Conn

func (f fixed) Dial(context.Context, string) (net.Conn, error) {
	select {
	case c := <-f:
		return c, nil
	default:
		return nil, syscall.ECONNREFUSED
	}
}

func (f fixed) Listen(context.Context, string) (net.Listener, error) { return nil, net.ErrClosed }
func (f fixed) Local() bool                                          { return true }

// sessions says hello over a connection and runs both sessions until the end
// of the test.
func sessions(t testing.TB, near, far net.Conn, a, b handler, change ...func(*channel.Config)) (*channel.Session, *channel.Session) {
	t.Helper()
	ca := channel.Config{Hello: wire.Hello{Peer: procA}, Handle: a}
	cb := channel.Config{Hello: wire.Hello{Peer: procB}, Handle: b}
	for _, f := range change {
		f(&ca)
		f(&cb)
	}
	var sb *channel.Session
	var wg sync.WaitGroup
	wg.Go(func() { sb, _ = new(channel.Hub).Accept(t.Context(), far, cb) })
	sa, err := channel.Dial(t.Context(), only(near), "", ca)
	wg.Wait()
	if err != nil || sb == nil {
		t.Fatalf("no sessions: %v", err)
	}
	wg.Go(func() { sa.Run() })
	wg.Go(func() { sb.Run() })
	t.Cleanup(func() {
		sa.Abort(net.ErrClosed)
		sb.Abort(net.ErrClosed)
		wg.Wait()
	})
	return sa, sb
}
