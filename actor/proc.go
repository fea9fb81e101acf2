package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/restart"
	"github.com/hyperactor/hyperactor/wire"
)

// Config says how a Proc works. Only ID is needed.
type Config struct {
	ID    id.Proc
	Types []AnyType // what can be spawned here from elsewhere

	// Gateway carries messages to and from other procs. Nil: there are none.
	Gateway *gateway.Gateway

	// OnFailure is told of failures that no actor handled (AC-9). Nil: the
	// report is logged, and the proc stops with the failure as its Err. It is
	// called by the agent and must not block.
	OnFailure func(*Failure)

	// OnUndeliverable is told of messages from outside any actor that were not
	// handled although Send returned nil. Nil: they are logged and counted.
	OnUndeliverable func(Undelivered)

	// StopBound is how long an actor that failed, or whose parent did, may take
	// to end before it is abandoned. 5 s if zero.
	StopBound time.Duration

	// RestartRate bounds the restarts of all actors together; 1,000 per second
	// if zero (AC-6).
	RestartRate restart.Rate

	Observe *Observer    // is told what becomes of messages; nil costs nothing
	Log     *slog.Logger // nothing is logged if nil
}

const defaultStopBound = 5 * time.Second

// Proc is an actor runtime: actors, their mailboxes, one identity. It carries
// an agent, the actor through which others manage it. All methods may be
// called concurrently.
type Proc struct {
	id    id.Proc
	cfg   Config
	types map[string]AnyType
	agent *cell

	base      context.Context // bounds what is sent for nobody who waits; ends with the proc
	ended     context.Context // has ended: bounds what does not wait for its way
	cancel    context.CancelCauseFunc
	names     atomic.Uint64        // made-up names
	lost      atomic.Uint64        // replies and returns that could not be sent, and the like
	dones     sync.Pool            // of chan struct{} with room for one
	lastTo    atomic.Pointer[cell] // whom a message from elsewhere was for: saves the look-up
	incomings sync.Pool            // of *incoming
	responses sync.Pool            // of *response
	workers   workers
	outboxes  outboxes
	rate      rate // of restarts

	ties struct {
		sync.Mutex // guards the following
		ties
		ever atomic.Bool // something was tied; to be read without the lock
	}
	held  heldBack // behind ties.ever, and calls behind held: Gone reads the beginnings
	calls calls

	mu        sync.RWMutex // guards the following
	cells     registry
	alive     int           // actors that have not ended, the agent among them
	alone     chan struct{} // closed when only the agent is left; nil if nobody waits
	closing   bool          // nothing is spawned any more
	drains    int           // drains that the agent has not answered
	ending    bool          // end runs
	err       error
	abandoned []id.Actor

	done chan struct{} // closed when the last actor has ended
}

// NewProc starts a proc. It must be ended with Stop.
func NewProc(cfg Config) (*Proc, error) {
	if cfg.ID.IsZero() {
		return nil, errors.New("actor: Config.ID is needed, see id.NewProc")
	}
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.StopBound = cmp.Or(cfg.StopBound, defaultStopBound)
	p := &Proc{id: cfg.ID, cfg: cfg, types: map[string]AnyType{}, done: make(chan struct{})}
	p.base, p.cancel = context.WithCancelCause(context.Background())
	var end context.CancelFunc
	p.ended, end = context.WithCancel(context.Background())
	end()
	p.rate.bucket = cfg.RestartRate.Bucket(defaultRestartRate)
	p.dones.New = func() any { return make(chan struct{}, 1) }
	p.calls.waiting = map[uint64]outCall{}
	p.calls.last, p.ties.last = firstNumber(), firstNumber()
	for _, t := range cfg.Types {
		name := t.erased().name
		if p.types[name] != nil {
			return nil, fmt.Errorf("actor: type %q is there twice in Config.Types", name)
		}
		p.types[name] = t
	}
	b := &birth{maker: makeFunc(func(context.Context) (any, error) { return &agent{proc: p}, nil })}
	err := p.start(nil, agentName, &agentType.kind, b)
	if err == nil {
		p.agent = b.cell
		err = b.made(p.base)
	}
	if err == nil && cfg.Gateway != nil {
		if err = cfg.Gateway.Bind(p.id, p); err != nil {
			p.cfg.Gateway = nil // it is not ours to unbind
			p.Stop(context.Background(), cfg.StopBound)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("actor: proc %s: %w", p.id, err)
	}
	return p, nil
}

// firstNumber returns what a proc numbers its calls, or its ties, from. It is
// random, so that an answer to an earlier proc with the same id is for nobody.
func firstNumber() uint64 { return uint64(rand.Uint32()) }

// ID returns the proc's name.
func (p *Proc) ID() id.Proc { return p.id }

// Agent returns the ref of the proc's agent.
func (p *Proc) Agent() Ref[Agent] { return AgentOf(p.id) }

// Context returns a ctx like parent whose calls are made from p. It may be used
// from many goroutines; those that send much are fastest with one each.
func (p *Proc) Context(parent context.Context) context.Context {
	c := &outside{Context: parent, sender: sender{proc: p}}
	if _, t := originOf(parent); t != nil {
		return context.WithValue(c, senderKey{}, &traced{&c.sender, t})
	}
	return c
}

// ProcOf returns the id of the proc that ctx sends from.
func ProcOf(ctx context.Context) (id.Proc, error) {
	s, err := senderOf(ctx)
	if err != nil {
		return id.Proc{}, err
	}
	return s.proc.id, nil
}

// GatewayOf returns the gateway of the proc that ctx sends from.
func GatewayOf(ctx context.Context) (*gateway.Gateway, error) {
	s, err := senderOf(ctx)
	if err != nil {
		return nil, err
	}
	if s.proc.cfg.Gateway == nil {
		return nil, fmt.Errorf("proc %v has no gateway: it talks to no other", s.proc.id)
	}
	return s.proc.cfg.Gateway, nil
}

// Done returns a channel that is closed when the proc has ended: every actor
// has, or was abandoned.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Err returns why the proc ended: nil after a Stop or Drain, the failure that
// nobody handled otherwise. It is meaningful once Done is closed.
func (p *Proc) Err() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.err
}

