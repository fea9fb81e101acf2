package channel

import "github.com/hyperactor/hyperactor/wire"

// pending is what was sent and not acknowledged, oldest first: what is needed
// to tell its senders, so the bodies are not kept. Only messages that have a
// sender waiting for an outcome are in it.
type pending struct {
	ring  []sent // len is 0 or a power of two
	first uint64 // index of the oldest, modulo len(ring)
	count uint64
}

// sent is a message and the number of its frame.
type sent struct {
	seq uint64
	e   wire.Envelope
}

// add adds a message; seq grows from call to call.
func (p *pending) add(seq uint64, e *wire.Envelope) {
	if p.count == uint64(len(p.ring)) {
		p.grow()
	}
	s := &p.ring[(p.first+p.count)&uint64(len(p.ring)-1)]
	s.seq, s.e = seq, *e
	s.e.Body = nil
	p.count++
}

// forget removes what has a number up to ack.
func (p *pending) forget(ack uint64) {
	for p.count > 0 && p.oldest().seq <= ack {
		p.pop()
	}
}

// pop removes and returns the oldest; there must be one.
func (p *pending) pop() sent {
	s := p.oldest()
	out := *s
	*s = sent{}
	p.first++
	p.count--
	return out
}

func (p *pending) oldest() *sent { return &p.ring[p.first&uint64(len(p.ring)-1)] }

func (p *pending) grow() {
	bigger := make([]sent, max(16, 2*len(p.ring)))
	for i := range p.count {
		bigger[i] = p.ring[(p.first+i)&uint64(len(p.ring)-1)]
	}
	p.ring, p.first = bigger, 0
}
