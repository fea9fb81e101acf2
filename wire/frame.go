package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FrameType is the type of a frame. A frame is a length (4 bytes, big endian, of all that
// follows), one byte of type, and what that type says:
//
//	Hello   the CBOR of a Hello; the first frame each way, and only the first
//	Data    number and acknowledgement, 8 bytes each, and an envelope
//	Ack     acknowledgement, 8 bytes
//	Close   acknowledgement, 8 bytes, one byte of code, and text
//
// Data frames are numbered from 1 without gaps. An acknowledgement is the
// number of the last frame that was received, with all before it (MS-5).
type FrameType uint8

// The types of a frame.
const (
	FrameHello FrameType = iota + 1
	FrameData
	FrameAck
	FrameClose
)

// Sizes of what comes before the envelope or text of a frame.
const (
	FrameHeader = 5                // length and type
	DataHeader  = FrameHeader + 16 // and number and acknowledgement
	maxClose    = 1024             // a Close frame, without its length
)

// ErrFraming is wrapped by errors about a stream of bytes that is no stream of
// frames. It costs the connection (MS-8).
var ErrFraming = errors.New("broken framing")

// Limits are what one side accepts. They are set in one place and sent in
// hello (MS-8). The zero value has the defaults.
type Limits struct {
	MaxFrame uint32 // bytes of an envelope; 16 MiB if zero
}

// MaxMaxFrame is the most that Limits.MaxFrame can be.
const MaxMaxFrame = 1 << 30

// WithDefaults returns l with its zeros replaced.
func (l Limits) WithDefaults() Limits {
	if l.MaxFrame == 0 {
		l.MaxFrame = 16 << 20
	}
	l.MaxFrame = min(l.MaxFrame, MaxMaxFrame)
	return l
}

// AppendData appends what comes before an envelope of size bytes.
func AppendData(b []byte, size int, seq, ack uint64) []byte {
	b = appendFrameHeader(b, FrameData, 16+size)
	b = binary.BigEndian.AppendUint64(b, seq)
	return binary.BigEndian.AppendUint64(b, ack)
}

// AppendAck appends an Ack frame.
func AppendAck(b []byte, ack uint64) []byte {
	return binary.BigEndian.AppendUint64(appendFrameHeader(b, FrameAck, 8), ack)
}

// AppendClose appends a Close frame. A text that is too long is cut.
func AppendClose(b []byte, ack uint64, code CloseCode, text string) []byte {
	text = text[:min(len(text), maxClose-16)]
	b = appendFrameHeader(b, FrameClose, 9+len(text))
	b = binary.BigEndian.AppendUint64(b, ack)
	return append(append(b, byte(code)), text...)
}

func appendFrameHeader(b []byte, t FrameType, size int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(size+1))
	return append(b, byte(t))
}

// ParseHeader reads a frame's header, FrameHeader bytes, and returns its type
// and how many bytes follow. It refuses a length that is more than limits
// allow for that type, before anybody allocates it.
func ParseHeader(b []byte, limits Limits) (FrameType, int, error) {
	t, n := FrameType(b[4]), int64(binary.BigEndian.Uint32(b))-1
	lowest, highest := int64(1), int64(0)
	switch t {
	case FrameHello:
		highest = MaxHello
	case FrameData:
		lowest, highest = 16, 16+int64(limits.MaxFrame)
	case FrameAck:
		lowest, highest = 8, 8
	case FrameClose:
		lowest, highest = 9, maxClose
	default:
		return 0, 0, fmt.Errorf("%w: unknown frame type %d", ErrFraming, b[4])
	}
	if n < lowest || n > highest {
		return 0, 0, fmt.Errorf("%w: frame of type %d has %d bytes, want %d to %d", ErrFraming, t, n, lowest, highest)
	}
	return t, int(n), nil
}

// CloseCode says why a session was closed.
type CloseCode uint8

// The codes.
const (
	CloseDone    CloseCode = iota + 1 // nothing more to say
	CloseFraming                      // the other side broke framing
	CloseVersion                      // the versions do not fit
)

func (c CloseCode) String() string {
	switch c {
	case CloseDone:
		return "done"
	case CloseFraming:
		return "broken framing"
	case CloseVersion:
		return "version mismatch"
	}
	return fmt.Sprintf("code %d", uint8(c))
}