// Abandoned returns the actors that did not return when they were stopped.
func (p *Proc) Abandoned() []id.Actor {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Clone(p.abandoned)
}

// Lost returns how many answers and returned messages could not be sent, or
// came too late for anybody to want them. Those are among them that were more than
// 65,536 for one proc that takes nothing.
func (p *Proc) Lost() uint64 { return p.lost.Load() }

// Drain ends the proc: nothing is spawned any more, every actor handles what
// waits for it and ends. What has not ended within the budget is stopped and,
// at its end, abandoned. It waits for the end, bounded by ctx, which bounds
// nothing else. A concurrent Drain or Stop joins; it may tighten the budget.
func (p *Proc) Drain(ctx context.Context, budget time.Duration) error {
	return p.finish(ctx, true, budget, nil)
}

// Stop ends the proc without handling what waits, which goes back to its
// senders. Handlers are cancelled; those that do not return within the budget
// are abandoned.
func (p *Proc) Stop(ctx context.Context, budget time.Duration) error {
	return p.finish(ctx, false, budget, nil)
}

func (p *Proc) finish(ctx context.Context, drain bool, budget time.Duration, why error) error {
	p.beginEnd(drain, budget, why)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proc %s: waiting for its end: %w", p.id, context.Cause(ctx))
	}
}

// beginEnd stops the actors. The first call also starts what ends the proc
// after them. why is nil if it was asked for.
func (p *Proc) beginEnd(drain bool, budget time.Duration, why error) {
	p.mu.Lock()
	first := !p.ending
	p.closing, p.ending = true, true
	if first {
		p.err = why
	}
	p.mu.Unlock()
	kids := p.kidsOf(p.agent)
	if !first && len(kids) == 0 {
		return
	}
	if why == nil {
		why = fmt.Errorf("proc %s: %w", p.id, ErrShuttingDown)
	}
	deadline := time.Now().Add(budget)
	for _, k := range kids {
		k.stop(drain, deadline, why)
	}
	if first {
		words := lastWords
		if drain { // what it was about is the answers
			words = max(words, min(budget, p.cfg.StopBound))
		}
		go p.end(why, words)
	}
}

// end waits until the actors have ended, and ends the agent after them. words is
// how long those may take who were answered. It is done when Done is closed.
func (p *Proc) end(why error, words time.Duration) {
	p.actorsEnded()
	<-p.agent.stop(true, time.Now().Add(p.cfg.StopBound), why)
	if p.cfg.Gateway != nil {
		p.outboxes.sent(words)
		p.cfg.Gateway.Unbind(p.id, why)
	}
	p.calls.close()
	p.failCalls(func(id.Proc) bool { return true }, loss{wire.ShuttingDown, why})
	p.cancel(why)
	p.workers.close()
	close(p.done)
}

// actorsEnded waits until every actor but the agent has ended. All have been
// told to, or will be by their parents, and no more are spawned.
func (p *Proc) actorsEnded() {
	p.mu.Lock()
	if p.alive <= 1 {
		p.mu.Unlock()
		return
	}
	if p.alone == nil {
		p.alone = make(chan struct{})
	}
	alone := p.alone
	p.mu.Unlock()
	<-alone
}

