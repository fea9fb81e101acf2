package channel

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net"
	"slices"

	"github.com/hyperactor/hyperactor/wire"
)

// outbound is the sending half of a session: the frames that the peer has not
// acknowledged, as the bytes that go out, so that they can go out again over
// another connection. It does no I/O and knows no time; Session.mu guards it.
//
// Numbers are handed out one by one and never wrap: 2^64 messages take a
// hundred thousand years, and what a peer says of numbers is believed only if
// it is between what was acknowledged and what was sent.
//
// A small frame is in a block. A large body is a segment of its own, never
// copied, and so is what no block can hold.
type outbound struct {
	hub   *Hub
	flows flowsOut

	seq   uint64 // number of the last frame
	acked uint64 // the peer has everything up to here
	given uint64 // the last frame that this connection was given, perhaps in part
	sent  uint64 // the last frame that any connection was given
	bytes int    // of the frames after acked

	chunks    int    // bytes of the chunks among them
	lastChunk uint64 // number of the last chunk

	segs []segment // from the one with the first frame after acked on
	head int       // bytes of segs[0] that are acknowledged
	next int       // the first segment that this connection was not given all of
	off  int       // how much of it it was

	current *block   // where small frames go; nil if there is none
	busy    bool     // what was taken is being written
	spent   []*block // not needed any more, but perhaps being written
}

// segment is a number of bytes that belong together.
type segment struct {
	b     []byte
	last  uint64 // number of the last frame that is in it, or begins in it
	in    *block // nil if b is on its own
	whole bool   // it ends where a frame ends
}

// maxBatch is after how many bytes a batch ends at the next end of a frame, so
// that what has no number, an acknowledgement say, need not wait for long. The
// last chunk of a message and what follows it are one batch.
const maxBatch = wire.ChunkSize + largeBody

// add numbers the frame of e, which has no parts and whose binary form has size
// bytes, and keeps it.
func (o *outbound) add(e *wire.Envelope, size int, ack uint64) {
	o.seq++
	flow := o.flows.number(e, o.seq, o.acked)
	whole := len(e.Body) < largeBody
	if !whole {
		size -= len(e.Body)
	}
	s := o.open(wire.DataHeader + size)
	start := len(s.b)
	s.b = wire.AppendData(s.b, 0, o.seq, ack, flow)
	s.b = appendEnvelope(s.b, e, flow)
	if whole {
		s.b = append(s.b, e.Body...)
		o.end(s, start)
		return
	}
	o.end(s, start, e.Body)
}

// end ends the frame that begins at start of s: pieces are the rest of it.
func (o *outbound) end(s *segment, start int, pieces ...[]byte) {
	frame := s.b[start:]
	o.grown(s, len(frame))
	length := len(frame)
	for _, b := range pieces {
		length += o.put(b)
	}
	binary.BigEndian.PutUint32(frame, uint32(length-4))
	o.segs[len(o.segs)-1].whole = true
	o.bytes += length
}

// put adds b to the frame that add is at, and returns its length.
func (o *outbound) put(b []byte) int {
	switch {
	case len(b) >= largeBody:
		o.segs = append(o.segs, segment{b: b, last: o.seq})
	case len(b) > 0:
		s := o.open(len(b))
		s.b = append(s.b, b...)
		o.grown(s, len(b))
	}
	return len(b)
}

// grown says that n bytes of the last frame were added to s.
func (o *outbound) grown(s *segment, n int) {
	s.last, s.whole = o.seq, false
	if s.in != nil {
		s.in.used += n
	}
}

// appendEnvelope appends what comes before the body of e, without what the
// flow stands for.
func appendEnvelope(b []byte, e *wire.Envelope, n wire.Flow) []byte {
	if n == 0 || n&wire.FlowDefine != 0 {
		return e.AppendHeader(b)
	}
	return e.AppendUnnamed(b)
}

// open returns the last segment, with room for need bytes after its end.
func (o *outbound) open(need int) *segment {
	if need > largeBlock {
		o.segs = append(o.segs, segment{b: make([]byte, 0, need)})
		return &o.segs[len(o.segs)-1]
	}
	if c := o.current; c == nil || len(c.b)-c.used < need {
		o.retire()
		o.current = o.hub.block(o.bytes > 0 || need > smallBlock)
		o.current.refs = 1
	}
	c := o.current
	if n := len(o.segs); n > 0 && o.segs[n-1].in == c {
		return &o.segs[n-1]
	}
	c.refs++
	o.segs = append(o.segs, segment{b: c.b[c.used:c.used], in: c})
	return &o.segs[len(o.segs)-1]
}

// retire ends the use of the current block for new frames.
func (o *outbound) retire() {
	if o.current != nil {
		o.unref(o.current)
		o.current = nil
	}
}

