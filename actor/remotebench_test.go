package actor_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/versus"
)

// sink is the actor that others send bytes to.
type sink struct{ bytes int }

type blob struct {
	Seq  uint64
	Data []byte
}

var (
	sinkPut     = actor.OnSend("sink.put", func(s *sink, _ context.Context, b []byte) error { s.bytes += len(b); return nil })
	sinkPutBlob = actor.OnSend("sink.blob", func(s *sink, _ context.Context, b blob) error { s.bytes += len(b.Data); return nil })
	sinkSum     = actor.On("sink.sum", func(s *sink, _ context.Context, b []byte) (int, error) { return s.bytes, nil })

	sinkType = actor.Define("sink", func(context.Context, actor.None) (*sink, error) { return &sink{}, nil }, sinkPut, sinkPutBlob, sinkSum)
)

// overSocket starts two procs with a gateway each, joined by a unix socket, and
// a sink in the second. It returns the ctx of the first.
func overSocket(tb testing.TB, observe *actor.Observer) (context.Context, actor.Ref[*sink]) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "actor")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	var procs [2]*actor.Proc
	var gateways [2]*gateway.Gateway
	for i, name := range []string{"here", "there"} {
		self, err := id.NewProc("bench", name)
		if err != nil {
			tb.Fatal(err)
		}
		gw := gateway.New(gateway.Config{Self: self, Transports: channel.System(channel.SystemConfig{})})
		tb.Cleanup(func() { gw.Close(context.Background()) })
		p, err := actor.NewProc(actor.Config{ID: self, Gateway: gw, Types: []actor.AnyType{sinkType}, Observe: observe})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { p.Stop(context.Background(), time.Minute) })
		procs[i], gateways[i] = p, gw
	}
	addr, err := gateways[1].Listen(tb.Context(), channel.Addr("unix:"+filepath.Join(dir, "s")))
	if err != nil {
		tb.Fatal(err)
	}
	gateways[0].Route(procs[1].ID(), addr)
	ctx := procs[0].Context(tb.Context())
	ref, err := sinkType.Spawn(ctx, procs[1].ID(), "sink", actor.None{})
	if err != nil {
		tb.Fatal(err)
	}
	return ctx, ref
}

// BenchmarkRealRemoteSend sends one way over a unix socket, until the last
// message is handled; both procs are in this process.
func BenchmarkRealRemoteSend(b *testing.B) {
	ctx, ref := overSocket(b, nil)
	small, large := make([]byte, 64), make([]byte, 1024)
	for _, msg := range []struct {
		name string
		send func() error
	}{
		{"64B", func() error { return sinkPut.Send(ctx, ref, small) }},
		{"64B-struct", func() error { return sinkPutBlob.Send(ctx, ref, blob{1, small}) }},
		{"1KiB", func() error { return sinkPut.Send(ctx, ref, large) }},
	} {
		b.Run(msg.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := msg.send(); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := sinkSum.Call(ctx, ref, nil); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mmsg/s")
		})
	}
}

// BenchmarkRealRemoteCall compares a call over a unix socket with as many bytes
// there and back over a bare one.
func BenchmarkRealRemoteCall(b *testing.B) {
	ctx, ref := overSocket(b, nil)
	near, far := socketPair(b)
	go io.CopyBuffer(struct{ io.Writer }{far}, struct{ io.Reader }{far}, make([]byte, 256))
	msg, buf := make([]byte, 64), make([]byte, 64)
	var v versus.Pair
	const batch = 2000
	b.ReportAllocs()
	for b.Loop() {
		v.Add(func() time.Duration {
			return versus.Each(batch, func() {
				if _, err := sinkSum.Call(ctx, ref, msg); err != nil {
					b.Fatal(err)
				}
			})
		}, func() time.Duration {
			return versus.Each(batch, func() {
				near.Write(buf)
				io.ReadFull(near, buf)
			})
		})
	}
	v.Report(b)
}

// socketPair returns the two ends of a unix connection, which end with the benchmark.
func socketPair(b *testing.B) (near, far net.Conn) {
	b.Helper()
	tr := channel.System(channel.SystemConfig{})["unix"]
	dir, err := os.MkdirTemp("", "actor")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := tr.Listen(b.Context(), filepath.Join(dir, "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if near, err = tr.Dial(b.Context(), filepath.Join(dir, "bare")); err != nil {
		b.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}
