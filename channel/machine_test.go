package channel

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
	"pgregory.net/rapid"
)

// direction is the two halves of one direction of a session, and a connection
// between them that loses what is on its way when it breaks.
type direction struct {
	t        *rapid.T
	out      outbound
	in       inbound
	dec      wire.Decoder
	pipe     []byte // written and not yet read
	received uint64 // the last frame that was new to in

	sent []wire.Envelope // the model: what was given to out
	got  []wire.Envelope
}

// send gives a message of any shape to the sending half.
func (d *direction) send() {
	proc := func(n int) id.Proc { return id.Proc{Host: "h", Name: fmt.Sprint("p", n), UID: uint64(n) + 1} }
	e := wire.Envelope{
		Kind: rapid.SampledFrom([]wire.Kind{wire.Send, wire.Call, wire.Reply}).Draw(d.t, "kind"), Call: uint64(len(d.sent)) + 1,
		From:   proc(rapid.IntRange(0, 40).Draw(d.t, "from")).Actor("a"),
		To:     proc(rapid.IntRange(0, 40).Draw(d.t, "to")).Actor(rapid.SampledFrom([]string{"", "x", "y"}).Draw(d.t, "actor")),
		Method: rapid.SampledFrom([]string{"", "m", "n"}).Draw(d.t, "method"),
	}
	if size := rapid.SampledFrom([]int{0, 1, 100, 3000, largeBody - 1, largeBody, 3 * largeBlock}).Draw(d.t, "size"); size > 0 {
		e.Body = bytes.Repeat([]byte{byte(e.Call)}, size)
	}
	d.out.add(&e, e.Size(), 0)
	d.sent = append(d.sent, e)
}

// write takes a batch and puts it on the connection.
func (d *direction) write() {
	for _, b := range d.out.take(nil) {
		d.pipe = append(d.pipe, b...)
	}
	d.out.written()
}

// read reads whole frames from the first n bytes of the connection.
func (d *direction) read(n int) {
	for n >= wire.FrameHeader {
		t, size, err := wire.ParseHeader(d.pipe, wire.Limits{}.WithDefaults())
		if err != nil || t != wire.FrameData {
			d.t.Fatalf("frame of type %d: %v", t, err)
		}
		size += wire.FrameHeader
		if size > n {
			return
		}
		head, rest := wire.ParseData(bytes.Clone(d.pipe[wire.FrameHeader:size]))
		d.pipe, n = d.pipe[size:], n-size
		fresh, err := d.in.judge(head.Seq, d.received)
		if err != nil {
			d.t.Fatal(err)
		}
		if !fresh {
			continue
		}
		d.received = head.Seq
		e, err := d.dec.Decode(rest)
		if err != nil || !d.in.flows.resolve(head.Flow, &e) {
			d.t.Fatalf("frame %d: %v, flow %d", head.Seq, err, head.Flow)
		}
		d.got = append(d.got, e)
	}
}

// reconnect breaks the connection and makes another one.
func (d *direction) reconnect() {
	d.pipe = nil
	d.in.resume()
	if err := d.out.resume(d.received); err != nil {
		d.t.Fatal(err)
	}
}

func (d *direction) acknowledge() {
	if err := d.out.acknowledge(rapid.Uint64Range(0, d.received).Draw(d.t, "ack")); err != nil && d.received <= d.out.given {
		d.t.Fatal(err)
	}
}

// check compares what came with what was sent, and what is left with both.
func (d *direction) check() {
	if len(d.got) != int(d.received) {
		d.t.Fatalf("%d messages came, the last frame is %d", len(d.got), d.received)
	}
	for i := range d.got {
		if !sameMessage(d.got[i], d.sent[i]) {
			d.t.Fatalf("message %d came as %+v", i+1, d.got[i])
		}
	}
	next := d.out.acked
	for seq, e := range d.out.left() {
		want := d.sent[seq-1]
		want.Body, want.Parts = nil, nil
		if next++; seq != next || e.Call != want.Call || e.From != want.From || e.To != want.To || e.Method != want.Method || e.Kind != want.Kind {
			d.t.Fatalf("left: frame %d after %d: %+v, want %+v", seq, next, e, want)
		}
		if seq > d.out.sent && seq <= d.received {
			d.t.Fatalf("frame %d never left, and arrived", seq)
		}
	}
	if next != uint64(len(d.sent)) || d.out.acked > d.received {
		d.t.Fatalf("%d of %d are acknowledged or left, %d are acknowledged, %d came", next, len(d.sent), d.out.acked, d.received)
	}
	size := 0
	for i, s := range d.out.segs {
		size += len(s.b)
		if i == 0 {
			size -= d.out.head
		}
	}
	if size != d.out.bytes {
		d.t.Fatalf("%d bytes are kept, %d are counted", size, d.out.bytes)
	}
}

