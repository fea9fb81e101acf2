package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// link is a session and whom it leads to.
type link struct {
	sess             *channel.Session
	peer             id.Proc
	dialed           bool             // by us
	addr             channel.Addr     // where, if so
	alone            bool             // the peer's certificate speaks for no other proc
	serial           uint64           // the larger the later it began
	up               bool             // Gateway.mu guards it; both sides know of the session
	lost             bool             // likewise; nothing new is to lead here
	over             bool             // likewise; left over, and being closed: sessions that begin later are not
	ended            bool             // likewise; Unroute tells why the peer has ended
	ties             map[tie]struct{} // paths.mu guards it; those that pass it
	watches          int              // likewise; the watches and links among those that went out over it
	unwatch          func()           // likewise; what to call when there are none any more
	broken           bool             // likewise; no tie is to pass here
	arrival          arrival          // the goroutine that reads owns it
	queue, transfers brake            // for those who send over it through us
	down             chan struct{}    // closed when the session has ended and everybody who must know has been told
}

// speaksFor reports whether what comes over l can be from p: a host passes on
// what its procs say, one that is alone says it itself (MS-15).
func (l *link) speaksFor(p id.Proc) bool { return !l.alone || p == l.peer }

func newLink() *link {
	return &link{down: make(chan struct{}), queue: brake{crowd: channel.Queue}, transfers: brake{crowd: channel.Transfers}}
}

// Listen serves peers that connect to addr and returns the real address: with
// tcp:127.0.0.1:0, the port. ctx bounds the call. A gateway may listen at
// several addresses (PM-6).
func (g *Gateway) Listen(ctx context.Context, addr channel.Addr) (channel.Addr, error) {
	l, real, err := g.cfg.Transports.Listen(ctx, addr)
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.goLocked(func() { g.serve(l) }) {
		l.Close()
		return "", fmt.Errorf("listen on %s: %w", addr, wire.ShuttingDown)
	}
	g.listeners = append(g.listeners, l)
	if g.addr == "" {
		g.addr = real
	}
	return real, nil
}

// acceptPause is how long we wait after a failed accept, so that a process
// without free descriptors does not spin.
const acceptPause = 100 * time.Millisecond

// serve accepts until the listener is closed.
func (g *Gateway) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			g.cfg.Log.Warn("accept", "addr", l.Addr(), "err", err)
			if !g.pause(acceptPause) {
				return
			}
			continue
		}
		if oldest := g.door.enter(conn); oldest != nil {
			oldest.Close()
		}
		g.wg.Go(func() { g.accept(conn) })
	}
}

// pause waits for d and reports whether the gateway is still open.
func (g *Gateway) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-g.quit:
		return false
	}
}

// accept says hello to somebody who connected and serves the session.
func (g *Gateway) accept(conn net.Conn) {
	l := newLink()
	cfg := g.sessionConfig(l, g.checkStranger)
	cfg.HelloTimeout = g.cfg.DialTimeout
	cfg.Begun = func(*channel.Session) { g.up(l) }
	g.mu.Lock()
	ctx, n := g.backgroundLocked(2 * g.cfg.DialTimeout) // the end of HelloTimeout says why
	g.mu.Unlock()
	sess, err := g.hub.Accept(ctx, conn, cfg)
	g.endBackground(n)
	if !g.door.leave(conn) && err != nil {
		err = errOvertaken
	}
	switch {
	case errors.Is(err, channel.ErrResumed):
	case err != nil:
		g.refuse(conn.RemoteAddr(), err)
	case g.begin(l, sess):
		g.run(l)
	}
}

// checkStranger checks a peer that connected to us: it must belong to us, and
// must not claim to be one of our own procs.
func (g *Gateway) checkStranger(h channel.Peer) error {
	if err := g.checkToken(h); err != nil {
		return err
	}
	if g.isLocal(h.Peer) {
		return fmt.Errorf("peer claims to be %v, which lives here", h.Peer)
	}
	return nil
}

// dial connects to p, or whoever it is if p is zero, which listens at addr, and
// serves the session. The caller runs on one of the gateway's goroutines.
func (g *Gateway) dial(ctx context.Context, p id.Proc, addr channel.Addr) (*link, error) {
	l := newLink()
	l.dialed, l.addr = true, addr
	cfg := g.sessionConfig(l, func(h channel.Peer) error {
		if err := g.checkToken(h); err != nil {
			return err
		}
		if h.Peer != p && !p.IsZero() {
			return fmt.Errorf("%v answers there", h.Peer)
		}
		return nil
	})
	cfg.Hello.To = p
	sess, err := g.cfg.Transports.Dial(ctx, addr, cfg)
	if err != nil {
		return nil, err
	}
	if !g.begin(l, sess) {
		return nil, wire.ShuttingDown
	}
	g.up(l)
	g.wg.Go(func() { g.run(l) })
	return l, nil
}

func (g *Gateway) sessionConfig(l *link, check func(channel.Peer) error) channel.Config {
	t := g.cfg.Timing
	return channel.Config{
		Hello: wire.Hello{
			Peer: g.cfg.Self, Epoch: g.cfg.Epoch, Token: g.cfg.Token,
			Limits: g.cfg.Limits, Addr: string(g.Addr()),
		},
		Hub:   &g.hub,
		Check: check,
		NotShared: func(err error) {
			g.cfg.Log.Info("large messages go through the socket", "peer", l.peer, "err", err)
		},
		Handle:     func(_ *channel.Session, e *wire.Envelope) { g.receive(l, e) },
		Take:       func(_ *channel.Session, e *wire.Envelope) bool { return g.take(l, e) },
		Settled:    func(*channel.Session) { l.arrival.flush() },
		QueueBytes: g.cfg.QueueBytes,
		ResumeFor:  t.ResumeFor, Heartbeat: t.Heartbeat, SuspectAfter: t.SuspectAfter, IdleTimeout: t.IdleTimeout,
	}
}

