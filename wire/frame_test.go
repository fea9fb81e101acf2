package wire

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/id"
)

func TestFrames(t *testing.T) {
	limits := Limits{}.WithDefaults()
	hello := Hello{Version: Version, Peer: id.Proc{Host: "h", Name: "n", UID: 1}, Epoch: 3, Token: []byte("t"), Limits: limits, Addr: "mem:x"}
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
		FrameData:  append(AppendData(nil, 3, 1, 2), 1, 2, 3),
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
		if n < 0 || n > MaxHello || uint32(n)+1 != binary.BigEndian.Uint32(b) || typ == FrameData && n > 1016 {
			t.Errorf("%x: type %d, %d bytes", b, typ, n)
		}
	})
}

func FuzzHello(f *testing.F) {
	b, _ := Hello{Version: Version, Peer: id.Proc{Host: "h", Name: "n", UID: 1}}.Append(nil)
	f.Add(b[FrameHeader:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHello(b); err == nil && h.Version == Version && (h.Peer.IsZero() || h.Limits.MaxFrame == 0) {
			t.Errorf("%+v passes", h)
		}
	})
}

func TestVersionErrorNamesBoth(t *testing.T) {
	err := Hello{Version: 9}.CheckVersion()
	if err == nil || !strings.Contains(err.Error(), "version 9") || !strings.Contains(err.Error(), "version 1 ") {
		t.Errorf("got %v", err)
	}
}
