package wire

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

func TestFrames(t *testing.T) {
	limits := Limits{}.WithDefaults()
	hello := Hello{Version: Version, Peer: id.Proc{Host: "h", Name: "n", UID: 1}, Epoch: 3, Token: []byte("t"), Limits: limits, Addr: "mem:x",
		Session: 7, Received: 300, Resume: true, Local: true, ResumeFor: 90 * time.Second, Window: 4 << 20}
	b, err := hello.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	typ, n, err := ParseHeader(b, limits)
	if typ != FrameHello || n != len(b)-FrameHeader || err != nil {
		t.Fatalf("hello: %v %d %v", typ, n, err)
	}
	if got, err := ParseHello(b[FrameHeader:]); err != nil || !reflect.DeepEqual(got, hello) {
		t.Errorf("got %+v, %v", got, err)
	}
	for want, b := range map[FrameType][]byte{
		FrameData:  append(AppendData(nil, 3, 1, 2, 9|FlowDefine), 1, 2, 3),
		FramePing:  AppendPing(nil, FramePing, 1, 2),
		FramePong:  AppendPing(nil, FramePong, 1, 2),
		FrameKeep:  AppendKeep(nil, 1, true),
		FrameAck:   AppendAck(nil, 1),
		FrameClose: AppendClose(nil, 1, CloseDone, strings.Repeat("x", 5000)),
	} {
		if typ, n, err := ParseHeader(b, limits); typ != want || n != len(b)-FrameHeader || err != nil {
			t.Errorf("frame %d: type %d, %d of %d bytes, %v", want, typ, n, len(b)-FrameHeader, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(AppendAck(nil, 1))
	f.Add(AppendPing(nil, FramePing, 1, 2))
	f.Add(AppendKeep(nil, 1, true))
	f.Add(AppendData(nil, 1000, 1<<63, 1<<63, FlowDefine|MaxFlow))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, byte(FrameData)})
	f.Add([]byte{0, 0, 0, 0, byte(FrameHello)})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < FrameHeader {
			return
		}
		limits := Limits{MaxFrame: 1000}
		typ, n, err := ParseHeader(b, limits)
		if err != nil {
			if !errors.Is(err, ErrFraming) {
				t.Errorf("%v is not ErrFraming", err)
			}
			return
		}
		most := MaxHello
		switch typ {
		case FrameChunk:
			most = ChunkHeader + ChunkSize
		case FrameBulk:
			most = bulkHeader + bulkTable + 1000
		}
		if n < 0 || n > most || uint32(n)+1 != binary.BigEndian.Uint32(b) || typ == FrameData && n > 1018 {
			t.Errorf("%x: type %d, %d bytes", b, typ, n)
		}
	})
}

func FuzzHello(f *testing.F) {
	b, _ := Hello{Version: Version, Peer: id.Proc{Host: "h", Name: "n", UID: 1}, Session: 1}.Append(nil)
	f.Add(b[FrameHeader:])
	b, _ = Hello{
		Version: Version, Peer: id.Proc{Host: "h", Name: "n", UID: 1}, Session: 1 << 63, Received: 1<<64 - 1, Resume: true, Local: true,
		ResumeFor: time.Hour, Window: 1<<32 - 1, Token: []byte("t"), Addr: "tcp:127.0.0.1:1",
	}.Append(nil)
	f.Add(b[FrameHeader:])
	f.Add([]byte("\x01\x01h\x01n\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x06secret\x05mem:x\x80\x80\x80\x08")) // version 1
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHello(b)
		if err != nil && !errors.Is(err, Malformed) {
			t.Errorf("%v is not Malformed", err)
		}
		if err == nil && h.Version == Version {
			again, _ := h.Append(nil)
			if same, err := ParseHello(again[FrameHeader:]); err != nil || !reflect.DeepEqual(h, same) {
				t.Errorf("%+v becomes %+v, %v", h, same, err)
			}
		}
		if err == nil && h.Version == Version && (h.Peer.IsZero() || h.Limits.MaxFrame == 0 || h.Session == 0) {
			t.Errorf("%+v passes", h)
		}
	})
}

func TestVersionErrorNamesBoth(t *testing.T) {
	err := Hello{Version: 9}.CheckVersion()
	if err == nil || !strings.Contains(err.Error(), "version 9") || !strings.Contains(err.Error(), "version 2 ") {
		t.Errorf("got %v", err)
	}
}
