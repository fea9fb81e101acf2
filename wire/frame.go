package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FrameType is the type of a frame. A frame is a length (4 bytes, big endian, of
// all that follows), one byte of type, and what that type says:
//
//	Hello   a Hello; the first frame each way, and only the first
//	Data    number and acknowledgement, 8 bytes each, flow, 2 bytes, and an
//	        envelope without parts
//	Ack     acknowledgement, 8 bytes
//	Close   acknowledgement, 8 bytes, one byte of code, and text
//	Ping    acknowledgement, 8 bytes, and 8 bytes that the Pong repeats
//	Pong    the same
//	Keep    acknowledgement, 8 bytes, and one byte: 1 if the speaker wants the
//	        session kept while it is idle, 0 if it does not any more
//	Chunk, Bulk, Memory: see ChunkSize
//
// Data, Chunk, Bulk and Memory frames are numbered from 1 without gaps, over
// all connections of their session. An acknowledgement is the number of the last
// frame that was received, with all before it (MS-5). The other frames have no
// number and are not sent again.
//
// A hundred bytes of names go with every message, the same for all messages
// from one actor to one method. A flow stands for them: see Flow.
type FrameType uint8

// The types of a frame.
const (
	FrameHello FrameType = iota + 1
	FrameData
	FrameAck
	FrameClose
	FramePing
	FramePong
	FrameKeep
	FrameChunk
	FrameBulk
	FrameMemory
)

// Sizes of what comes before the envelope or text of a frame.
const (
	FrameHeader = 5                // length and type
	DataHeader  = FrameHeader + 18 // and number, acknowledgement and flow
	maxClose    = 1024             // a Close frame, without its length
)

// ErrFraming is wrapped by errors about a stream of bytes that is no stream of
// frames. It costs the connection (MS-8).
var ErrFraming = errors.New("broken framing")

// Limits are what one side accepts. They are set in one place and sent in
// hello (MS-8). The zero value has the defaults.
type Limits struct {
	MaxFrame uint32 // bytes of an envelope without its parts; 16 MiB if zero
	MaxBulk  uint32 // bytes of the parts of an envelope; 256 MiB if zero
}

// The most that Limits can be.
const (
	MaxMaxFrame = 1 << 30
	MaxMaxBulk  = 1 << 30
)

// WithDefaults returns l with its zeros replaced.
func (l Limits) WithDefaults() Limits {
	if l.MaxFrame == 0 {
		l.MaxFrame = 16 << 20
	}
	if l.MaxBulk == 0 {
		l.MaxBulk = 256 << 20
	}
	l.MaxFrame, l.MaxBulk = min(l.MaxFrame, MaxMaxFrame), min(l.MaxBulk, MaxMaxBulk)
	return l
}

// Flow says how the envelope of a Data frame has its To, From and Method. Zero:
// as usual. A flow number: it lacks all three, they are those that the flow
// stands for. A flow number with FlowDefine: it has them, and from here on the
// flow stands for them. The meaning belongs to the session: frames are handled
// in order and once, so both sides agree, over reconnects, too.
type Flow uint16

// Bounds of a flow.
const (
	FlowDefine Flow = 1 << 15
	MaxFlow    Flow = 256 // flows are numbered from 1
)

// Number returns f without FlowDefine.
func (f Flow) Number() Flow { return f &^ FlowDefine }

// AppendData appends what comes before an envelope of size bytes.
func AppendData(b []byte, size int, seq, ack uint64, flow Flow) []byte {
	b = appendFrameHeader(b, FrameData, DataHeader-FrameHeader+size)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, ack)
	return binary.BigEndian.AppendUint16(b, uint16(flow))
}

// Data is what comes before the envelope of a Data frame.
type Data struct {
	Seq, Ack uint64
	Flow     Flow
}

// ParseData takes what follows the header of a Data frame apart.
func ParseData(b []byte) (d Data, envelope []byte) {
	d = Data{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), Flow(binary.BigEndian.Uint16(b[16:]))}
	return d, b[DataHeader-FrameHeader:]
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

// AppendPing appends a Ping or, as t says, a Pong.
func AppendPing(b []byte, t FrameType, ack, nonce uint64) []byte {
	b = binary.BigEndian.AppendUint64(appendFrameHeader(b, t, 16), ack)
	return binary.BigEndian.AppendUint64(b, nonce)
}

// AppendKeep appends a Keep frame.
func AppendKeep(b []byte, ack uint64, keep bool) []byte {
	b = binary.BigEndian.AppendUint64(appendFrameHeader(b, FrameKeep, 9), ack)
	if keep {
		return append(b, 1)
	}
	return append(b, 0)
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
		const before = DataHeader - FrameHeader
		lowest, highest = before, before+int64(limits.MaxFrame)
	case FrameAck:
		lowest, highest = 8, 8
	case FrameClose:
		lowest, highest = 9, maxClose
	case FramePing, FramePong:
		lowest, highest = 16, 16
	case FrameKeep:
		lowest, highest = 9, 9
	case FrameChunk:
		lowest, highest = ChunkHeader-FrameHeader+1, ChunkHeader-FrameHeader+ChunkSize
	case FrameBulk:
		lowest, highest = bulkHeader+1, bulkHeader+bulkTable+int64(limits.MaxFrame)
	case FrameMemory:
		lowest, highest = memorySize, memorySize
	default:
		return 0, 0, fmt.Errorf("%w: unknown frame type %d", ErrFraming, b[4])
	}
	if n < lowest || n > highest {
		return 0, 0, fmt.Errorf("%w: frame of type %d has %d bytes, want %d to %d", ErrFraming, t, n, lowest, highest)
	}
	return t, int(n), nil
}

// CloseCode says why a session or, if it is CloseFraming, a connection was
// closed.
type CloseCode uint8

// The codes.
const (
	CloseDone    CloseCode = iota + 1 // nothing more to say
	CloseFraming                      // the other side broke framing
	CloseVersion                      // the versions do not fit
	CloseAborted                      // given up: what is under way is in doubt
	CloseIdle                         // nothing was said for a long time
)

func (c CloseCode) String() string {
	switch c {
	case CloseDone:
		return "done"
	case CloseFraming:
		return "broken framing"
	case CloseVersion:
		return "version mismatch"
	case CloseAborted:
		return "aborted"
	case CloseIdle:
		return "idle"
	}
	return fmt.Sprintf("code %d", uint8(c))
}
