package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
)

// world is a simulation while it runs.
type world struct {
	t       *testing.T
	plan    *plan
	net     *memnet.Network
	history *history
	ending  sync.WaitGroup // nodes

	mu      sync.Mutex // guards the following
	alive   map[string]*node
	ever    []*node // all lives of all nodes
	giveUps map[fault]func()
	events  []event

	sightings sightings
	over      atomic.Bool // what ends from now on is not made again
}

// event is something that can cost messages: between two nodes, or all of one's
// (b is empty).
type event struct {
	a, b     string
	from, to time.Duration
	why      string
	end      bool // sessions are given up
	dies     bool // a node was killed or closed
	gentle   bool // it was closed, in good order
}

func newWorld(t *testing.T, p *plan) *world {
	w := &world{
		t: t, plan: p, net: memnet.NewSeeded(p.seed), history: newHistory(),
		alive: map[string]*node{}, giveUps: map[fault]func(){},
	}
	for pair, l := range p.links {
		w.net.SetLink(pair[0], pair[1], l)
	}
	for _, n := range p.nodes {
		w.start(n.name, false)
	}
	return w
}

// run lets happen what is planned, heals what is broken and lets it settle.
func (w *world) run() {
	var loads, faults sync.WaitGroup
	for _, l := range w.plan.loads {
		loads.Go(func() { w.load(l) })
	}
	for name, g := range w.plan.glances {
		loads.Go(func() { w.watch(name, g) })
	}
	for _, f := range w.plan.faults {
		faults.Go(func() { w.inflict(f) })
	}
	faults.Wait()
	<-time.After(w.plan.length - w.history.now())
	w.net.Restore()
	for _, n := range w.plan.nodes {
		w.start(n.name, false)
	}
	loads.Wait()
	<-time.After(w.plan.settling())
}

// load carries out what a sender does, in every life of its node.
func (w *world) load(l load) {
	for _, o := range l.ops {
		n := w.node(l.node)
		if n == nil {
			if w.wait(context.Background(), nil, o.wait); w.history.now() > w.plan.length {
				return
			}
			continue
		}
		if l.actor == "" {
			n.do(n.ctx(), "", o)
			continue
		}
		drive.Call(n.ctx(), actor.RefOf[*driver](n.id.Actor(l.actor)), o)
	}
}

// inflict makes a fault happen and pass.
func (w *world) inflict(f fault) {
	w.wait(context.Background(), nil, f.at)
	from := w.history.now()
	f.begin(w)
	w.wait(context.Background(), nil, f.lasts)
	f.end(w)
	if a, b, ok := f.breaks(); ok {
		e := event{a: a, b: b, from: from, to: w.history.now(), why: string(f.kind), dies: f.kind == kill || f.kind == closeNode, gentle: f.kind == closeNode}
		e.end = e.dies || f.refuses() && w.plan.givesUp()
		if f.kind == breakAfter || f.kind == endAfter {
			e.to = w.plan.length + w.plan.settling()
		}
		w.note(e)
	}
}

// keep keeps what ends the connections that f made half open; giveUp does it.
func (w *world) keep(f fault, giveUp func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.giveUps[f] = giveUp
}

func (w *world) giveUp(f fault) {
	w.mu.Lock()
	giveUp := w.giveUps[f]
	w.mu.Unlock()
	giveUp()
}

func (w *world) note(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// wait waits for d, or until ctx or done ends, which it reports as false.
func (w *world) wait(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
	case <-ctx.Done():
	}
	return false
}

// node returns the living node of that name, or nil.
func (w *world) node(name string) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.alive[name]
}

// nodes returns the nodes that live.
func (w *world) nodes() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*node
	for _, p := range w.plan.nodes {
		if n := w.alive[p.name]; n != nil {
			all = append(all, n)
		}
	}
	return all
}

// address is the actor that o is for, as the world is now.
func (w *world) address(o op) id.Actor {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last, before *node
	for _, n := range w.ever {
		if n.name == o.node {
			last, before = n, last
		}
	}
	if o.old && before != nil {
		last = before
	}
	to := last.id
	if o.never {
		to.UID = id.NewUID()
	}
	return to.Actor(o.actor)
}

// start starts a node, unless it lives; with the same identity as in its last
// life if same is set and nobody was told of the end of that.
func (w *world) start(name string, same bool) {
	if w.node(name) != nil {
		return
	}
	n := newNode(w, name, same)
	w.mu.Lock()
	w.alive[name] = n
	w.ever = append(w.ever, n)
	w.mu.Unlock()
	for _, one := range w.nodes() {
		for _, other := range w.nodes() {
			if one != other && (one == n || other == n || name == hub) {
				one.meet(other)
			}
		}
	}
	w.ending.Go(n.tidy)
	if n.plan.hidden {
		w.ending.Go(n.attach)
	}
}

// take removes a living node.
func (w *world) take(name string) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.alive[name]
	delete(w.alive, name)
	return n
}

// kill ends a node as SIGKILL does: what it has in memory is lost. Nobody is
// told of the end if it comes back as the same.
func (w *world) kill(name string, same bool) {
	n := w.take(name)
	if n == nil {
		return
	}
	n.dead.Store(true)
	n.mem.Kill()
	w.ending.Go(func() { n.end(context.Background()) })
	if !same {
		w.bury(n)
	}
}

// close ends a node in good order.
func (w *world) close(name string) {
	if n := w.take(name); n != nil {
		w.mu.Lock()
		n.buried = true // whoever is started meanwhile is somebody else
		w.mu.Unlock()
		if from := w.history.now(); n.end(context.Background()) != nil {
			w.note(event{a: name, from: from, to: w.history.now(), why: "a close that was cut short", end: true})
		}
		w.bury(n)
	}
}

// bury tells whoever follows the ends of nodes.
func (w *world) bury(n *node) {
	w.mu.Lock()
	n.buried = true
	w.mu.Unlock()
	for _, other := range w.nodes() {
		if w.plan.shape != star || other.name == hub {
			other.gateway.Unroute(n.id, errDead)
			w.mu.Lock()
			delete(other.met, n.id)
			w.mu.Unlock()
		}
	}
}

var errDead = errors.New("the node has ended")

// stop stops or drains an actor; its node's janitor makes a new one.
func (w *world) stop(name, actorName string, drain bool, budget time.Duration) {
	n := w.node(name)
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx(), time.Minute)
	defer cancel()
	ref := actor.RefOf[*worker](n.id.Actor(actorName))
	if drain {
		ref.Drain(ctx, budget)
	} else {
		ref.Stop(ctx, budget)
	}
}

// addr is where a node listens.
func addr(name string) channel.Addr { return channel.Addr("mem:" + name) }

func (w *world) fail(format string, args ...any) {
	w.t.Errorf("seed %d: %s", w.plan.seed, fmt.Sprintf(format, args...))
}
