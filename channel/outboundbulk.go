package channel

import "github.com/hyperactor/hyperactor/wire"

// addChunk numbers the frame of a chunk and keeps it.
func (o *outbound) addChunk(p piece, ack uint64) {
	o.seq++
	n := 0
	for _, b := range p.chunk {
		n += len(b)
	}
	s := o.open(wire.ChunkHeader)
	start := len(s.b)
	s.b = wire.AppendChunk(s.b, wire.Chunk{Seq: o.seq, Ack: ack, Transfer: p.transfer, Size: uint64(p.total)}, n)
	o.end(s, start, p.chunk...)
	o.chunks += wire.ChunkHeader + n
	o.lastChunk = o.seq
}

// addMemory numbers a Memory frame and keeps it.
func (o *outbound) addMemory(m wire.Memory, ack uint64) {
	o.seq++
	m.Seq, m.Ack = o.seq, ack
	s := o.open(wire.MemoryFrame)
	start := len(s.b)
	s.b = wire.AppendMemory(s.b, m)
	o.end(s, start)
}

// addApart is add for a message whose tail is, as a whole or in part,
// somewhere else, or has several pieces.
func (o *outbound) addApart(m *departure, ack uint64) {
	if len(m.e.Parts) == 0 && m.total == 0 {
		o.add(&m.e, m.size, ack)
		return
	}
	o.seq++
	d := wire.Data{Seq: o.seq, Ack: ack, Flow: o.flows.number(&m.e, o.seq, o.acked)}
	need, tail := wire.BulkHeader+5*len(m.apart.Segments)+m.size, m.tail
	if m.total > 0 {
		tail = nil
	}
	for _, b := range tail {
		need -= len(b)
	}
	s := o.open(need)
	start := len(s.b)
	s.b = wire.AppendBulk(s.b, 0, d, m.apart)
	s.b = appendEnvelope(s.b, &m.e, d.Flow)
	o.end(s, start, tail...)
}
