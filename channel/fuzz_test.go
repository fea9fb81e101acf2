package channel_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// FuzzStream gives a session whatever comes after hello: it ends, or waits for
// more, and hands over only what was sent in order (MS-8).
func FuzzStream(f *testing.F) {
	good := message(wire.Send, 1, "x").Append(nil)
	f.Add(dataFrame(1, 0, good))
	f.Add(slices.Concat(dataFrame(1, 0, good), dataFrame(1, 0, good), dataFrame(2, 0, good)))
	f.Add(slices.Concat(wire.AppendPing(nil, wire.FramePing, 0, 1), wire.AppendKeep(nil, 0, true), wire.AppendAck(nil, 0)))
	f.Add(wire.AppendClose(nil, 0, wire.CloseDone, "bye"))
	f.Add(wire.AppendClose(nil, 0, wire.CloseAborted, ""))
	f.Add([]byte{0x3f, 0xff, 0xff, 0xff, byte(wire.FrameData)})
	f.Fuzz(func(t *testing.T, stream []byte) {
		synctest.Test(t, func(t *testing.T) {
			handed := uint64(0)
			near, far := memPair(t, plain)
			hello, _ := wire.Hello{Version: wire.Version, Peer: procA, Session: 1}.Append(nil)
			near.Write(hello)
			s, err := new(channel.Hub).Accept(t.Context(), far, channel.Config{
				Hello: wire.Hello{Peer: procB}, Handle: func(*channel.Session, *wire.Envelope) { handed++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { s.Run(); close(done) }()
			near.Write(stream)
			near.Close()
			<-done
			if handed > uint64(len(stream)/wire.DataHeader) {
				t.Errorf("%d messages came of %d bytes", handed, len(stream))
			}
		})
	})
}
