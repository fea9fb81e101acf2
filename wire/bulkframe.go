package wire

import (
	"encoding/binary"
	"fmt"
)

// What is large does not travel in one frame (MS-9). The body and the parts of
// a message that are in no segment, one after the other, are its tail; a tail of
// more than ChunkSize goes ahead of its message, as a transfer:
//
//	Chunk   number and acknowledgement, 8 bytes each; transfer, 4 bytes; the
//	        transfer's size, 8 bytes; and the next bytes of it: ChunkSize of
//	        them, or what is left
//	Bulk    number, acknowledgement and flow as in Data; transfer, 4 bytes, 0 if
//	        there is none; uvarint count and as many uvarints, the segment that
//	        each part is in, 0 if it is in the tail; and the envelope, with its
//	        tail if that is in no transfer
//	Memory  number and acknowledgement; a MemoryOp, one byte; segment and
//	        descriptor, 4 bytes each; size and inode, 8 bytes each
//
// Transfers are interleaved with each other and with all other frames. A
// segment is memory that the sender of the frame writes and the other side
// reads.
const (
	ChunkSize   = 256 << 10
	ChunkHeader = FrameHeader + 28 // what comes before the bytes of a chunk
	MemoryFrame = FrameHeader + memorySize
	BulkHeader  = DataHeader + 6 // what comes before the envelope of a Bulk frame at most, without the segments
	bulkHeader  = DataHeader - FrameHeader + 4
	bulkTable   = 2 + 5*MaxParts
	memorySize  = 16 + 25
)

// Chunk is what comes before the bytes of a Chunk frame.
type Chunk struct {
	Seq, Ack uint64
	Transfer uint32
	Size     uint64 // of the whole transfer
}

// AppendChunk appends what comes before n bytes.
func AppendChunk(b []byte, c Chunk, n int) []byte {
	b = appendFrameHeader(b, FrameChunk, ChunkHeader-FrameHeader+n)
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	b = binary.BigEndian.AppendUint64(b, c.Ack)
	b = binary.BigEndian.AppendUint32(b, c.Transfer)
	return binary.BigEndian.AppendUint64(b, c.Size)
}

// ParseChunk reads what follows the header of a Chunk frame, up to its bytes:
// ChunkHeader - FrameHeader bytes.
func ParseChunk(b []byte) Chunk {
	u := binary.BigEndian
	return Chunk{Seq: u.Uint64(b), Ack: u.Uint64(b[8:]), Transfer: u.Uint32(b[16:]), Size: u.Uint64(b[20:])}
}

// Apart says where the tail of an envelope is.
type Apart struct {
	Transfer uint32
	Segments []uint32 // by part; nil if no part is in one
}

// AppendBulk appends what comes before the envelope, whose size is size.
func AppendBulk(b []byte, size int, d Data, a Apart) []byte {
	start := len(b)
	b = appendFrameHeader(b, FrameBulk, 0)
	b = binary.BigEndian.AppendUint64(b, d.Seq)
	b = binary.BigEndian.AppendUint64(b, d.Ack)
	b = binary.BigEndian.AppendUint16(b, uint16(d.Flow))
	b = binary.BigEndian.AppendUint32(b, a.Transfer)
	b = binary.AppendUvarint(b, uint64(len(a.Segments)))
	for _, s := range a.Segments {
		b = binary.AppendUvarint(b, uint64(s))
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4+size))
	return b
}

// ParseBulk takes what follows the header of a Bulk frame apart.
func ParseBulk(b []byte) (d Data, a Apart, envelope []byte, err error) {
	d, rest := ParseData(b)
	a.Transfer = binary.BigEndian.Uint32(rest)
	r := reader{rest: rest[4:]}
	n := r.uvarint()
	if n > MaxParts {
		r.fail("too many segments")
		n = 0
	}
	if n > 0 {
		a.Segments = make([]uint32, n)
	}
	for i := range a.Segments {
		a.Segments[i] = r.uint32()
	}
	if r.fault != "" {
		return d, a, nil, fmt.Errorf("%w: bulk frame: %s", ErrFraming, r.fault)
	}
	return d, a, r.rest, nil
}

// MemoryOp says what a Memory frame is about.
type MemoryOp byte

// The ops. The first and the last come from the side that writes.
const (
	MemoryOffer  MemoryOp = iota + 1 // there is a segment: descriptor, size and inode say how to open it
	MemoryOpened                     // it is open, and can be used
	MemoryFailed                     // it cannot be opened, and is forgotten
	MemoryReturn                     // what was in it is not in use any more
	MemoryDrop                       // it is given up
)

// Memory is a Memory frame.
type Memory struct {
	Seq, Ack    uint64
	Op          MemoryOp
	Segment     uint32
	FD          uint32
	Size, Inode uint64
}

// AppendMemory appends a Memory frame.
func AppendMemory(b []byte, m Memory) []byte {
	u := binary.BigEndian
	b = appendFrameHeader(b, FrameMemory, memorySize)
	b = u.AppendUint64(u.AppendUint64(b, m.Seq), m.Ack)
	b = u.AppendUint32(u.AppendUint32(append(b, byte(m.Op)), m.Segment), m.FD)
	return u.AppendUint64(u.AppendUint64(b, m.Size), m.Inode)
}

// ParseMemory reads what follows the header of a Memory frame.
func ParseMemory(b []byte) (Memory, error) {
	u := binary.BigEndian
	m := Memory{Seq: u.Uint64(b), Ack: u.Uint64(b[8:]), Op: MemoryOp(b[16]), Segment: u.Uint32(b[17:])}
	m.FD, m.Size, m.Inode = u.Uint32(b[21:]), u.Uint64(b[25:]), u.Uint64(b[33:])
	if m.Op < MemoryOffer || m.Op > MemoryDrop || m.Segment == 0 {
		return m, fmt.Errorf("%w: memory frame with op %d of segment %d", ErrFraming, m.Op, m.Segment)
	}
	return m, nil
}

// DecodeApart is Decode for an envelope whose parts, or some of them, are
// elsewhere, and perhaps its body: Join puts them in. rest is what follows the
// envelope's head in b.
func (d *Decoder) DecodeApart(b []byte) (e Envelope, sizes []uint64, rest []byte, err error) {
	r := reader{rest: b, dec: d}
	sizes = r.envelope(&e)
	if r.fault != "" {
		return e, nil, nil, fmt.Errorf("%w: envelope of %d bytes: %s", Malformed, len(b), r.fault)
	}
	return e, sizes, r.rest, nil
}

// Join gives e its body and parts: lent are those that are in segments, by
// their number, and tail has the rest. The tail must be used up to a body.
func (e *Envelope) Join(tail []byte, sizes []uint64, lent map[int]Bulk) error {
	left := uint64(len(tail))
	for i, n := range sizes {
		if _, ok := lent[i]; ok {
			continue
		}
		if n > left {
			return fmt.Errorf("%w: cut short: part %d has %d bytes, %d of %d are left", Malformed, i, n, left, len(tail))
		}
		left -= n
	}
	at := int(left)
	if at > 0 {
		e.Body = tail[:at:at]
	}
	if len(sizes) > 0 {
		e.Parts = make([]Bulk, len(sizes))
	}
	for i, n := range sizes {
		if b, ok := lent[i]; ok {
			e.Parts[i] = b
			continue
		}
		end := at + int(n)
		e.Parts[i] = NewBulk(tail[at:end:end])
		at = end
	}
	return nil
}
