package channel

import (
	"hash/maphash"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// flow is what is the same in many messages: see wire.Flow.
type flow struct {
	from, to id.Actor
	method   string
}

func flowOf(e *wire.Envelope) flow { return flow{e.From, e.To, e.Method} }

func (f *flow) is(e *wire.Envelope) bool {
	return f.to == e.To && f.from == e.From && f.method == e.Method
}

// fill puts f into an envelope that came without it.
func (f *flow) fill(e *wire.Envelope) { e.From, e.To, e.Method = f.from, f.to, f.method }

// flowsOut is the table of the side that sends. A flow gets a number when it is
// first used. When all numbers are taken, one that stands for something else
// is given to it, but only if no frame that uses it may have to be sent again
// or given back: so every frame that is kept can be read with the table as it is.
type flowsOut struct {
	seed  maphash.Seed
	index []wire.Flow // by hash, a power of two; 0 for none
	table []outFlow   // by number - 1
	last  wire.Flow   // the number of the last message's flow
}

type outFlow struct {
	flow
	seq uint64 // the last frame that uses it
}

// number returns what to write for the flow of e in frame seq. Frames up to
// acked will not be needed again.
func (t *flowsOut) number(e *wire.Envelope, seq, acked uint64) wire.Flow {
	if t.last != 0 {
		if f := &t.table[t.last-1]; f.is(e) {
			f.seq = seq
			return t.last
		}
	}
	slot := t.slot(e)
	if n := *slot; n != 0 {
		if f := &t.table[n-1]; f.is(e) {
			f.seq, t.last = seq, n
			return n
		}
	}
	return t.define(e, seq, acked)
}

// slot returns where the number of e's flow is in the index, or would be.
func (t *flowsOut) slot(e *wire.Envelope) *wire.Flow {
	if t.index == nil {
		t.seed, t.index = maphash.MakeSeed(), make([]wire.Flow, 8)
	}
	h := e.To.Proc.UID ^ e.From.Proc.UID<<1 ^ maphash.String(t.seed, e.To.Name) ^
		maphash.String(t.seed, e.From.Name)<<1 ^ maphash.String(t.seed, e.Method)<<2
	h ^= h >> 32
	h ^= h >> 16
	return &t.index[h&uint64(len(t.index)-1)]
}

// define gives the flow of e a number, or 0 if none is free. Another flow that
// had the same place in the index is not found any more; its number is taken
// over, or is taken again in its time.
func (t *flowsOut) define(e *wire.Envelope, seq, acked uint64) wire.Flow {
	if !speakable(e) {
		return 0
	}
	n := *t.slot(e)
	switch {
	case len(t.table) < int(wire.MaxFlow):
		t.table = append(t.table, outFlow{})
		n = wire.Flow(len(t.table))
		if len(t.table) > len(t.index)/2 {
			t.grow()
		}
	case n == 0 || t.table[n-1].seq > acked:
		n = wire.Flow(1 + seq%uint64(wire.MaxFlow))
		if t.table[n-1].seq > acked {
			return 0
		}
	}
	t.table[n-1] = outFlow{flowOf(e), seq}
	*t.slot(e), t.last = n, n
	return n | wire.FlowDefine
}

// speakable reports whether the peer will understand the names of e. One that
// it does not is returned to its sender, and must not stand for later ones.
func speakable(e *wire.Envelope) bool {
	for _, name := range []string{e.From.Name, e.To.Name, e.Method} {
		if name != "" && id.CheckName(name) != nil {
			return false
		}
	}
	for _, p := range []id.Proc{e.From.Proc, e.To.Proc} {
		if !p.IsZero() && (id.CheckName(p.Host) != nil || id.CheckName(p.Name) != nil || p.UID == 0) {
			return false
		}
	}
	return true
}

// grow doubles the index.
func (t *flowsOut) grow() {
	t.index = make([]wire.Flow, 2*len(t.index))
	for i := range t.table {
		e := wire.Envelope{From: t.table[i].from, To: t.table[i].to, Method: t.table[i].method}
		*t.slot(&e) = wire.Flow(i + 1)
	}
}

// flowsIn is the table of the side that receives.
type flowsIn struct {
	table []flow
	known wire.Flow // the reader's envelope has the names of this flow; 0 for none
}

// resolve completes the envelope of a frame with flow n, or learns from it. It
// reports whether the number makes sense.
func (t *flowsIn) resolve(n wire.Flow, e *wire.Envelope) bool {
	number := int(n.Number())
	switch {
	case n == 0:
		return true
	case number == 0 || number > int(wire.MaxFlow):
		return false
	case n&wire.FlowDefine != 0:
		for len(t.table) < number {
			t.table = append(t.table, flow{})
		}
		t.table[number-1] = flowOf(e)
		if int(t.known) == number {
			t.known = 0
		}
		return true
	case number > len(t.table) || t.table[number-1] == flow{}:
		return false
	}
	t.table[number-1].fill(e)
	return true
}
