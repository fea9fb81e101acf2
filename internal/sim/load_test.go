package sim

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/wire"
)

// load is what one sender does, one after the other: its messages have an
// order.
type load struct {
	node  string
	actor string // "" for the callers outside any actor
	ops   []op
}

// op is one or several equal messages.
type op struct {
	wait    time.Duration // before it
	what    what
	node    string // whose proc
	actor   string
	old     bool // the proc that the node was in its last life
	never   bool // a proc of the node's host that never was
	times   int
	size    int
	bulk    int           // bytes beside it
	hold    time.Duration // how long its handler takes, or its reply waits
	timeout time.Duration
}

// what is what a message is and does.
type what string

// The whats.
const (
	put      what = "put"      // a Send
	hold     what = "hold"     // a Send whose handler takes long
	ask      what = "ask"      // a Call
	askLong  what = "asklong"  // a Call whose handler takes long
	later    what = "later"    // a Call that is answered later
	askError what = "askerror" // a Call whose handler returns an error
	breakIt  what = "break"    // a Send whose handler fails
	panicIt  what = "panic"    // a Call whose handler panics
	garbage  what = "garbage"  // a Send whose body is of another type
	unknown  what = "unknown"  // a Send of a method that the actor lacks
)

func (w what) isCall() bool {
	return w == ask || w == askLong || w == later || w == askError || w == panicIt
}

// msg is the body of every message.
type msg struct {
	ID   int
	What what
	Hold time.Duration
	Pad  []byte
	Bulk wire.Bulk
}

// bulkDriver sends what has large bytes beside it.
const bulkDriver = "drvbulk"

// addBulk adds messages with large bytes beside them. What they are made of
// does not change what else a seed decides.
func (p *plan) addBulk() {
	r := rand.New(rand.NewPCG(p.seed, 0xb01))
	for _, n := range p.nodes {
		l := load{node: n.name, actor: bulkDriver}
		for range r.IntN(3) {
			l.ops = append(l.ops, op{
				wait: upTo(r, 4*time.Second), what: pick(r, put, put, ask), times: 1,
				node: p.nodes[r.IntN(len(p.nodes))].name, actor: workerNames()[r.IntN(len(workerNames()))],
				bulk: 1 + r.IntN(pick(r, 1000, 100_000, 100_000, 1<<20)), timeout: upTo(r, 30*time.Second),
			})
		}
		p.loads = append(p.loads, l)
	}
}

// addStrangers adds messages to procs that never were.
func (p *plan) addStrangers() {
	r := rand.New(rand.NewPCG(p.seed, 0x57a))
	for _, n := range p.nodes {
		l := load{node: n.name}
		for range r.IntN(6) {
			l.ops = append(l.ops, op{
				wait: upTo(r, 3*time.Second), what: pick(r, put, ask), times: 1, never: true,
				node: p.nodes[r.IntN(len(p.nodes))].name, actor: workerNames()[0], timeout: upTo(r, 20*time.Second),
			})
		}
		p.loads = append(p.loads, l)
	}
}

// bulkOf returns the large bytes of message n, which nobody may change.
func bulkOf(n, size int) []byte {
	start := n * 31 % (len(bulk) - 1<<20)
	return bulk[start : start+size : start+size]
}

// bulk is a pattern without a period that is a power of two.
var bulk = func() []byte {
	b := make([]byte, 1<<20+10_007)
	for i := range b {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}()

// whole reports whether the large bytes of m are what was sent.
func (m *msg) whole(size int) bool {
	b := m.Bulk.Bytes()
	return len(b) == size && bytes.Equal(b, bulkOf(m.ID, size))
}

// randomLoad makes what one sender does.
func (p *plan) randomLoad(r *rand.Rand, node, sender string) load {
	l := load{node: node, actor: sender}
	favourite := p.nodes[r.IntN(len(p.nodes))].name
	for range 3 + r.IntN(12) {
		o := op{
			wait: upTo(r, pick(r, 10*time.Millisecond, 200*time.Millisecond, 2*time.Second)),
			what: pick(r, put, put, put, put, put, put, ask, ask, ask, hold, askLong, later, later, askError),
			node: favourite, actor: workerNames()[r.IntN(len(workerNames()))],
			times: 1, size: r.IntN(200), timeout: upTo(r, pick(r, time.Second, 20*time.Second)),
		}
		if chance(r, 8) {
			o.what = pick(r, breakIt, panicIt, garbage, unknown)
		}
		if chance(r, 50) {
			o.node = p.nodes[r.IntN(len(p.nodes))].name
		}
		if chance(r, 4) {
			o.actor = "nobody"
		}
		if chance(r, 3) {
			o.old = true
		}
		switch {
		case chance(r, 20):
			o.times = 1 + r.IntN(20)
		case chance(r, 8): // near the limit of one that the message may pass
			limit := int(p.nodes[r.IntN(len(p.nodes))].maxFrame)
			o.size = limit - 400 + r.IntN(450)
		case chance(r, 3):
			o.size = 100_000
		}
		if o.what == hold || o.what == askLong || o.what == later {
			o.hold = upTo(r, pick(r, 10*time.Millisecond, 300*time.Millisecond, 3*time.Second))
		}
		l.ops = append(l.ops, o)
	}
	return l
}

// do carries out an op, sent by who.
func (n *node) do(ctx context.Context, who string, o op) {
	if !n.w.wait(ctx, n.ends, o.wait) {
		return
	}
	for range o.times {
		n.send(ctx, who, o)
	}
}

// send sends one message and notes what becomes of it.
func (n *node) send(ctx context.Context, who string, o op) {
	to := n.w.address(o)
	m, i, ok := n.w.history.send(n, who, to, o)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	ref := actor.RefOf[*worker](to)
	body := msg{ID: m.id, What: o.what, Hold: o.hold, Pad: make([]byte, max(0, o.size)), Bulk: wire.NewBulk(bulkOf(m.id, o.bulk))}
	var err error
	switch {
	case o.what == garbage:
		err = garbagePuts[i].Send(ctx, ref, "not a message")
	case o.what == unknown:
		err = unknownPuts[i].Send(ctx, ref, body)
	case o.what == later:
		_, err = askLater.Call(ctx, ref, body)
	case o.what.isCall():
		_, err = askNow.Call(ctx, ref, body)
	default:
		err = puts[i].Send(ctx, ref, body)
	}
	n.w.history.sent(m, err)
}

func (o op) String() string {
	return fmt.Sprintf("%d %s of %d bytes to %s/%s, hold %v, timeout %v", o.times, o.what, o.size, o.node, o.actor, o.hold, o.timeout)
}
