package channel_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// raw says hello by hand and returns the stream, with a session at its other
// end.
func raw(t *testing.T, in *inbox) (net.Conn, *channel.Session, func() error) {
	t.Helper()
	near, far := memPair(t, plain)
	cfg := channel.Config{Hello: wire.Hello{Peer: procB}, Handle: in.handle}
	hello, err := wire.Hello{Version: wire.Version, Peer: procA, Session: 1}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	near.Write(hello)
	s, err := new(channel.Hub).Accept(t.Context(), far, cfg)
	if err != nil {
		t.Fatal(err)
	}
	readFrame(near)
	result := make(chan error, 1)
	go func() { result <- s.Run() }()
	return near, s, func() error { near.Close(); return <-result }
}

func readFrame(c net.Conn) (wire.FrameType, []byte) {
	head := make([]byte, wire.FrameHeader)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, nil
	}
	b := make([]byte, binary.BigEndian.Uint32(head)-1)
	io.ReadFull(c, b)
	return wire.FrameType(head[4]), b
}

func dataFrame(seq, ack uint64, payload []byte) []byte {
	return append(wire.AppendData(nil, len(payload), seq, ack, 0), payload...)
}

// MS-8.
func TestMalformedMessageCostsItsSenderAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var in inbox
		near, s, end := raw(t, &in)
		e := message(wire.Call, 9, "x")
		e.Method = "no good"
		near.Write(dataFrame(1, 0, e.Append(nil)))
		typ, b := readFrame(near)
		var dec wire.Decoder
		back, err := dec.Decode(b[18:])
		if typ != wire.FrameData || err != nil || back.Kind != wire.Return || back.Reason != wire.Malformed || back.Call != 9 || back.To != e.From {
			t.Errorf("type %d, %+v, %v", typ, back, err)
		}
		near.Write(dataFrame(2, 1, []byte("nonsense")))
		near.Write(dataFrame(3, 1, message(wire.Send, 1, "fine").Append(nil)))
		synctest.Wait()
		if got := in.calls(); !slices.Equal(got, upTo(1)) || s.Status().Malformed != 2 {
			t.Errorf("got %v, malformed %d", got, s.Status().Malformed)
		}
		end()
	})
}

// MS-8.
func TestBrokenFramingEndsTheSession(t *testing.T) {
	good := message(wire.Send, 1, "").Append(nil)
	hello, _ := wire.Hello{Peer: procA}.Append(nil)
	for name, stream := range map[string][]byte{
		"garbage":          []byte("GET / HTTP/1.1\r\n\r\n"),
		"unknown type":     {0, 0, 0, 1, 99},
		"too long":         {0xff, 0xff, 0xff, 0xff, byte(wire.FrameData)},
		"empty":            {0, 0, 0, 0, byte(wire.FrameAck)},
		"a gap":            dataFrame(2, 0, good),
		"a repetition":     append(dataFrame(1, 0, good), dataFrame(1, 0, good)...),
		"not sent, acked":  wire.AppendAck(nil, 1),
		"second hello":     hello,
		"two closes":       wire.AppendClose(wire.AppendClose(nil, 0, wire.CloseDone, ""), 0, wire.CloseDone, ""),
		"short data":       {0, 0, 0, 3, byte(wire.FrameData), 1, 2},
		"long ack":         {0, 0, 0, 10, byte(wire.FrameAck), 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"a close too long": append([]byte{0, 1, 0, 0, byte(wire.FrameClose)}, make([]byte, 70000)...),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var in inbox
				near, s, end := raw(t, &in)
				near.Write(stream)
				<-s.Done()
				if err := end(); !errors.Is(err, wire.ErrFraming) && name != "two closes" {
					t.Errorf("got %v, want ErrFraming", err)
				}
			})
		})
	}
}

// MS-6, MS-8.
func TestHello(t *testing.T) {
	accept := func(t *testing.T, h wire.Hello, cfg channel.Config) (dialed, accepted error) {
		near, far := memPair(t, plain)
		cfg.Hello.Peer = procB
		var wg sync.WaitGroup
		wg.Go(func() { _, accepted = new(channel.Hub).Accept(t.Context(), far, cfg) })
		_, dialed = channel.Dial(t.Context(), only(near), "", channel.Config{Hello: h})
		wg.Wait()
		return dialed, accepted
	}
	synctest.Test(t, func(t *testing.T) {
		dialed, accepted := accept(t, wire.Hello{Version: 7, Peer: procA}, channel.Config{})
		for _, err := range []error{dialed, accepted} {
			if err == nil || !strings.Contains(err.Error(), "version 7") || !strings.Contains(err.Error(), "version 2 ") {
				t.Errorf("%v does not name both versions", err)
			}
		}
		refusal := errors.New("who are you")
		dialed, accepted = accept(t, wire.Hello{Version: 7, Peer: procA}, channel.Config{Check: func(channel.Peer) error { return refusal }})
		if !errors.Is(accepted, refusal) || dialed == nil || strings.Contains(dialed.Error(), "version 7") {
			t.Errorf("a stranger: %v and %v", dialed, accepted)
		}
		_, accepted = accept(t, wire.Hello{}, channel.Config{})
		if !errors.Is(accepted, wire.Malformed) {
			t.Errorf("a hello without a name: %v", accepted)
		}
		dialed, _ = accept(t, wire.Hello{Peer: procA, Token: make([]byte, wire.MaxHello)}, channel.Config{})
		if !errors.Is(dialed, wire.TooLarge) {
			t.Errorf("a long hello: %v", dialed)
		}
	})
}

// MS-8.
func TestHelloIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		defer near.Close()
		start := time.Now()
		near.Write([]byte{0, 0, 1})
		if _, err := new(channel.Hub).Accept(t.Context(), far, channel.Config{Hello: wire.Hello{Peer: procB}}); err == nil || time.Since(start) != 5*time.Second {
			t.Errorf("a silent peer: %v after %v", err, time.Since(start))
		}
		near, far = memPair(t, plain)
		defer near.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("not interested")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := new(channel.Hub).Accept(ctx, far, channel.Config{Hello: wire.Hello{Peer: procB}}); !errors.Is(err, cause) {
			t.Errorf("a silent peer: %v", err)
		}
		near, far = memPair(t, plain)
		defer near.Close()
		near.Write([]byte{0, 0x10, 0x02, 0, byte(wire.FrameHello)})
		if _, err := new(channel.Hub).Accept(t.Context(), far, channel.Config{Hello: wire.Hello{Peer: procB}}); !errors.Is(err, wire.ErrFraming) {
			t.Errorf("a hello of a megabyte: %v", err)
		}
	})
}
