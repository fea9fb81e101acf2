package capture

import (
	"encoding/binary"
	"hash/crc32"
)

// record is one entry of an index. It says what held at an offset before the
// bytes there were written.
type record struct {
	kind kind
	place
	time  int64 // nanoseconds since 1970, UTC
	lost  int64 // how many bytes are missing at offset, if kind is lossMark
	since int64 // when the first of them was lost; time is when writing worked again
}

// kind says what a record is about.
type kind uint8

// The kinds. All but a chunk end the line before them.
const (
	chunk     kind = 1 + iota // bytes follow that were read at this time
	startMark                 // a new process begins to write
	endMark                   // the process has ended in the middle of a line
	lossMark                  // bytes are missing
)

const (
	indexMagic = "hyperix1" // the first bytes of an index, with its version
	recordSize = 48
)

// append appends the encoded record: five numbers, kind, open, two zeros and a
// checksum, all little endian.
func (r record) append(b []byte) []byte {
	start := len(b)
	for _, n := range [...]int64{r.time, r.offset, r.line, r.lost, r.since} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	open := byte(0)
	if r.open {
		open = 1
	}
	b = append(b, byte(r.kind), open, 0, 0)
	return binary.LittleEndian.AppendUint32(b, checksum(b[start:]))
}

// decode decodes the first recordSize bytes of b. It is not ok with bytes that
// append did not make.
func decode(b []byte) (r record, ok bool) {
	if len(b) < recordSize {
		return record{}, false
	}
	body, sum := b[:recordSize-4], binary.LittleEndian.Uint32(b[recordSize-4:])
	for i, n := range [...]*int64{&r.time, &r.offset, &r.line, &r.lost, &r.since} {
		*n = int64(binary.LittleEndian.Uint64(body[8*i:]))
	}
	r.kind, r.open = kind(body[40]), body[41] == 1
	ok = checksum(body) == sum && r.kind >= chunk && r.kind <= lossMark && body[41] <= 1 && body[42]|body[43] == 0 &&
		r.offset >= 0 && r.line >= 0 && r.lost >= 0
	return r, ok
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
