package gateway

import (
	"context"
	"errors"
	"sync"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// brake holds back those who send through us what a session does not carry away
// as fast as it comes (MS-7). They are asked with a Pause that a proc seems to have
// sent, not an actor: it concerns all messages to it. What they send until
// they have heard of it is queued.
type brake struct {
	mu   sync.Mutex // guards the following; a Pause goes out under it, and its Resume
	held map[flow]int
}

// flow is what a proc sends to another one through us: of those that are held
// back, the brake counts the bytes that came since.
type flow struct {
	from, to id.Proc
	over     *link // on which it comes
}

// says is what the receiver of f seems to say to its sender.
func (f flow) says(k wire.Kind) wire.Envelope {
	return wire.Envelope{Kind: k, TTL: wire.DefaultTTL, From: f.to.Actor(""), To: f.from.Actor("")}
}

// askAgain is after how many more bytes somebody is asked once more: another
// gateway on the way may have let him go.
const askAgain = 1 << 20

// holdBack is told that e, which came over from, is about to go out over l.
func (g *Gateway) holdBack(from, l *link, e *wire.Envelope) {
	if from == nil || e.Kind != wire.Send && e.Kind != wire.Call && e.Kind != wire.Reply || !l.sess.Crowded() {
		return
	}
	f, b := flow{from: e.From.Proc, to: e.To.Proc, over: from}, &l.brake
	b.mu.Lock()
	defer b.mu.Unlock()
	before, held := b.held[f]
	after := before + e.Size()
	if !held || before/askAgain != after/askAgain {
		held = g.askToWait(f) || held // if not, the next message tries again
	}
	if !held {
		return
	}
	if b.held == nil {
		b.held = make(map[flow]int)
		g.mu.Lock()
		g.goLocked(func() { g.letGo(l) })
		g.mu.Unlock()
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

// letGo waits until l carries again, or is at its end, and tells those that were
// held back.
func (g *Gateway) letGo(l *link) {
	for next := l; next != nil; next = g.release(&l.brake) {
		next.sess.Eased(context.Background())
	}
}

// release tells those that b holds back that they may go on. It returns a session
// that has no room for that yet, if there is one.
func (g *Gateway) release(b *brake) (full *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.held {
		resume := f.says(wire.Resume)
		if errors.Is(f.over.sess.TrySend(&resume), wire.MailboxFull) {
			full = f.over
			continue
		}
		t, _, _ := endedBy(&resume)
		g.paths.close(t)
		delete(b.held, f)
	}
	if full == nil {
		b.held = nil
	}
	return full
}
