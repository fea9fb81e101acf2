package channel

import (
	"slices"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// departures are the large messages on their way out, and what must not
// overtake them. The tail of a large message goes out in chunks, in turn with
// those of others, one at a time between small messages (MS-9); then the
// message itself follows. What the same actor sends to the same actor meanwhile
// waits in line behind it (MS-1, MS-2).
//
// It does no I/O and knows no time; Session.mu guards it.
type departures struct {
	limit   int // what the peer takes of transfers at a time
	lines   map[pair][]*departure
	active  []*departure // transfers under way; the first is next
	waiting []*departure // transfers that the limit holds back
	sizes   int          // of active
	last    uint32       // number of the last transfer
	large   int          // bytes of tails that are not cut yet
	small   int          // bytes of what waits in line and is no transfer
}

// pair is who sends to whom: between them order is kept.
type pair struct{ from, to id.Actor }

func pairOf(e *wire.Envelope) pair { return pair{e.From, e.To} }

// departure is one message.
type departure struct {
	e     wire.Envelope
	size  int // of its binary form, without what is in a transfer or in segments
	apart wire.Apart
	tail  [][]byte // its body and parts, as far as they are in no segment
	total int      // bytes of the transfer; 0 if the tail goes with the message
	left  int      // bytes of the transfer that are not cut yet
}

// piece is what departures hand out: a chunk, and the messages that are due
// when it is on its way.
type piece struct {
	transfer uint32
	total    int
	chunk    [][]byte
	due      []*departure
}

// holds reports whether e must get in line.
func (d *departures) holds(e *wire.Envelope) bool {
	return len(d.lines) > 0 && len(d.lines[pairOf(e)]) > 0
}

// any reports whether there is anything to cut.
func (d *departures) any() bool { return len(d.active)+len(d.waiting) > 0 }

// add puts m in line. It is large, or something is in line before it.
func (d *departures) add(m *departure) {
	if d.lines == nil {
		d.lines = make(map[pair][]*departure)
	}
	p := pairOf(&m.e)
	d.lines[p] = append(d.lines[p], m)
	d.large += m.left
	if m.total == 0 {
		d.small += m.size
	}
	if len(d.lines[p]) == 1 {
		d.waiting = append(d.waiting, m)
	}
}

// cut returns the next chunk. There must be any.
func (d *departures) cut() piece {
	d.admit()
	m := d.active[0]
	n := min(m.left, wire.ChunkSize)
	out := piece{transfer: m.apart.Transfer, total: m.total, chunk: m.take(n)}
	m.left -= n
	d.large -= n
	d.active = slices.Delete(d.active, 0, 1)
	if m.left > 0 {
		d.active = append(d.active, m)
		return out
	}
	d.sizes -= m.total
	out.due = d.leave(pairOf(&m.e))
	return out
}

// admit begins the transfers that the limit allows, in order. One alone may
// always be: it is not larger than what the peer takes.
func (d *departures) admit() {
	for len(d.waiting) > 0 {
		m := d.waiting[0]
		if len(d.active) > 0 && d.sizes+m.total > d.limit {
			return
		}
		d.last++
		if d.last == 0 { // it stands for no transfer
			d.last = 1
		}
		m.apart.Transfer = d.last
		d.sizes += m.total
		d.active = append(d.active, m)
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
}

// take takes n bytes off the tail.
func (m *departure) take(n int) [][]byte {
	var out [][]byte
	for n > 0 {
		b := m.tail[0]
		if k := min(n, len(b)); k > 0 {
			out = append(out, b[:k:k])
			b, n = b[k:], n-k
		}
		if m.tail[0] = b; len(b) == 0 {
			m.tail = m.tail[1:]
		}
	}
	return out
}

// leave returns what is first in line, and what is behind it up to the next
// transfer, whose turn it is then.
func (d *departures) leave(p pair) []*departure {
	line := d.lines[p]
	n := 1
	for n < len(line) && line[n].total == 0 {
		d.small -= line[n].size
		n++
	}
	due := slices.Clone(line[:n])
	if line = slices.Delete(line, 0, n); len(line) == 0 {
		delete(d.lines, p)
		return due
	}
	d.lines[p] = line
	d.waiting = append(d.waiting, line[0])
	return due
}

// bytes returns how much is in d.
func (d *departures) bytes() int { return d.large + d.small }

// all returns the messages in d without their tails, in the order of each line.
func (d *departures) all() []wire.Envelope {
	var all []wire.Envelope
	for _, line := range d.lines {
		for _, m := range line {
			e := m.e
			e.Body, e.Parts = nil, nil
			all = append(all, e)
		}
	}
	return all
}