// unref says that one segment of b is not needed any more. A block may still
// be in the hands of the writer, whatever the peer acknowledges.
func (o *outbound) unref(b *block) {
	if b.refs--; b.refs > 0 {
		return
	}
	if o.busy {
		o.spent = append(o.spent, b)
	} else {
		o.hub.free(b)
	}
}

// take returns what goes out next, in whole frames; written must follow.
func (o *outbound) take(bufs net.Buffers) net.Buffers {
	o.busy = true
	for size := 0; o.next < len(o.segs); o.next, o.off = o.next+1, 0 {
		s := &o.segs[o.next]
		if o.off < len(s.b) {
			bufs = append(bufs, s.b[o.off:len(s.b):len(s.b)])
			size += len(s.b) - o.off
			o.given = s.last
		}
		if o.next == len(o.segs)-1 || s.whole && size >= maxBatch {
			o.off = len(s.b) // more may be added to it
			break
		}
	}
	o.sent = max(o.sent, o.given)
	return bufs
}

// unsent reports whether there is something to take.
func (o *outbound) unsent() bool { return o.given < o.seq }

// written ends what take began.
func (o *outbound) written() {
	o.busy = false
	for i, b := range o.spent {
		o.hub.free(b)
		o.spent[i] = nil
	}
	o.spent = o.spent[:0]
}

// acknowledge forgets what the peer has: everything up to ack. One that was
// overtaken by a later one says nothing new.
func (o *outbound) acknowledge(ack uint64) error {
	if ack > o.given {
		return fmt.Errorf("%w: acknowledgement of frame %d, at most %d was sent", wire.ErrFraming, ack, o.given)
	}
	o.forget(ack)
	return nil
}

func (o *outbound) forget(ack uint64) {
	if ack <= o.acked {
		return
	}
	dropped := 0
	for ; o.acked < ack; o.acked++ {
		frame := o.segs[dropped].b[o.head:]
		left := frameLength(frame)
		o.bytes -= left
		if frameType(frame) == wire.FrameChunk {
			o.chunks -= left
		}
		for left > 0 {
			n := min(left, len(o.segs[dropped].b)-o.head)
			o.head += n
			left -= n
			if o.head == len(o.segs[dropped].b) {
				o.head = 0
				dropped++
			}
		}
	}
	o.drop(dropped)
}

// drop forgets the first n segments.
func (o *outbound) drop(n int) {
	for i := range n {
		if b := o.segs[i].in; b != nil {
			o.unref(b)
		}
	}
	o.segs = slices.Delete(o.segs, 0, n)
	if o.next < n {
		o.next, o.off = 0, 0
	} else {
		o.next -= n
	}
	if len(o.segs) == 0 {
		o.retire()
	}
}

// resume begins a new connection to a peer that has everything up to
// received: what comes after it goes out again. Nothing may be being written.
func (o *outbound) resume(received uint64) error {
	if received < o.acked || received > o.sent {
		return fmt.Errorf("%w: the peer says that it has frame %d, want %d to %d", wire.ErrFraming, received, o.acked, o.sent)
	}
	o.forget(received)
	o.next, o.off, o.given = 0, o.head, o.acked
	return nil
}

// left yields the frames that are not acknowledged, oldest first: the number of
// each, and its envelope without the body.
func (o *outbound) left() iter.Seq2[uint64, wire.Envelope] {
	return func(yield func(uint64, wire.Envelope) bool) {
		var dec wire.Decoder
		i, at := 0, o.head
		for seq := o.acked + 1; seq <= o.seq; seq++ {
			b := o.segs[i].b[at:]
			length := frameLength(b)
			if e, ok := o.envelope(&dec, b[:min(length, len(b))]); ok && !yield(seq, e) {
				return
			}
			for at += length; i < len(o.segs) && at >= len(o.segs[i].b); i++ {
				at -= len(o.segs[i].b)
			}
		}
	}
}

// envelope returns the envelope of a frame, without the body, if it has one.
func (o *outbound) envelope(dec *wire.Decoder, frame []byte) (e wire.Envelope, ok bool) {
	var head wire.Data
	var rest []byte
	switch frameType(frame) {
	case wire.FrameData:
		head, rest = wire.ParseData(frame[wire.FrameHeader:])
	case wire.FrameBulk:
		head, _, rest, _ = wire.ParseBulk(frame[wire.FrameHeader:])
	default:
		return e, false
	}
	e, _, _, _ = dec.DecodeApart(rest) // one that the peer would refuse still has a sender
	if n := head.Flow; n != 0 && n&wire.FlowDefine == 0 {
		o.flows.table[n-1].fill(&e)
	}
	return e, true
}

// frameType returns the type of the frame that b begins with.
func frameType(b []byte) wire.FrameType { return wire.FrameType(b[4]) }

// frameLength returns the length of the frame that b begins with.
func frameLength(b []byte) int { return 4 + int(binary.BigEndian.Uint32(b)) }