// drain is Drain for the agent: the answer goes out when the actors have
// ended, while the agent still lives.
func (p *Proc) drain(r DrainRequest, reply Reply[Drained]) {
	deadline := time.Now().Add(r.Budget)
	for _, k := range p.kidsOf(p.agent) {
		k.stop(true, deadline, fmt.Errorf("proc %s: %w: %s", p.id, ErrShuttingDown, r.Reason))
	}
	p.actorsEnded()
	reply.Send(Drained{p.Abandoned()})
	p.mu.Lock()
	p.drains--
	last := p.drains == 0
	p.mu.Unlock()
	if last { // the agent ends when it has answered all
		p.beginEnd(true, r.Budget, nil)
	}
}

// unhandled is a failure that no actor handled (AC-9).
func (p *Proc) unhandled(f *Failure) {
	p.mu.RLock()
	ending := p.closing
	p.mu.RUnlock()
	if ending && errors.Is(f.Err, ErrAbandoned) {
		p.cfg.Log.Warn("actor was abandoned", "report", f.Report())
		return // Abandoned tells
	}
	if p.cfg.OnFailure != nil {
		p.guard("OnFailure", func() { p.cfg.OnFailure(f) })
		return
	}
	p.cfg.Log.Error("actor failed", "report", f.Report())
	p.beginEnd(false, p.cfg.StopBound, f)
}

func (p *Proc) stopDeadline() time.Time { return time.Now().Add(p.cfg.StopBound) }

// start adds an actor to the proc and starts making it. parent is nil for
// those that belong to the agent. Of b, only the maker is set.
func (p *Proc) start(parent *cell, name string, k *kind, b *birth) error {
	var n uint64 // that the name is made of
	if name == "" {
		n = p.names.Add(1)
		name = makeName(n)
	} else if err := id.CheckName(name); err != nil {
		return err
	} else if name[0] == madeUp {
		return fmt.Errorf("%q: %w: names that start with %q are made up by procs", name, ErrNameTaken, madeUp)
	}
	c := &cell{typ: k, parent: parent}
	if parent == nil {
		c.parent = p.agent
	}
	c.scope.proc, c.scope.name, c.scope.cell = p, name, c
	b.cell, b.done, b.entry[0] = c, p.getDone(), b
	c.birth.Store(b)
	c.rare = c.rareParts(b.maker)
	c.queue.open(b.entry[:]) // before anybody can find c (AC-1)
	if err := p.add(c, n); err != nil {
		return err
	}
	p.run(c)
	return nil
}

// add adds an actor; n is the number that its name was made of, or 0.
func (p *Proc) add(c *cell, n uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return ErrShuttingDown
	}
	if up := c.parent; up != nil && (up.halt.Load() || up.barren) {
		return fmt.Errorf("%w: its parent %s ends", ErrStopped, up.name)
	}
	if n == 0 && p.cells.get(c.name) != nil {
		return fmt.Errorf("%q: %w", c.name, ErrNameTaken)
	}
	p.cells.put(c, n)
	p.alive++
	if up := c.parent; up != nil {
		c.next = up.kids
		if c.next != nil {
			c.next.prev = c
		}
		up.kids = c
		up.nkids.Add(1)
	}
	return nil
}

// freeName lets another actor have c's name. It reports whether anybody is
// tied to c; nobody will be from then on.
func (p *Proc) freeName(c *cell) (tied bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cells.remove(c.name)
	return c.bond.Swap(over) == bound
}

// remove forgets an actor that has ended.
func (p *Proc) remove(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alive--
	if p.alone != nil && p.alive == 1 {
		close(p.alone)
		p.alone = nil
	}
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case c.parent != nil:
		c.parent.kids = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
}

func (p *Proc) addAbandoned(a id.Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = append(p.abandoned, a)
}

func (p *Proc) cell(name string) *cell {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.cells.get(name)
}

// lastKidsOf returns the children of c, which has no more from now on.
func (p *Proc) lastKidsOf(c *cell) []*cell {
	p.mu.Lock()
	c.barren = true
	p.mu.Unlock()
	return p.kidsOf(c)
}

func (p *Proc) kidsOf(c *cell) []*cell {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var kids []*cell
	for k := c.kids; k != nil; k = k.next {
		kids = append(kids, k)
	}
	return kids
}

func (p *Proc) getDone() chan struct{}  { return p.dones.Get().(chan struct{}) }
func (p *Proc) putDone(d chan struct{}) { p.dones.Put(d) }