// begin makes sess the session of l, unless the gateway is closing.
func (g *Gateway) begin(l *link, sess *channel.Session) bool {
	l.sess, l.peer, l.alone = sess, sess.Peer().Peer, sess.Peer().Alone
	g.mu.Lock()
	open := !g.closing
	if open {
		g.serial++
		l.serial = g.serial
		g.links[l] = struct{}{}
		g.peers[l.peer] = append(g.peers[l.peer], l)
	}
	g.mu.Unlock()
	if !open {
		sess.Abort(wire.ShuttingDown)
	}
	return open
}

// up makes l a way to its peer, when both sides know of the session: a dialer
// that has not heard our answer will never use it. A session that comes up
// beside another one is used only for what arrives over it.
func (g *Gateway) up(l *link) {
	g.drain(g.elders(l), errReplaced)
	g.settle(l.peer)
	g.enter(l)
}

// elders returns the sessions that l replaces: a peer dials again only when it
// has lost the one before. What that one still holds was sent earlier, and is
// to be handled before anything that comes over l (MS-1).
func (g *Gateway) elders(l *link) []*link {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var elders []*link
	for _, other := range g.peers[l.peer] {
		if other.dialed == l.dialed && other.serial < l.serial {
			elders = append(elders, other)
		}
	}
	return elders
}

var errReplaced = errors.New("the peer has connected again")

// lastWords bounds how long we go on reading from a session that is at its
// end. The peer's socket is closed, so it takes as long as reading what is in
// ours, unless the network is gone or somebody inherited the socket.
const lastWords = 50 * time.Millisecond

// drain waits for the end of links whose peers are gone: they end with what is
// in their sockets. It cuts those that do not.
func (g *Gateway) drain(links []*link, cause error) {
	for _, l := range links {
		l.sess.EndWithConnection(cause)
	}
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	for _, l := range links {
		select {
		case <-l.down:
		case <-timer.C:
			timer.Reset(0)
			l.sess.Abort(cause)
			<-l.down
		}
	}
}

// enter makes l the way to its peer, if there is no other.
func (g *Gateway) enter(l *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.up = !g.closing; !l.up {
		return
	}
	r := g.routes[l.peer]
	switch {
	case r == nil:
		r = g.newRouteLocked(l.peer)
		r.hop, g.routes[l.peer] = l, r
	case r.search != nil && r.search.offer != nil && !r.search.offer.lost:
	case r.search != nil && r.detour && !r.search.straight:
		r.offerLocked(l)
	case r.search != nil:
		// The dial that may be under way is left to itself: the peer may be
		// about to use what it brings.
		f := r.search
		f.offer = l
		g.wg.Go(func() { g.endSearch(l.peer, r, f, l, nil) })
	case r.hop == nil:
		r.hop = l
	}
}

// endIsReported reports whether local callers of the peer of l hear of its end,
// or that it cannot be found, from somebody who knows more than l.
func (g *Gateway) endIsReported(l *link) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	r := g.routes[l.peer]
	return l.ended || r != nil && r.supervised && r.hop == l
}

// willHear reports whether from, which waits for something from p, is told of
// the end of p.
func (g *Gateway) willHear(from, p id.Proc) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if _, local := g.locals[from]; local {
		return true
	}
	way := g.attached[from.Host]
	if r := g.routes[from]; r != nil && r.hop != nil {
		way = r.hop
	}
	_, asks := g.askers[p][way]
	return asks
}

// run serves l to its end and tells everybody who must know.
func (g *Gateway) run(l *link) {
	err := l.sess.Run()
	reported := g.endIsReported(l)
	for e, written := range l.sess.Undelivered() {
		code := ""
		if written {
			code = InDoubt
		}
		if e.Kind == wire.Watch || e.Kind == wire.Down {
			g.backAlong(l, e)
			continue
		}
		if reported && e.Kind != wire.Send && e.To.Proc == l.peer && g.willHear(e.From.Proc, l.peer) {
			continue // it ends when the peer's end is known
		}
		g.giveBack(nil, e, wire.PeerGone, code, fmt.Sprintf("session with %v ended: %v", l.peer, err))
	}
	switch {
	case !g.isUp(l):
	case isIdle(err):
		g.rested(l)
	default:
		g.lost(l, err)
	}
	g.breakTies(l, fmt.Errorf("session with %v ended: %w", l.peer, err))
	g.mu.Lock()
	delete(g.links, l)
	rest := slices.DeleteFunc(g.peers[l.peer], func(other *link) bool { return other == l })
	if g.peers[l.peer] = rest; len(rest) == 0 {
		delete(g.peers, l.peer)
	}
	g.mu.Unlock()
	g.ways.forget(l)
	close(l.down)
}

// isUp reports whether l has ever been a way to its peer.
func (g *Gateway) isUp(l *link) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return l.up
}

// isIdle reports whether err is the end of a session that nobody needed.
func isIdle(err error) bool {
	closed, ok := errors.AsType[*channel.CloseError](err)
	return errors.Is(err, channel.ErrIdle) || ok && closed.Code == wire.CloseIdle
}

// Sessions returns how the sessions with other processes are doing, in no
// particular order.
func (g *Gateway) Sessions() []channel.Status {
	g.mu.RLock()
	defer g.mu.RUnlock()
	all := make([]channel.Status, 0, len(g.links))
	for l := range g.links {
		all = append(all, l.sess.Status())
	}
	return all
}
