package actor

import (
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// inlet is where one session's messages come into a proc. What goes one way and
// is quick to decode, it decodes at once: such messages of one actor to another
// are queued together, under one lock.
type inlet struct {
	proc *Proc
	head *heading // of run; nil if there is none
	run  run
}

// Inlet returns a way in for one session. A proc with an Observer has none: it is
// to tell of each message when it is there.
func (p *Proc) Inlet() gateway.Inlet {
	if p.cfg.Observe != nil {
		return nil
	}
	return &inlet{proc: p}
}

// heading is what is the same in the messages of a run.
type heading struct {
	from, to id.Actor
	method   string
	cell     *cell // called to.Name, when the run began
}

// fits reports whether e may join the messages of h.
func (h *heading) fits(e *wire.Envelope) bool {
	return h.to == e.To && h.from == e.From && h.method == e.Method && h.cell.bond.Load() != over
}

// giveBack returns one of the messages, which was not handled, to its sender.
func (h *heading) giveBack(reason wire.Reason, why string) {
	h.cell.proc.giveBack(&wire.Envelope{From: h.from, To: h.to, Method: h.method}, reason, why, false)
}

// run is the messages with one heading that have come and are not queued yet.
type run interface {
	// add decodes the body of one more. It reports whether it has taken it, and
	// whether no more fits.
	add(body []byte) (taken, full bool)

	flush() // queues them
}

// Take takes a Send, whose body is there only until it returns. It reports false
// if that one is for Deliver.
func (in *inlet) Take(e *wire.Envelope) bool {
	if e.Trace != nil || e.Call != 0 {
		return false
	}
	if in.head == nil || !in.head.fits(e) {
		in.Flush()
		if !in.begin(e) {
			return false
		}
	}
	taken, full := in.run.add(e.Body)
	if full {
		in.run.flush()
	}
	return taken
}

// begin makes the run that e is the first of. It reports false if there are none
// of its kind.
func (in *inlet) begin(e *wire.Envelope) bool {
	in.head, in.run = nil, nil
	c := in.proc.receiver(e.To.Name)
	if c == nil || e.To.Proc != in.proc.id {
		return false
	}
	m := c.typ.byName[e.Method]
	if m == nil {
		return false
	}
	h := &heading{e.From, e.To, e.Method, c}
	if in.run = m.newRun(h); in.run == nil {
		return false
	}
	in.head = h
	return true
}

// Flush queues what was taken.
func (in *inlet) Flush() {
	if in.run != nil {
		in.run.flush()
	}
}

// maxRun bounds a run: messages that are handed over together.
const maxRun = 64

// runOf is a run of one method.
type runOf[A, Req, Resp any] struct {
	*heading
	method *method[A, Req, Resp]
	reqs   []Req
	fresh  []arrived[A, Req, Resp] // for slots that have none to use again
}

func (d *method[A, Req, Resp]) newRun(h *heading) run {
	if !wire.IsPlain(new(Req)) {
		return nil
	}
	return &runOf[A, Req, Resp]{heading: h, method: d}
}

func (r *runOf[A, Req, Resp]) add(body []byte) (taken, full bool) {
	n := len(r.reqs)
	r.reqs = append(r.reqs, *new(Req))
	if !wire.UnmarshalPlain(body, &r.reqs[n]) {
		r.reqs = r.reqs[:n]
		return false, false
	}
	return true, n+1 == maxRun
}

// flush never blocks: what finds no room is parked, and the sender's proc told
// to hold back (MS-7), or goes back.
func (r *runOf[A, Req, Resp]) flush() {
	if len(r.reqs) == 0 {
		return
	}
	left, dropped, start := r.put(&r.cell.queue)
	if start {
		r.cell.proc.run(r.cell)
	}
	for _, m := range dropped {
		m.reject(r.cell, wire.MailboxFull, waitedLongest)
	}
	for range left {
		r.giveBack(r.cell.noRoom(), "")
	}
	clear(r.reqs)
	r.reqs = r.reqs[:0]
}

// put queues requests under one lock. It returns how many were not taken, which
// are the last ones, the messages that made room, and whether the caller has to
// start the actor's goroutine.
func (r *runOf[A, Req, Resp]) put(q *queue) (left int, dropped []message, start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	some := false
	for i, req := range r.reqs {
		slot, parked, old := q.seat(r.cell, &r.from.Proc)
		if slot == nil {
			left = len(r.reqs) - i
			break
		}
		if old != nil {
			dropped = append(dropped, old)
		}
		r.fill(slot, req)
		some = some || !parked
	}
	if some {
		start = !q.running
		q.running = true
	}
	return left, dropped, start
}

// fill puts a message into slot: the one that is there, if it is of the same kind.
func (r *runOf[A, Req, Resp]) fill(slot *message, req Req) {
	m, ok := (*slot).(*arrived[A, Req, Resp])
	if !ok {
		m = r.newArrived()
		*slot = m
	}
	m.method, m.head, m.req = r.method, r.heading, req
}

// newArrived returns one of a few that are made at a time.
func (r *runOf[A, Req, Resp]) newArrived() *arrived[A, Req, Resp] {
	if len(r.fresh) == 0 {
		r.fresh = make([]arrived[A, Req, Resp], min(len(r.reqs), maxBatch/2))
	}
	m := &r.fresh[0]
	r.fresh = r.fresh[1:]
	return m
}

// arrived is a message of a run. Like a request, the queue keeps it for reuse.
type arrived[A, Req, Resp any] struct {
	method *method[A, Req, Resp]
	head   *heading
	req    Req
}

func (m *arrived[A, Req, Resp]) run(c *cell) error {
	c.lull = true
	req := m.req
	m.req = *new(Req) // what it points to is garbage when the handler is done with it
	return m.method.apply(c, nil, req)
}

func (m *arrived[A, Req, Resp]) reject(_ *cell, reason wire.Reason, why string) {
	m.head.giveBack(reason, why)
}

func (m *arrived[A, Req, Resp]) reuse() bool { return true }
