package gateway

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Gateway routes envelopes. All its methods may be called at any time by
// anyone, except from a Local's methods: those may call Send only with what
// goes to a local proc.
//
// A message goes to a proc over one session, the same one as long as that
// lives, so that the messages of one sender stay in order (MS-1, MS-2).
type Gateway struct {
	cfg    Config
	epoch  uint64
	quit   chan struct{} // closed when Close begins
	closed chan struct{} // closed when Close has ended
	door   door
	wg     sync.WaitGroup
	hub    channel.Hub
	stats  counters
	ways   ways

	mu        tableLock // guards the following
	closing   bool
	addr      channel.Addr // the first that we listen on
	listeners []net.Listener
	cancels   map[uint64]context.CancelFunc // of what runs in the background
	locals    map[id.Proc]Local
	everybody []Local // the locals; nil if that has to be found out; the elements never change
	uplink    id.Proc // zero if there is none
	attaching bool    // an uplink is about to be found
	routes    map[id.Proc]*route
	links     map[*link]struct{}
	ends      ends                           // why procs have ended that were unrouted
	askers    map[id.Proc]map[*link]struct{} // who is to be told when a proc ends
	watches   map[watch]*link                // that have no answer, by the session that they went over
	asks      map[uint64]*ask                // Resolves and Attaches without an answer
	attached  map[string]*link               // by the name of the host whose procs are reached through it
	forwards  int                            // asks on behalf of others
	serial    uint64                         // of cancels and asks
}

// Local is a proc in this process. Its methods never block.
type Local interface {
	// Deliver hands over a message that is addressed to the proc, or a Return
	// for it. Messages of one sender come in order. e is there only until
	// Deliver returns, and must not be changed; what e refers to stays.
	Deliver(e *wire.Envelope)

	// Gone says that p has ended or cannot be reached: calls that wait for it
	// fail with cause.
	Gone(p id.Proc, cause error)
}

// Config describes a gateway. Self and Transports are needed.
type Config struct {
	Self        id.Proc // who we say we are
	Token       []byte  // every peer must have the same one
	Transports  channel.Transports
	Limits      wire.Limits
	Log         *slog.Logger  // nothing is logged if nil
	DialTimeout time.Duration // bounds finding a way to a proc; 5 s if zero

	// GoneBound is how long calls to a supervised proc that was lost wait for
	// whoever knows why it ended; 2 s if zero.
	GoneBound time.Duration

	QueueBytes int // per peer; 4 MiB if zero (MS-7)
	Timing     Timing

	Causes Causes // takes the causes of ends over the wire; they become texts if nil
}

// Timing says how patient sessions are. What is zero is as channel.Config says.
type Timing struct {
	ResumeFor    time.Duration // how long a session waits for a connection that can continue it
	Heartbeat    time.Duration // how often a peer that somebody depends on shows that it lives (MS-11)
	SuspectAfter time.Duration // how long it may be silent before its connection is given up
	IdleTimeout  time.Duration // how long a session stays that nobody uses
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.WithDefaults()
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.GoneBound = cmp.Or(c.GoneBound, 2*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// New returns a gateway that listens nowhere and knows nobody.
func New(cfg Config) *Gateway {
	return &Gateway{
		cfg:      cfg.withDefaults(),
		epoch:    id.NewUID(),
		quit:     make(chan struct{}),
		closed:   make(chan struct{}),
		cancels:  make(map[uint64]context.CancelFunc),
		locals:   make(map[id.Proc]Local),
		routes:   make(map[id.Proc]*route),
		links:    make(map[*link]struct{}),
		ends:     ends{causes: make(map[id.Proc]error)},
		askers:   make(map[id.Proc]map[*link]struct{}),
		watches:  make(map[watch]*link),
		asks:     make(map[uint64]*ask),
		attached: make(map[string]*link),
	}
}

// Bind makes l the proc called p.
func (g *Gateway) Bind(p id.Proc, l Local) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return sendError(p, wire.ShuttingDown, nil)
	}
	if _, ok := g.locals[p]; ok {
		return fmt.Errorf("proc %v is bound already", p)
	}
	g.locals[p], g.everybody = l, nil
	return nil
}

// Unbind ends what Bind began. The other procs, here and elsewhere, learn that
// p is gone.
func (g *Gateway) Unbind(p id.Proc, cause error) {
	g.mu.Lock()
	_, ok := g.locals[p]
	delete(g.locals, p)
	g.everybody = nil
	told := g.toTellLocked(p)
	g.mu.Unlock()
	if ok {
		g.tell(told, p, wire.PeerGone, cause)
	}
}

// Addr returns the first address that we listen on, or "".
func (g *Gateway) Addr() channel.Addr {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.addr
}

// Close stops listening and closes all sessions in good order (MS-10); those
// that are not closed when ctx is done are cut. It returns when everything
// that the gateway started has ended.
func (g *Gateway) Close(ctx context.Context) error {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		<-g.closed
		return nil
	}
	g.closing = true
	close(g.quit)
	for _, cancel := range g.cancels {
		cancel()
	}
	for _, l := range g.listeners {
		l.Close()
	}
	errs := make(chan error, len(g.links))
	for l := range g.links {
		l.sess.StopReceiving() // the procs have ended, and whoever sends to them is to hear of it
		g.wg.Go(func() { errs <- l.sess.Close(ctx) })
	}
	g.mu.Unlock()
	g.wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	close(g.closed)
	return errors.Join(all...)
}

// backgroundLocked returns the context of something that outlives whoever
// asked for it but not the gateway, and its number for endBackground.
func (g *Gateway) backgroundLocked(timeout time.Duration) (context.Context, uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	g.serial++
	g.cancels[g.serial] = cancel
	if g.closing {
		cancel()
	}
	return ctx, g.serial
}

// endBackground frees what backgroundLocked made.
func (g *Gateway) endBackground(n uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cancels[n]()
	delete(g.cancels, n)
}

// goLocked runs f on a goroutine that Close waits for, unless Close has begun.
func (g *Gateway) goLocked(f func()) bool {
	if g.closing {
		return false
	}
	g.wg.Go(f)
	return true
}

// checkToken refuses a peer that does not belong to us: it has our token, or
// its connection has proved that it is who it says.
func (g *Gateway) checkToken(h channel.Peer) error {
	if !h.Proven && subtle.ConstantTimeCompare(h.Token, g.cfg.Token) != 1 {
		return fmt.Errorf("peer %v has the wrong token", h.Peer)
	}
	return nil
}

func (g *Gateway) isLocal(p id.Proc) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, ok := g.locals[p]
	return ok || p == g.cfg.Self
}
