package actor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

// Agent is what every proc's agent understands: the actor through which
// others spawn and stop actors, ask how the proc is, and drain it. It answers
// while other actors are stuck (AC-11).
type Agent interface {
	SpawnActor(ctx context.Context, r SpawnRequest, reply Reply[id.Actor]) error
	StopActor(ctx context.Context, r StopRequest, reply Reply[None]) error
	DrainProc(ctx context.Context, r DrainRequest, reply Reply[Drained]) error
	ProcStatus(ctx context.Context, _ None) (ProcStatus, error)
	Ping(ctx context.Context, _ None) (None, error)
}

// What an Agent understands.
var (
	SpawnActor = OnDefer("proc.spawn", Agent.SpawnActor)
	StopActor  = OnDefer("proc.stop", Agent.StopActor)
	DrainProc  = OnDefer("proc.drain", Agent.DrainProc)
	StatusOf   = On("proc.status", Agent.ProcStatus)
	Ping       = On("proc.ping", Agent.Ping) // shows that the agent works

	agentType = Define("agent", newAgent, SpawnActor, StopActor, DrainProc, StatusOf, Ping)
)

const agentName = "agent"

// AgentOf returns the ref of the agent of p.
func AgentOf(p id.Proc) Ref[Agent] { return Ref[Agent]{p.Actor(agentName)} }

// SpawnRequest asks for an actor.
type SpawnRequest struct {
	Type   string
	Name   string // made up if empty
	Params []byte // as wire.Marshal encodes them
}

// stopLate stops an actor for which nobody waits any more.
func stopLate(p *Proc, a id.Actor) {
	ctx := p.Context(p.base)
	if err := StopActor.Send(ctx, AgentOf(a.Proc), StopRequest{Name: a.Name}); err != nil {
		p.cfg.Log.Warn("actor that was spawned too late cannot be stopped", "actor", a, "err", err)
	}
}

// StopRequest asks for the end of an actor.
type StopRequest struct {
	Name   string
	Drain  bool
	Budget time.Duration // 5 s if zero
}

// DrainRequest asks for the end of a proc.
type DrainRequest struct {
	Budget time.Duration
	Reason string
}

// Drained says how the drain of a proc went.
type Drained struct {
	Abandoned []id.Actor // did not return
}

// ProcStatus says how a proc is.
type ProcStatus struct {
	Proc     id.Proc
	Draining bool
	Lost     uint64 // answers and returned messages that reached nobody
	Calls    int    // to other procs, without an answer
	Held     int    // actors elsewhere that have asked for a pause
	Posted   int    // procs for which answers and the like wait for their way
	Ties     int    // watches and links of actors here, and of others with them
	Actors   []ActorStatus
}

// ActorStatus says how an actor is.
type ActorStatus struct {
	Name    string
	Type    string
	Parent  string
	Waiting int  // messages that are not begun
	Busy    bool // a handler runs, or is about to
	Ending  bool

	Incarnation int  // which run of it: 1 until it is restarted
	Restarting  bool // that run has ended, and the next one has not begun
}

// Stop ends the actor without handling what waits for it, which goes back to
// its senders, and waits for the end. A handler that does not return within the
// budget (5 s if zero) is abandoned. Stopping an actor that is not there is ErrNoActor.
func (r Ref[A]) Stop(ctx context.Context, budget time.Duration) error {
	_, err := StopActor.Call(ctx, AgentOf(r.id.Proc), StopRequest{Name: r.id.Name, Budget: budget})
	return err
}

// Drain is Stop after what waits for the actor has been handled.
func (r Ref[A]) Drain(ctx context.Context, budget time.Duration) error {
	_, err := StopActor.Call(ctx, AgentOf(r.id.Proc), StopRequest{Name: r.id.Name, Budget: budget, Drain: true})
	return err
}

// StopSelf ends the actor whose handler's ctx this is, after what waits for it
// has been handled. It does not wait.
func StopSelf(ctx context.Context) error {
	s, err := senderOf(ctx)
	if err != nil {
		return err
	}
	if s.cell == nil {
		return fmt.Errorf("stop self: %w: the ctx is not that of an actor", ErrNoActor)
	}
	s.cell.stop(true, s.proc.stopDeadline(), errEnded)
	return nil
}

