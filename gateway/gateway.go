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
	cfg   Config
	quit  chan struct{} // closed when Close begins
	door  door
	wg    sync.WaitGroup
	hub   channel.Hub
	stats counters
	ways  ways
	paths paths

	mu        tableLock // guards the following
	closing   bool
	addr      channel.Addr // the first that we listen on
	listeners []net.Listener
	cancels   map[uint64]context.CancelFunc // of what runs in the background
	locals    map[id.Proc]Local
	everybody []Local // the locals, and as many that were, at most; nil if that has to be found out; the elements never change
	uplink    id.Proc // zero if there is none
	attaching bool    // an uplink is about to be found
	routes    map[id.Proc]*route
	detours   few // the procs without a route that were last reached through the uplink
	links     map[*link]struct{}
	peers     map[id.Proc][]*link            // the links to each
	ends      ends                           // why procs have ended that were unrouted
	askers    map[id.Proc]map[*link]struct{} // who is to be told when a proc ends
	asks      map[uint64]*ask                // Resolves and Attaches without an answer
	attached  map[string]*link               // by the name of the host whose procs are reached through it
	joins     map[channel.Addr]*join         // by where it listens whom we have joined
	forwards  int                            // asks on behalf of others
	guesses   int                            // searches on behalf of others for procs that nobody vouches for
	serial    uint64                         // of cancels and asks
}

// Local is a proc in this process. Its methods never block.
type Local interface {
	// Deliver hands over a message that is addressed to the proc, or a Return
	// for it. Messages of one sender come in order. e is there only until
	// Deliver returns, and must not be changed; what e refers to stays.
	Deliver(e *wire.Envelope)

	// Gone says that p has ended: whatever waits for it fails with cause.
	Gone(p id.Proc, cause error)

	// Cut says that a way to p was lost, and p perhaps lives: calls that wait
	// for it fail with cause. Of watches, links and pauses nothing is said by
	// that: each is ended by what is delivered.
	Cut(p id.Proc, cause error)
}

// Inlets is what a Local may be as well: many small messages come in faster. Inlet
// returns a way in for one session, or nil.
type Inlets interface {
	Local
	Inlet() Inlet
}

// Inlet is a way into a Local. Only the goroutine that reads from its session
// uses it.
type Inlet interface {
	// Take is Deliver for a Send, but does not have to deliver it before Flush.
	// e and the bytes of its body are there only until Take returns. It reports
	// false if e is for Deliver, and not for the Local of the inlet perhaps.
	Take(e *wire.Envelope) bool

	// Flush delivers what was taken. It comes before anything else is delivered,
	// and before the session waits for more.
	Flush()
}

// Config describes a gateway. Self and Transports are needed.
type Config struct {
	Self        id.Proc // who we say we are
	Epoch       uint64  // differs in each life of Self (MS-6); random if zero
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
	if cfg.Epoch == 0 {
		cfg.Epoch = id.NewUID()
	}
	return &Gateway{
		cfg:      cfg.withDefaults(),
		quit:     make(chan struct{}),
		cancels:  make(map[uint64]context.CancelFunc),
		locals:   make(map[id.Proc]Local),
		routes:   make(map[id.Proc]*route),
		links:    make(map[*link]struct{}),
		peers:    make(map[id.Proc][]*link),
		ends:     ends{causes: make(map[id.Proc]error)},
		askers:   make(map[id.Proc]map[*link]struct{}),
		asks:     make(map[uint64]*ask),
		attached: make(map[string]*link),
		joins:    make(map[channel.Addr]*join),
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
	g.locals[p] = l
	if g.everybody != nil {
		g.everybody = append(g.everybody, l) // who reads it goes no further than its length
	}
	return nil
}

// Unbind ends what Bind began. The other procs, here and elsewhere, learn that
// p is gone.
func (g *Gateway) Unbind(p id.Proc, cause error) {
	g.mu.Lock()
	_, ok := g.locals[p]
	delete(g.locals, p)
	if len(g.everybody) > 2*len(g.locals) {
		g.everybody = nil
	}
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
// that the gateway started has ended, and may be called again meanwhile: with
// a ctx that ends sooner, to cut sooner.
func (g *Gateway) Close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closing {
		g.beginCloseLocked()
	}
	errs := make(chan error, len(g.links))
	for l := range g.links { // each of them keeps g.wg above zero
		g.wg.Go(func() { errs <- l.sess.Close(ctx) })
	}
	g.mu.Unlock()
	g.wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// beginCloseLocked ends all but the sessions, and refuses what is new.
func (g *Gateway) beginCloseLocked() {
	g.closing = true
	close(g.quit)
	for _, cancel := range g.cancels {
		cancel()
	}
	for _, l := range g.listeners {
		l.Close()
	}
	for l := range g.links {
		l.sess.StopReceiving() // the procs have ended, and whoever sends to them is to hear of it
	}
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
