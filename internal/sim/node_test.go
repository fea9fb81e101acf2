package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// node is one life of a node: a gateway and a proc.
type node struct {
	w       *world
	plan    nodePlan
	name    string
	life    int
	again   bool // it has the identity of its last life
	buried  bool // its end was told; world.mu guards it
	id      id.Proc
	mem     *memnet.Node
	gateway *gateway.Gateway
	proc    *actor.Proc
	ends    chan struct{}    // closed when the node begins to end
	met     map[id.Proc]bool // whom it was told of, and not of its end; world.mu guards it
	dead    atomic.Bool      // it was killed: what it still does, nobody sees
}

func (n *node) String() string { return fmt.Sprintf("%s#%d", n.name, n.life) }

func (n *node) isDead() bool { return n.dead.Load() }

// ctx returns a ctx that sends from the node's proc, outside any actor.
func (n *node) ctx() context.Context { return n.proc.Context(context.Background()) }

func newNode(w *world, name string, same bool) *node {
	n := &node{w: w, name: name, mem: w.net.Node(name), ends: make(chan struct{}), met: map[id.Proc]bool{}}
	for _, p := range w.plan.nodes {
		if p.name == name {
			n.plan = p
		}
	}
	w.mu.Lock()
	for _, old := range w.ever {
		if old.name == name {
			n.life++
			n.id, n.again = id.Proc{}, false
			if same && !old.buried && !old.again {
				n.id, n.again = old.id, true
			}
		}
	}
	w.mu.Unlock()
	var err error
	if n.id.IsZero() {
		if n.id, err = id.NewProc(name, "sim"); err != nil {
			w.t.Fatal(err)
		}
	}
	n.gateway = gateway.New(gateway.Config{
		Self: n.id, Token: []byte("sim"), Transports: channel.Transports{"mem": n.mem},
		Limits: wire.Limits{MaxFrame: n.plan.maxFrame}, QueueBytes: n.plan.queue,
		Timing: gateway.Timing{ResumeFor: w.plan.pace.resumeFor, IdleTimeout: w.plan.pace.idleTimeout},
	})
	if !n.plan.hidden {
		if _, err := n.gateway.Listen(context.Background(), addr(name)); err != nil {
			w.t.Fatal(err)
		}
	}
	n.proc, err = actor.NewProc(actor.Config{
		ID: n.id, Gateway: n.gateway, StopBound: time.Second,
		OnFailure:       func(*actor.Failure) {},
		OnUndeliverable: func(u actor.Undelivered) { w.history.returned(n, "", u) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.spawnWorkers()
	if _, err := lookoutType.Spawn(n.ctx(), n.id, lookoutName, n); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range append(driverNames(), bulkDriver) {
		if _, err := driverType.Spawn(n.ctx(), n.id, name, driver{n, name}); err != nil {
			w.t.Fatal(err)
		}
	}
	return n
}

// spawnWorkers makes the workers that are missing.
func (n *node) spawnWorkers() {
	for _, name := range workerNames() {
		t := workerType.WithMailbox(mailboxOf(name))
		t.Spawn(n.ctx(), n.id, name, worker{n, name}) // usually it is there already
	}
}

// tidyEvery is how often a janitor looks while actors may end, and tidyRarely
// how often when they should not any more.
const (
	tidyEvery  = 700 * time.Millisecond
	tidyRarely = 20 * time.Second
)

// tidy makes new workers for those that ended, until the node ends. One that
// nobody can dial attaches to the hub first.
func (n *node) tidy() {
	for n.w.wait(context.Background(), n.ends, n.untilTidy()) {
		if !n.w.over.Load() {
			n.spawnWorkers()
		}
	}
}

func (n *node) untilTidy() time.Duration {
	if n.w.history.now() < n.w.plan.length+10*time.Second {
		return tidyEvery
	}
	return tidyRarely
}

// attach attaches a node that nobody can dial to the hub (MS-14). From then on
// the gateway keeps that up.
func (n *node) attach() {
	for {
		ctx, cancel := context.WithTimeout(n.ctx(), 10*time.Second)
		_, err := n.gateway.Attach(ctx, addr(hub))
		cancel()
		if err == nil || errors.Is(err, gateway.ErrAttached) || !n.w.wait(context.Background(), n.ends, tidyEvery) {
			return
		}
	}
}

// meet tells n where another node is, as the shape of the world has it.
func (n *node) meet(other *node) {
	h := n.w.node(hub)
	n.w.mu.Lock()
	n.met[other.id] = true
	n.w.mu.Unlock()
	switch {
	case n.plan.hidden && (other.name == hub || n.w.plan.shape == star): // attach sees to it
	case other.name == hub && n.w.plan.shape == star:
		n.gateway.Uplink(other.id, addr(hub))
	case other.plan.hidden && n.name == hub:
	case other.name == hub, n.name == hub, n.w.plan.shape == mesh && !other.plan.hidden:
		n.gateway.Route(other.id, addr(other.name))
	case n.w.plan.shape == star:
	case h != nil:
		n.gateway.RouteVia(other.id, h.id)
	}
}

// lastWords is how long a proc that was stopped waits for others to take what it
// still has to say. The workers end at once.
const lastWords = 500 * time.Millisecond

var errUnsaid = errors.New("the proc has dropped what it had to say")

// end ends the node and waits until nothing of it is left. The error says that
// it had more to say than its links let through in time.
func (n *node) end(ctx context.Context) error {
	close(n.ends)
	lost, from := n.proc.Lost(), time.Now()
	if err := n.proc.Stop(ctx, 3*time.Second); err != nil {
		n.w.fail("%s: %v", n, err)
	}
	late := time.Since(from) >= lastWords
	bound, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := n.gateway.Close(bound)
	if late && n.proc.Lost() > lost {
		err = cmp.Or(err, errUnsaid)
	}
	return err
}
