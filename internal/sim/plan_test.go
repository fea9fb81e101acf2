package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hyperactor/hyperactor/internal/memnet"
)

// plan is all that a seed decides.
type plan struct {
	seed    uint64
	shape   shape
	nodes   []nodePlan
	links   map[[2]string]memnet.Link
	loads   []load
	glances map[string][]glance // of the lookout of each node
	faults  []fault             // in the order in which they begin
	pace    pace
	quiet   bool // no fault touches the network or kills
	length  time.Duration
}

// shape says how the nodes know of each other.
type shape string

// The shapes.
const (
	star shape = "star" // all but the hub know the hub as their uplink, and find each other through it
	mesh shape = "mesh" // everybody knows everybody's address
	via  shape = "via"  // everybody reaches the others by a source route through the hub
)

// nodePlan is one node, over all its lives.
type nodePlan struct {
	name     string
	hidden   bool // it can dial and cannot be dialed: it is behind NAT
	maxFrame uint32
	queue    int
}

const hub = "hub"

// pace is how patient the sessions of all nodes are, and what follows from it
// for the time that a world needs to come to rest.
type pace struct {
	resumeFor, idleTimeout time.Duration
}

// The paces. What a seed costs is mostly the heartbeats of the time in which
// nothing happens any more, so most seeds are brisk.
var (
	patient = pace{resumeFor: 2 * time.Minute, idleTimeout: time.Minute}
	brisk   = pace{resumeFor: 30 * time.Second, idleTimeout: 15 * time.Second}
)

// restful is how long nobody says anything before the tables are counted:
// sessions that nobody needs go away, and what was noted for them.
func (p pace) restful() time.Duration { return 3 * p.idleTimeout }

// recovery is how long after a node has ended messages may still be sent over
// the session with it, which waits for its return.
func (p pace) recovery() time.Duration { return p.resumeFor + 10*time.Second }

// addPace decides the pace. What it is does not change what else a seed
// decides.
func (p *plan) addPace() {
	r := rand.New(rand.NewPCG(p.seed, 0x9ace))
	p.pace = pick(r, patient, brisk, brisk, brisk, brisk)
}

// settling is how long after the last fault everything has to be as if nothing
// had happened: sessions that nobody continues are given up, and everybody has
// handled what there is.
func (p *plan) settling() time.Duration {
	busy := map[[2]string]time.Duration{}
	var longest time.Duration
	for _, l := range p.loads {
		for _, o := range l.ops {
			at := [2]string{o.node, o.actor}
			busy[at] += o.hold * time.Duration(o.times)
			longest = max(longest, busy[at])
		}
	}
	return max(p.pace.resumeFor+p.pace.idleTimeout/4, longest)
}

// newPlan makes the plan of a seed.
func newPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0x51b))
	p := &plan{seed: seed, length: 10 * time.Second, links: map[[2]string]memnet.Link{}}
	p.shape = pick(r, star, star, mesh, via)
	for i, name := range []string{hub, "a", "b", "c"} {
		p.nodes = append(p.nodes, nodePlan{
			name: name, hidden: i == 3 && chance(r, 40),
			maxFrame: pick[uint32](r, 8<<10, 16<<10, 32<<10), queue: pick(r, 32<<10, 64<<10, 256<<10),
		})
	}
	delay := pick(r, 0, time.Millisecond, 20*time.Millisecond)
	for _, from := range p.nodes {
		for _, to := range p.nodes {
			p.links[[2]string{from.name, to.name}] = randomLink(r, delay)
		}
	}
	for _, n := range p.nodes {
		for _, actor := range append(driverNames(), "") {
			p.loads = append(p.loads, p.randomLoad(r, n.name, actor))
		}
	}
	p.addFaults(r)
	p.addGlances()
	p.addBulk()
	p.addStrangers()
	p.addPace()
	return p
}

func randomLink(r *rand.Rand, delay time.Duration) memnet.Link {
	l := memnet.Link{Delay: delay, Buffer: pick(r, 512, 4<<10, 64<<10)}
	if chance(r, 50) {
		l.Jitter = upTo(r, 10*time.Millisecond)
	}
	if chance(r, 20) {
		l.Rate = pick(r, 50_000, 500_000)
	}
	return l
}

// addFaults adds what happens. Some plans have none, some spare the network.
func (p *plan) addFaults(r *rand.Rand) {
	kinds := slices.Clone(actorFaults())
	switch r.IntN(10) {
	case 0:
		p.quiet = true
	case 1:
		p.quiet = true
		kinds = append(kinds, closeNode)
	default:
		kinds = append(kinds, networkFaults()...)
	}
	for range r.IntN(9) {
		p.faults = append(p.faults, p.randomFault(r, kinds))
	}
	slices.SortStableFunc(p.faults, func(a, b fault) int { return int(a.at - b.at) })
}

func (p *plan) randomFault(r *rand.Rand, kinds []faultKind) fault {
	f := fault{kind: kinds[r.IntN(len(kinds))], at: upTo(r, p.length), lasts: upTo(r, pick(r, 300*time.Millisecond, 2*time.Second, 8*time.Second))}
	order := r.Perm(len(p.nodes))
	f.a, f.b = p.nodes[order[0]].name, p.nodes[order[1]].name
	switch f.kind {
	case breakAfter, endAfter:
		f.n = pick(r, r.IntN(100), r.IntN(2000), r.IntN(100_000))
	case stopActor, drainActor:
		f.n = r.IntN(len(workerNames()))
	case slow:
		f.link = memnet.Link{Delay: upTo(r, time.Second), Jitter: upTo(r, time.Second), Rate: pick(r, 0, 2000, 20_000), Buffer: pick(r, 100, 10_000)}
	case kill:
		f.n = r.IntN(2)
	}
	return f
}

// enoughRefused is for how long dials may be refused before a session is given
// up: nobody seems to listen there any more. It is less than SuspectAfter of a
// session.
const enoughRefused = 4 * time.Second

// givesUp reports whether sessions may be given up because of refused dials.
func (p *plan) givesUp() bool {
	var sum time.Duration
	for _, f := range p.faults {
		if f.refuses() {
			sum += f.lasts
		}
	}
	return sum >= enoughRefused
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// String tells the plan, one line for each thing that happens.
func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s, quiet %v, %+v\n", p.seed, p.shape, p.quiet, p.pace)
	for _, n := range p.nodes {
		fmt.Fprintf(&b, "  node %s: hidden %v, frames up to %d, queue %d\n", n.name, n.hidden, n.maxFrame, n.queue)
	}
	for _, from := range p.nodes {
		for _, to := range p.nodes {
			if from.name != to.name {
				l := p.links[[2]string{from.name, to.name}]
				fmt.Fprintf(&b, "  link %s>%s: %v + up to %v, %d bytes/s, buffer %d\n", from.name, to.name, l.Delay, l.Jitter, l.Rate, l.Buffer)
			}
		}
	}
	for _, f := range p.faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	return b.String()
}
