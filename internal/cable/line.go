package cable

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Line is one direction of a cable: a pure core that says for each packet
// whether it arrives, when, and how. It is told the time and has no other. What
// it does to the n-th packet depends on its seed, n, the packet and the times
// alone. One goroutine uses it at a time.
type Line struct {
	quality Quality
	stats   Stats
	chance  *rand.Rand
	free    time.Time // when what waits for its turn has been sent
	latest  time.Time // arrival of what was offered
}

// Quality is what a line does to packets. The zero value carries them all, at
// once.
type Quality struct {
	Cut       bool          // nothing arrives, not even what is on its way
	Delay     time.Duration // how long a packet takes
	Jitter    time.Duration // how much longer or shorter it may take
	Reorder   bool          // jitter lets packets overtake each other
	Loss      float64       // probability, 0 to 1, as are the following
	Duplicate float64
	Corrupt   float64 // one bit is flipped, which the checksums of IP and TCP always find
	Rate      int     // bits per second; no limit if zero
	Queue     int     // bytes that may wait for their turn at Rate; 64 KiB if zero
}

const defaultQueue = 64 << 10

// Stats counts packets. What was offered or duplicated was delivered, or is
// counted under what became of it instead, or is on its way.
type Stats struct {
	Offered    int
	Duplicated int

	Delivered  int
	Cut        int // there was no line
	Lost       int
	Overflowed int // the queue was full

	Corrupted int // also counted as Delivered
	SYN       int // offered beginnings of TCP connections, those sent again among them
	FIN, RST  int // offered ends of TCP connections
}

// Packet is a packet that arrives.
type Packet struct {
	At   time.Time
	Data []byte
}

// NewLine returns a perfect line.
func NewLine(seed uint64) *Line {
	return &Line{chance: rand.New(rand.NewPCG(seed, 0))}
}

// Set changes what happens to packets from now on. What is on its way arrives
// as it would have, unless the line is cut.
func (l *Line) Set(q Quality) { l.quality = q }

// Stats returns the counts so far.
func (l *Line) Stats() Stats { return l.stats }

// Offer returns what arrives of a packet that is sent now: nothing, the
// packet, or it and a copy. The line may keep data.
func (l *Line) Offer(now time.Time, data []byte) []Packet {
	// Every packet takes the same number of chances, so that a quality that
	// does not use one leaves the others of its seed as they are.
	lost, copied, corrupt := l.chance.Float64(), l.chance.Float64(), l.chance.Float64()
	bit, early := l.chance.Uint64(), [2]float64{l.chance.Float64(), l.chance.Float64()}

	q := &l.quality
	l.stats.Offered++
	l.countFlags(data)
	if q.Cut {
		l.stats.Cut++
		return nil
	}
	sent, ok := l.turn(now, len(data))
	switch {
	case !ok:
		l.stats.Overflowed++
		return nil
	case lost < q.Loss:
		l.stats.Lost++
		return nil
	}
	if corrupt < q.Corrupt && len(data) > 0 {
		l.stats.Corrupted++
		data = bytes.Clone(data)
		bit %= uint64(len(data)) * 8
		data[bit/8] ^= 1 << (bit % 8)
	}
	out := []Packet{{l.arrival(sent, early[0]), data}}
	if copied < q.Duplicate {
		l.stats.Duplicated++
		out = append(out, Packet{l.arrival(sent, early[1]), data})
	}
	return out
}

// turn returns when the last bit of a packet of that size has been sent, or
// false if there is no room for it to wait.
func (l *Line) turn(now time.Time, size int) (time.Time, bool) {
	q := &l.quality
	if q.Rate == 0 {
		return now, true
	}
	if l.free.Before(now) {
		l.free = now
	}
	waiting := int(l.free.Sub(now).Seconds() * float64(q.Rate) / 8)
	if waiting+size > cmp.Or(q.Queue, defaultQueue) {
		return time.Time{}, false
	}
	l.free = l.free.Add(time.Duration(float64(size) * 8 / float64(q.Rate) * float64(time.Second)))
	return l.free, true
}

// arrival returns when a packet arrives; chance is its share of the jitter.
func (l *Line) arrival(sent time.Time, chance float64) time.Time {
	q := &l.quality
	at := sent.Add(q.Delay + time.Duration((2*chance-1)*float64(q.Jitter)))
	if at.Before(sent) {
		at = sent
	}
	if !q.Reorder && at.Before(l.latest) {
		at = l.latest
	}
	if at.After(l.latest) {
		l.latest = at
	}
	return at
}

// Arrive reports whether a packet that Offer returned is there at its time, or
// was cut off on its way.
func (l *Line) Arrive() bool {
	if l.quality.Cut {
		l.stats.Cut++
		return false
	}
	l.stats.Delivered++
	return true
}

// countFlags counts the packets that begin and end TCP connections.
func (l *Line) countFlags(data []byte) {
	flags := tcpFlags(data)
	if flags&(flagSYN|flagACK) == flagSYN {
		l.stats.SYN++
	}
	if flags&flagFIN != 0 {
		l.stats.FIN++
	}
	if flags&flagRST != 0 {
		l.stats.RST++
	}
}

const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	_
	flagACK
)

const (
	ipv4Header  = 20 // the smallest
	protocolTCP = 6
)

// tcpFlags returns the flags of a TCP packet over IPv4 and 0 for anything else.
func tcpFlags(data []byte) byte {
	if len(data) < ipv4Header || data[0]>>4 != 4 || data[9] != protocolTCP {
		return 0
	}
	header := int(data[0]&15) * 4
	if fragment := binary.BigEndian.Uint16(data[6:]) & 0x1fff; fragment != 0 || len(data) < header+14 {
		return 0
	}
	return data[header+13]
}

// destination returns where an IPv4 packet goes, or false if it is not one.
func destination(data []byte) (addr [4]byte, ok bool) {
	if len(data) < ipv4Header || data[0]>>4 != 4 {
		return addr, false
	}
	return [4]byte(data[16:20]), true
}
