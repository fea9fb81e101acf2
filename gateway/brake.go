package gateway

import (
	"context"
	"errors"
	"sync"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// brake holds back those who send through us what a session does not carry away
// as fast as it comes (MS-7). They are asked with a Pause that whom they send to
// seems to have said. What they send until they have heard of it is queued.
type brake struct {
	crowd channel.Crowd

	mu   sync.Mutex // guards the following; a Pause goes out under it, and its Resume
	held map[flow]int
}

// flow is what a proc sends through us to an actor or, if that has no name, to all
// of a proc: of those that are held back, the brake counts the bytes that came since.
type flow struct {
	from id.Proc
	to   id.Actor
	over *link // on which it comes
}

// says is what the receiver of f seems to say to its sender.
func (f flow) says(k wire.Kind) wire.Envelope {
	return wire.Envelope{Kind: k, TTL: wire.DefaultTTL, From: f.to, To: f.from.Actor("")}
}

// askAgain is after how many more bytes somebody is asked once more: another
// gateway on the way may have let him go.
const askAgain = 1 << 20

// holdBack is told that e, which came over from, is about to go out over l.
func (g *Gateway) holdBack(from, l *link, e *wire.Envelope) {
	if from == nil || e.Kind != wire.Send && e.Kind != wire.Call && e.Kind != wire.Reply {
		return
	}
	switch l.sess.Crowded(e) {
	case channel.Queue:
		g.brake(l, &l.queue, flow{e.From.Proc, e.To.Proc.Actor(""), from}, e.Size())
	case channel.Transfers: // others pass them
		g.brake(l, &l.transfers, flow{e.From.Proc, e.To, from}, e.Size())
	}
}

// brake has f held back until the crowd of b on l is gone.
func (g *Gateway) brake(l *link, b *brake, f flow, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, held := b.held[f]
	after := before + size
	if !held || before/askAgain != after/askAgain {
		held = g.askToWait(f) || held // if not, the next message tries again
	}
	if !held {
		return
	}
	if b.held == nil {
		b.held = make(map[flow]int)
		g.background(func() {
			l.sess.Eased(context.Background(), b.crowd) // or it is at its end
			g.release(b)
		})
	}
	b.held[f] = after
}

// askToWait reports whether the sender of f will hear of it.
func (g *Gateway) askToWait(f flow) bool {
	pause := f.says(wire.Pause)
	g.openTie(&pause, path{out: f.over})
	if f.over.sess.TrySend(&pause) != nil {
		g.closeTie(&pause)
		return false
	}
	return true
}

// release tells those that b holds back that they may go on.
func (g *Gateway) release(b *brake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.held {
		resume := f.says(wire.Resume)
		g.sendSurely(f.over, &resume)
		t, _, _ := endedBy(&resume)
		g.paths.close(t)
	}
	b.held = nil
}

// sendSurely sends e over l, when there is room for it if not at once: somebody
// waits for it who is told of nothing else but the end of l.
func (g *Gateway) sendSurely(l *link, e *wire.Envelope) {
	if errors.Is(l.sess.TrySend(e), wire.MailboxFull) {
		later := *e
		g.background(func() { l.sess.Send(context.Background(), &later) })
	}
}

// background runs f, which ends with a session, unless the gateway is closing, and
// its sessions with it.
func (g *Gateway) background(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.goLocked(f)
}
