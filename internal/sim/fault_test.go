package sim

import (
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/internal/memnet"
)

// fault is something that happens at some time, and perhaps lasts.
type fault struct {
	kind  faultKind
	at    time.Duration
	lasts time.Duration
	a, b  string // nodes
	n     int    // bytes, or a worker
	link  memnet.Link
}

type faultKind string

// The faults. Those with a > go one way.
const (
	reset      faultKind = "reset a-b"
	resetOne   faultKind = "reset a-b for a"
	breakAfter faultKind = "reset a>b after n bytes"
	endAfter   faultKind = "end a>b after n bytes"
	block      faultKind = "block a>b"
	partition  faultKind = "block a-b"
	isolate    faultKind = "isolate a"
	pause      faultKind = "pause a"
	vanish     faultKind = "half-open a-b"
	refuse     faultKind = "refuse dials a>b"
	cut        faultKind = "cut a"
	slow       faultKind = "slow a>b"
	late       faultKind = "accept late in a"
	kill       faultKind = "kill a"
	closeNode  faultKind = "close a"
	stopActor  faultKind = "stop an actor of a"
	drainActor faultKind = "drain an actor of a"
)

func actorFaults() []faultKind { return []faultKind{stopActor, stopActor, drainActor} }

func networkFaults() []faultKind {
	return []faultKind{
		reset, resetOne, resetOne, breakAfter, breakAfter, breakAfter, endAfter, block, partition, isolate, pause,
		vanish, refuse, cut, slow, late, kill, closeNode,
	}
}

func (f fault) String() string {
	return fmt.Sprintf("%v for %v: %s (a=%s b=%s n=%d %+v)", f.at, f.lasts, f.kind, f.a, f.b, f.n, f.link)
}

// breaks reports whether the fault can cost sessions between which nodes; b is
// empty for all of a's.
func (f fault) breaks() (a, b string, ok bool) {
	switch f.kind {
	case reset, resetOne, breakAfter, endAfter, block, partition, vanish, slow, refuse:
		return f.a, f.b, true
	case isolate, pause, cut, late, kill, closeNode:
		return f.a, "", true
	}
	return "", "", false
}

// refuses reports whether dials are refused meanwhile, as if nobody listened.
func (f fault) refuses() bool { return f.kind == cut || f.kind == refuse }

// begin makes the fault happen.
func (f fault) begin(w *world) {
	switch f.kind {
	case reset:
		w.net.Reset(f.a, f.b)
	case resetOne:
		w.net.ResetOne(f.a, f.b)
	case breakAfter, endAfter:
		w.net.BreakAfter(f.a, f.b, f.n, f.kind == endAfter)
	case block:
		w.net.Block(f.a, f.b)
	case partition:
		w.net.Block(f.a, f.b)
		w.net.Block(f.b, f.a)
	case isolate:
		f.withOthers(w, w.net.Block)
	case pause:
		w.net.Node(f.a).Pause()
	case vanish:
		w.keep(f, w.net.Vanish(f.a, f.b))
	case refuse:
		w.net.Refuse(f.a, f.b, true)
	case cut:
		w.net.Cut(f.a)
	case slow:
		w.net.SetLink(f.a, f.b, f.link)
	case late:
		w.net.Node(f.a).SetAcceptDelay(f.lasts)
	case kill:
		w.kill(f.a, f.n == 1)
	case closeNode:
		w.close(f.a)
	case stopActor, drainActor:
		w.stop(f.a, workerNames()[f.n], f.kind == drainActor, f.lasts)
	}
}

// end makes it pass.
func (f fault) end(w *world) {
	switch f.kind {
	case block:
		w.net.Unblock(f.a, f.b)
	case partition:
		w.net.Unblock(f.a, f.b)
		w.net.Unblock(f.b, f.a)
	case isolate:
		f.withOthers(w, w.net.Unblock)
	case pause:
		w.net.Node(f.a).Resume()
	case vanish:
		w.giveUp(f)
	case refuse:
		w.net.Refuse(f.a, f.b, false)
	case cut:
		w.net.Heal(f.a)
	case slow:
		w.net.SetLink(f.a, f.b, w.plan.links[[2]string{f.a, f.b}])
	case late:
		w.net.Node(f.a).SetAcceptDelay(0)
	case kill:
		w.start(f.a, f.n == 1)
	case closeNode:
		w.start(f.a, false)
	}
}

func (f fault) withOthers(w *world, do func(from, to string)) {
	for _, n := range w.plan.nodes {
		if n.name != f.a {
			do(f.a, n.name)
			do(n.name, f.a)
		}
	}
}