func sameMessage(a, b wire.Envelope) bool {
	for _, e := range []*wire.Envelope{&a, &b} {
		if len(e.Body) == 0 {
			e.Body = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

// TestMS5Model sends over a connection that breaks at any byte, any number of
// times: everything arrives once and in order, and at any moment each message
// is acknowledged, or left.
func TestMS5Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &direction{t: t, out: outbound{hub: new(Hub)}}
		t.Repeat(map[string]func(*rapid.T){
			"send":        func(*rapid.T) { d.send() },
			"burst":       func(*rapid.T) { d.send(); d.send(); d.write() },
			"write":       func(*rapid.T) { d.write() },
			"read":        func(*rapid.T) { d.read(len(d.pipe)) },
			"read some":   func(t *rapid.T) { d.read(rapid.IntRange(0, len(d.pipe)).Draw(t, "bytes")) },
			"acknowledge": func(*rapid.T) { d.acknowledge() },
			"reconnect":   func(*rapid.T) { d.reconnect() },
			"":            func(*rapid.T) { d.check() },
		})
		d.reconnect()
		for d.out.unsent() {
			d.write()
			d.read(len(d.pipe))
		}
		if len(d.got) != len(d.sent) {
			t.Fatalf("%d of %d arrived", len(d.got), len(d.sent))
		}
		if err := d.out.acknowledge(d.received); err != nil {
			t.Fatal(err)
		}
		if o := &d.out; o.bytes != 0 || len(o.segs) != 0 || o.current != nil {
			t.Fatalf("kept for nothing: %d bytes, %d segments", o.bytes, len(o.segs))
		}
	})
}

// TestAcknowledgementsThatLie claims what this connection was not given.
func TestMS8AcknowledgementsThatLie(t *testing.T) {
	o := outbound{hub: new(Hub)}
	e := wire.Envelope{Kind: wire.Send, Body: []byte("x")}
	o.add(&e, e.Size(), 0)
	if o.acknowledge(1) == nil || o.resume(1) == nil {
		t.Error("a frame that never left is acknowledged")
	}
	o.take(nil)
	o.written()
	o.add(&e, e.Size(), 0)
	if err := o.resume(0); err != nil {
		t.Fatal(err)
	}
	if o.acknowledge(1) == nil {
		t.Error("a frame is acknowledged that this connection was not given")
	}
	if o.resume(1) != nil || o.resume(0) == nil || o.resume(2) == nil {
		t.Error("resume takes what cannot be")
	}
}

// TestBlocksInTheWritersHands has the peer acknowledge what is still being
// written: nobody else gets its memory.
func TestBlocksInTheWritersHands(t *testing.T) {
	hub := new(Hub)
	o := outbound{hub: hub}
	e := wire.Envelope{Kind: wire.Send, Body: []byte("mine")}
	o.add(&e, e.Size(), 0)
	taken := o.take(nil)
	before := string(bytes.Join(taken, nil))
	if err := o.acknowledge(1); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		clear(hub.block(false).b)
	}
	if string(bytes.Join(taken, nil)) != before {
		t.Error("a block went to somebody else while it was being written")
	}
	o.written()
}

func TestVigilExcusesOurOwnSleep(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := vigil{beat: time.Second, suspect: 5 * time.Second, idle: 10 * time.Minute, waiting: 1}
	v.watch(start)
	now := start
	for range 4 {
		now = now.Add(time.Second)
		if got := v.look(now, start, 0, false); !got.ping || got.silent {
			t.Errorf("after %v: %+v", now.Sub(start), got)
		}
	}
	now = now.Add(time.Minute) // we were stopped
	if got := v.look(now, start, 0, false); got.silent {
		t.Error("our own sleep counts as the peer's silence")
	}
	now = v.next()
	if got := v.look(now, start, 0, false); !got.silent {
		t.Errorf("silent for %v in all: %+v", now.Sub(start), got)
	}
}

// MS-11: a pause and a call of the other session count together, whichever of the
// two an answer takes.
func TestVigilEndsWaitsOfBothSessions(t *testing.T) {
	var one, other vigil
	one.went(&wire.Envelope{Kind: wire.Call})
	other.came(&wire.Envelope{Kind: wire.Pause})
	for _, k := range []wire.Kind{wire.Reply, wire.Resume} {
		if other.came(&wire.Envelope{Kind: k}) && !one.answered(true) {
			t.Errorf("nothing waits for %v", k)
		}
	}
	if one.waiting+other.waiting != 0 {
		t.Errorf("%d and %d are still waited for", one.waiting, other.waiting)
	}
}
