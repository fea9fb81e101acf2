package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/hyperactor/hyperactor/id"
)

func apartEnvelope() Envelope {
	p := id.Proc{Host: "h", Name: "n", UID: 7}
	return Envelope{
		Kind: Call, TTL: 3, Call: 9, From: p.Actor("a"), To: p.Actor("b"), Method: "m", Body: []byte("body"),
		Parts: []Bulk{NewBulk([]byte("one")), NewBulk([]byte("two!")), {}, NewBulk([]byte("three"))},
	}
}

func TestBulkFrame(t *testing.T) {
	e := apartEnvelope()
	d, a := Data{Seq: 1, Ack: 1 << 40, Flow: 3}, Apart{Transfer: 7, Segments: []uint32{0, 4, 0, 1 << 31}}
	b := e.AppendHeader(AppendBulk(nil, len(e.AppendHeader(nil)), d, a))
	kind, n, err := ParseHeader(b, Limits{}.WithDefaults())
	if kind != FrameBulk || n != len(b)-FrameHeader || err != nil {
		t.Fatalf("type %d, %d of %d bytes, %v", kind, n, len(b), err)
	}
	gotD, gotA, rest, err := ParseBulk(b[FrameHeader:])
	if err != nil || gotD != d || !reflect.DeepEqual(gotA, a) {
		t.Fatalf("%+v, %+v, %v", gotD, gotA, err)
	}
	var dec Decoder
	got, sizes, left, err := dec.DecodeApart(append(rest, "left"...))
	if err != nil || string(left) != "left" {
		t.Fatalf("%q, %v", left, err)
	}
	lent := map[int]Bulk{1: NewBulk([]byte("two!")), 3: NewBulk([]byte("three"))}
	if err := got.Join([]byte("bodyone"), sizes, lent); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Append(nil), e.Append(nil)) {
		t.Errorf("got  %+v\nwant %+v", got, e)
	}
	if err := got.Join([]byte("on"), sizes, lent); !errors.Is(err, Malformed) {
		t.Errorf("a tail that is too short: %v", err)
	}
	if _, _, _, err := dec.DecodeApart(rest[:len(rest)-1]); !errors.Is(err, Malformed) {
		t.Errorf("less than an envelope: %v", err)
	}
}

func TestChunkAndMemoryFrames(t *testing.T) {
	c := Chunk{Seq: 1, Ack: 2, Transfer: 3, Size: 1 << 40}
	b := AppendChunk(nil, c, ChunkSize)
	if kind, n, err := ParseHeader(b, Limits{}); kind != FrameChunk || n != len(b)-FrameHeader+ChunkSize || err != nil {
		t.Errorf("type %d, %d bytes, %v", kind, n, err)
	}
	if got := ParseChunk(b[FrameHeader:]); got != c || len(b) != ChunkHeader {
		t.Errorf("%+v in %d bytes", got, len(b))
	}
	for _, n := range []int{0, ChunkSize + 1} {
		if _, _, err := ParseHeader(AppendChunk(nil, c, n), Limits{}); !errors.Is(err, ErrFraming) {
			t.Errorf("a chunk of %d bytes: %v", n, err)
		}
	}
	m := Memory{Seq: 1, Ack: 2, Op: MemoryOffer, Segment: 3, FD: 4, Size: 5, Inode: 6}
	b = AppendMemory(nil, m)
	if kind, n, err := ParseHeader(b, Limits{}); kind != FrameMemory || n != len(b)-FrameHeader || err != nil {
		t.Errorf("type %d, %d bytes, %v", kind, n, err)
	}
	if got, err := ParseMemory(b[FrameHeader:]); got != m || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []Memory{{Op: 0, Segment: 1}, {Op: MemoryDrop + 1, Segment: 1}, {Op: MemoryDrop}} {
		if _, err := ParseMemory(AppendMemory(nil, bad)[FrameHeader:]); !errors.Is(err, ErrFraming) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func FuzzParseBulk(f *testing.F) {
	e := apartEnvelope()
	for _, a := range []Apart{{}, {Transfer: 7}, {Segments: []uint32{0, 1, 0, 2}}} {
		b := e.AppendHeader(AppendBulk(nil, 0, Data{Seq: 1}, a))
		f.Add(b[FrameHeader:], "bodyonetwo!three")
		f.Add(b[FrameHeader:], "bodyone")
	}
	f.Fuzz(func(t *testing.T, b []byte, tail string) {
		if len(b) < bulkHeader {
			return // ParseHeader
		}
		_, a, rest, err := ParseBulk(b)
		if err != nil {
			if !errors.Is(err, ErrFraming) {
				t.Errorf("%v", err)
			}
			return
		}
		var dec Decoder
		e, sizes, _, err := dec.DecodeApart(rest)
		if err != nil {
			return
		}
		lent := map[int]Bulk{}
		for i, s := range a.Segments {
			if s != 0 && i < len(sizes) && sizes[i] < 1<<20 {
				lent[i] = NewBulk(make([]byte, sizes[i]))
			}
		}
		if e.Join([]byte(tail), sizes, lent) != nil {
			return
		}
		sum := len(e.Body)
		for i, p := range e.Parts {
			if _, ok := lent[i]; !ok {
				sum += p.Len()
			}
			if uint64(p.Len()) != sizes[i] {
				t.Errorf("part %d has %d bytes, want %d", i, p.Len(), sizes[i])
			}
		}
		if sum != len(tail) || len(e.Parts) != len(sizes) {
			t.Errorf("%d of %d bytes, %d of %d parts", sum, len(tail), len(e.Parts), len(sizes))
		}
	})
}
