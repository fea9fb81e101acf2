package gateway_test

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// pipe is a Local that hands what it gets to a goroutine, as an actor does.
type pipe chan wire.Envelope

func (p pipe) Deliver(e *wire.Envelope) { p <- *e }
func (pipe) Gone(id.Proc, error)        {}
func (pipe) Cut(id.Proc, error)         {}

// BenchmarkRealCall64B is a call from the proc of one gateway to that of
// another over a unix socket, against the same bytes over a bare one.
func BenchmarkRealCall64B(b *testing.B) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bare := bareRoundTrip(b, filepath.Join(dir, "bare"))
	var ends [2]struct {
		id id.Proc
		in pipe
		*gateway.Gateway
	}
	for i := range ends {
		n := &ends[i]
		n.id, n.in = id.Proc{Host: "h", Name: "p", UID: uint64(i + 1)}, make(pipe, 16)
		n.Gateway = gateway.New(gateway.Config{Self: n.id, Transports: channel.System(channel.SystemConfig{})})
		defer n.Close(b.Context())
		n.Bind(n.id, n.in)
	}
	client, server := &ends[0], &ends[1]
	addr, err := server.Listen(b.Context(), channel.Addr("unix:"+filepath.Join(dir, "s")))
	if err != nil {
		b.Fatal(err)
	}
	client.Route(server.id, addr)
	var wg sync.WaitGroup
	wg.Go(func() {
		for e := range server.in {
			e.Kind, e.To, e.From = wire.Reply, e.From, e.To
			server.Send(b.Context(), &e)
		}
	})
	body := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		client.Send(b.Context(), &wire.Envelope{Kind: wire.Call, Call: 1, To: server.id.Actor("a"), From: client.id.Actor("b"), Method: "m.add", Body: body})
		<-client.in
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bare, "x-bare")
	close(server.in)
	wg.Wait()
}

// bareRoundTrip returns the nanoseconds of 64 bytes there and back.
func bareRoundTrip(b *testing.B, path string) float64 {
	tr := channel.System(channel.SystemConfig{})["unix"]
	l, err := tr.Listen(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	near, err := tr.Dial(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
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
