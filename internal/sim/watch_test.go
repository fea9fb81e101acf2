package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

// glance is what a lookout does once.
type glance struct {
	wait  time.Duration // before it
	what  glanceKind
	node  string // whose proc
	actor string
	pick  int // of the watches that there are, for stop
}

type glanceKind string

// The glances.
const (
	watchIt glanceKind = "watch"
	stopIt  glanceKind = "stop"
	linkIt  glanceKind = "link"
	unlink  glanceKind = "unlink"
)

// glanceTimeout bounds finding the way to who is watched.
const glanceTimeout = 10 * time.Second

// addGlances adds what the lookouts do. What they are made of does not change
// what else a seed decides.
func (p *plan) addGlances() {
	r := rand.New(rand.NewPCG(p.seed, 0x10c))
	p.glances = map[string][]glance{}
	targets := append(workerNames(), "nobody", agentName)
	linked := append(workerNames(), "nobody") // an agent fails with those that it is linked to, and its proc with it
	for _, n := range p.nodes {
		for range r.IntN(12) {
			g := glance{
				wait: upTo(r, pick(r, 10*time.Millisecond, 500*time.Millisecond, 2*time.Second)),
				what: pick(r, watchIt, watchIt, watchIt, watchIt, stopIt, linkIt, linkIt, unlink),
				node: p.nodes[r.IntN(len(p.nodes))].name, actor: targets[r.IntN(len(targets))], pick: r.IntN(100),
			}
			if g.what == linkIt {
				g.actor = linked[r.IntN(len(linked))]
			}
			p.glances[n.name] = append(p.glances[n.name], g)
		}
	}
}

const agentName = "agent"

// sighting is one watch and what became of it.
type sighting struct {
	from    *node
	to      id.Actor
	at      time.Duration
	err     error // of Watch
	stopped bool  // Stop was in time
	told    []time.Duration
}

func (s *sighting) String() string {
	return fmt.Sprintf("%v %s watches %v: error %v, stopped %v, told at %v", s.at, s.from, s.to, s.err, s.stopped, s.told)
}

// sightings are all watches of a world.
type sightings struct {
	mu  sync.Mutex // guards the following
	all []*sighting
}

// lookout is an actor that watches others, and is linked to some.
type lookout struct {
	node     *node
	monitors []actor.Monitor
	by       map[actor.Monitor]*sighting
}

var (
	look        = actor.OnSend("look", (*lookout).look)
	lookoutType = actor.Define("lookout", func(_ context.Context, n *node) (*lookout, error) {
		return &lookout{node: n, by: map[actor.Monitor]*sighting{}}, nil
	}, look)
)

const lookoutName = "lookout"

func (k *lookout) look(ctx context.Context, g glance) error {
	w := k.node.w
	ctx, cancel := context.WithTimeout(ctx, glanceTimeout)
	defer cancel()
	ref := actor.RefOf[*worker](w.address(op{node: g.node, actor: g.actor}))
	switch g.what {
	case watchIt:
		s := &sighting{from: k.node, to: ref.ID(), at: w.history.now()}
		var m actor.Monitor
		if m, s.err = actor.Watch(ctx, ref); s.err == nil {
			k.monitors = append(k.monitors, m)
			k.by[m] = s
		}
		w.sightings.mu.Lock()
		defer w.sightings.mu.Unlock()
		w.sightings.all = append(w.sightings.all, s)
	case stopIt:
		if len(k.monitors) > 0 {
			m := k.monitors[g.pick%len(k.monitors)]
			stopped := m.Stop()
			w.sightings.mu.Lock()
			defer w.sightings.mu.Unlock()
			k.by[m].stopped = k.by[m].stopped || stopped
		}
	case linkIt:
		actor.Link(ctx, ref)
	case unlink:
		actor.Unlink(ctx, ref)
	}
	return nil
}

// Down is told of the end of who is watched.
func (k *lookout) Down(_ context.Context, d actor.Down) error {
	w := k.node.w
	w.sightings.mu.Lock()
	defer w.sightings.mu.Unlock()
	s := k.by[d.Monitor]
	s.told = append(s.told, w.history.now())
	return nil
}

// LinkDown is told of the failure of who is linked.
func (k *lookout) LinkDown(context.Context, actor.Down) error { return nil }

// watch carries out what the lookout of a node does, in every life of it.
func (w *world) watch(name string, glances []glance) {
	for _, g := range glances {
		n := w.node(name)
		if n == nil {
			if w.wait(context.Background(), nil, g.wait); w.history.now() > w.plan.length {
				return
			}
			continue
		}
		if w.wait(context.Background(), n.ends, g.wait) {
			look.Call(n.ctx(), actor.RefOf[*lookout](n.id.Actor(lookoutName)), g)
		}
	}
}

// checkWatches ends the actors that are watched, and then those who watch, and
// sees that each was told once (AC-10) and that nobody remembers them.
func (w *world) checkWatches() []flaw {
	w.over.Store(true)
	for _, n := range w.nodes() {
		for _, name := range workerNames() {
			w.stop(n.name, name, false, time.Second)
		}
	}
	<-time.After(w.plan.pace.resumeFor / 2)
	found := w.untold()
	for _, n := range w.nodes() {
		w.stop(n.name, lookoutName, false, time.Second)
	}
	<-time.After(w.plan.pace.resumeFor / 2)
	for _, n := range w.nodes() {
		if s := n.proc.Status(); s.Ties > 0 {
			found = append(found, flaw{text: fmt.Sprintf("AC-10: %s has %d ties when nobody is left who watches", n, s.Ties)})
		}
		if t := n.gateway.Tables(); t.Ties > 0 {
			found = append(found, flaw{text: fmt.Sprintf("AC-10: %d ties pass the gateway of %s when nobody is left who watches", t.Ties, n)})
		}
	}
	return found
}

// untold returns the watches that were not told once. Agents are still there.
func (w *world) untold() []flaw {
	living := map[id.Proc]*node{}
	for _, n := range w.nodes() {
		living[n.id] = n
	}
	w.sightings.mu.Lock()
	defer w.sightings.mu.Unlock()
	var found []flaw
	for _, s := range w.sightings.all {
		want := 1
		switch {
		case living[s.from.id] != s.from:
			continue // nobody is left to be told
		case s.stopped || s.err != nil:
			want = 0
		case s.to.Name == agentName && living[s.to.Proc] != nil && len(s.told) == 0:
			want = 0
		}
		if len(s.told) != want {
			found = append(found, flaw{text: fmt.Sprintf("AC-10: told %d times, want %d: %v", len(s.told), want, s)})
		}
	}
	return found
}