// agent is the Agent of a proc, and the parent of all actors that have no other.
type agent struct{ proc *Proc }

func newAgent(context.Context, None) (Agent, error) {
	return nil, fmt.Errorf("every proc has its agent already")
}

func (a *agent) SpawnActor(ctx context.Context, r SpawnRequest, reply Reply[id.Actor]) error {
	t := a.proc.types[r.Type]
	if t == nil {
		return refuse(reply, fmt.Errorf("%w: %q is not among the types of proc %s (%s)", ErrNoType, r.Type, a.proc.id, a.typeNames()))
	}
	make, err := t.decode(r.Params)
	if err != nil {
		return refuse(reply, err)
	}
	_, trace := originOf(ctx)
	b := &birth{maker: makeFunc(make), trace: trace}
	if err := a.proc.start(nil, r.Name, t.erased(), b); err != nil {
		return refuse(reply, err)
	}
	go func() { // ends when the actor was made, or the proc ends
		if err := b.made(a.proc.base); err != nil {
			reply.Fail(err)
			return
		}
		reply.Send(b.cell.id())
	}()
	return nil
}

// refuse answers with err. The agent does not return it: an error that nobody
// waits for would end the agent, and with it the proc.
func refuse[T any](reply Reply[T], err error) error {
	reply.Fail(err)
	return nil
}

func (a *agent) typeNames() string {
	var names []string
	for n := range a.proc.types {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (a *agent) StopActor(ctx context.Context, r StopRequest, reply Reply[None]) error {
	c := a.proc.cell(r.Name)
	if c == nil || c == a.proc.agent {
		return refuse(reply, fmt.Errorf("stop %q in %s: %w", r.Name, a.proc.id, ErrNoActor))
	}
	if r.Budget <= 0 {
		r.Budget = defaultStopBound
	}
	ended := c.stop(r.Drain, time.Now().Add(r.Budget), fmt.Errorf("%w: asked for", ErrStopped))
	go func() { // ends with the actor, which ends or is abandoned in time
		<-ended
		reply.Send(None{})
	}()
	return nil
}

func (a *agent) DrainProc(ctx context.Context, r DrainRequest, reply Reply[Drained]) error {
	a.proc.mu.Lock()
	a.proc.closing = true // nothing is spawned from here on
	a.proc.drains++
	a.proc.mu.Unlock()
	go a.proc.drain(r, reply) // ends with the proc
	return nil
}

func (a *agent) ProcStatus(context.Context, None) (ProcStatus, error) { return a.proc.Status(), nil }

func (a *agent) Ping(context.Context, None) (None, error) { return None{}, nil }

// ChildEnded is where a failure that nobody handled arrives (AC-9).
func (a *agent) ChildEnded(_ context.Context, e End) Verdict {
	if e.Failure != nil {
		a.proc.unhandled(e.Failure)
	}
	return Handled
}

// Status returns how the proc is.
func (p *Proc) Status() ProcStatus {
	calls, posted, ties := p.calls.len(), p.outboxes.len(), p.countTies()
	p.mu.RLock()
	defer p.mu.RUnlock()
	s := ProcStatus{Proc: p.id, Draining: p.closing, Lost: p.lost.Load(), Calls: calls, Held: int(p.held.some.Load()), Posted: posted, Ties: ties}
	for c := range p.cells.all {
		s.Actors = append(s.Actors, c.status())
	}
	slices.SortFunc(s.Actors, func(a, b ActorStatus) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func (c *cell) status() ActorStatus {
	s := ActorStatus{Name: c.name, Type: c.typ.name}
	if c.parent != nil {
		s.Parent = c.parent.name
	}
	s.Waiting, s.Busy = c.queue.load(c)
	c.mu.Lock()
	s.Restarting = c.end != nil && c.end.rested && c.end.again
	s.Ending = c.end != nil && !s.Restarting
	c.mu.Unlock()
	s.Incarnation = c.incarnation()
	return s
}
