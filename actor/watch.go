package actor

import (
	"context"
	"errors"
	"fmt"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Down says that an actor has ended, or that there is none (AC-10).
type Down struct {
	Actor   id.Actor
	Monitor Monitor // which one asked for it; zero in LinkDown and WaitFor

	// Reason is ErrStopped after a clean end, ErrFailed after a failure,
	// ErrNoActor if there was none any more, and ErrPeerGone or ErrNoRoute if its
	// proc has ended or cannot be reached: it may live on then.
	Reason wire.Reason

	// Err is nil after a clean end, and otherwise a *DownError.
	Err error
}

// Clean reports whether the actor ended without a failure.
func (d Down) Clean() bool { return d.Reason == wire.ActorStopped }

// DownError says why an actor that was watched has ended. errors.Is finds the
// Reason and what Cause wraps.
type DownError struct {
	Actor  id.Actor
	Reason wire.Reason

	// Cause is the *Failure of an actor in this proc, a *RemoteError of one
	// elsewhere, or what is known of the end of its proc, such as the Exit of a
	// process of this host. It may be nil.
	Cause error
}

func (e *DownError) Error() string {
	return fmt.Sprintf("actor %s has ended: %s", e.Actor, e.Reason.Error()) + addedBy(e.Cause, e.Actor.Proc, e.Reason)
}

// Unwrap returns the reason and the cause.
func (e *DownError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Cause}
}

func downOf(a id.Actor, r wire.Reason, cause error) Down {
	d := Down{Actor: a, Reason: r}
	if !d.Clean() {
		d.Err = &DownError{Actor: a, Reason: r, Cause: cause}
	}
	return d
}

// Watcher is an actor that watches others. Down runs like a handler: an error
// that it returns is a failure of the actor.
type Watcher interface {
	Down(ctx context.Context, d Down) error
}

// Watch watches the actor ref for the one whose handler's ctx this is, which
// must be a Watcher: its Down is called once, when ref has ended, at once if
// ref is not there (AC-10). A restart is not an end. Whoever watches the agent
// of a proc (AgentOf) watches the proc.
//
// What ref sent before its end is handled before Down, as long as neither a
// connection broke in between nor a full mailbox drops messages. Watching ref
// twice has Down called twice. The watch ends with the run of the watcher: one
// that is restarted begins afresh.
//
// ctx bounds finding a way to the proc of ref, and its cause is the error if it
// ends first. Nothing is watched then.
func Watch[A any](ctx context.Context, ref Ref[A]) (Monitor, error) {
	s, err := senderOf(ctx)
	if err != nil {
		return Monitor{}, err
	}
	if s.cell == nil {
		return Monitor{}, fmt.Errorf("watch %s: %w: the ctx is not that of an actor; others use WaitFor", ref, ErrNoActor)
	}
	if s.cell.typ.deaf {
		return Monitor{}, fmt.Errorf("watch %s: actors of type %s have no method Down, which would be told", ref, s.cell.typ.name)
	}
	t := &tie{peer: ref.id, cell: s.cell}
	if err := s.proc.tie(ctx, s, t); err != nil {
		return Monitor{}, fmt.Errorf("watch %s: %w", ref, err)
	}
	return Monitor{t}, nil
}

// Monitor is a watch of an actor. It can be compared, and its methods may be
// called from any goroutine.
type Monitor struct{ tie *tie }

// Actor returns who is watched; nobody, if m is zero.
func (m Monitor) Actor() id.Actor {
	if m.tie == nil {
		return id.Actor{}
	}
	return m.tie.peer
}

// Stop ends the watch. It reports whether that was in time: Down has not been
// called for it, and will not be. It does not wait.
func (m Monitor) Stop() bool {
	if m.tie == nil {
		return false
	}
	c := m.tie.cell
	return c.proc.untie(c.id(), m.tie)
}

// WaitFor waits until the actor ref has ended and says how, for those outside any
// actor. The error is the cause of ctx, or that the own proc has ended.
func WaitFor[A any](ctx context.Context, ref Ref[A]) (Down, error) {
	s, err := senderOf(ctx)
	if err != nil {
		return Down{}, err
	}
	t := &tie{peer: ref.id, told: make(chan Down, 1)}
	if err := s.proc.tie(ctx, s, t); err != nil {
		return Down{}, fmt.Errorf("wait for the end of %s: %w", ref, err)
	}
	select {
	case d := <-t.told:
		return d, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.proc.base.Done():
		err = context.Cause(s.proc.base)
	}
	if !s.proc.untie(s.id(), t) {
		return <-t.told, nil
	}
	return Down{}, fmt.Errorf("wait for the end of %s: %w", ref, err)
}

// tie makes t known to both ends. The other one may answer before it returns.
func (p *Proc) tie(ctx context.Context, s *sender, t *tie) error {
	if !p.addTie(t) {
		return fmt.Errorf("%w: it has ended itself", wire.ActorStopped)
	}
	e := wire.Envelope{Kind: wire.Watch, TTL: wire.DefaultTTL, To: t.peer, From: s.id(), Call: t.key.number}
	if t.link {
		e.Method = linkMethod
	}
	if e.To.Proc == p.id {
		p.hear(&e, nil)
		return nil
	}
	err := p.send(ctx, &e)
	switch reason := reasonOf(err); {
	case err == nil:
	case reason == 0: // nothing is known of its end
		p.ties.Lock()
		p.ties.forget(t)
		p.ties.Unlock()
		return err
	default:
		p.hearDown(t.peer, t.key, reason, err)
	}
	return nil
}

// addTie adds t, unless the actor at our end has ended.
func (p *Proc) addTie(t *tie) bool {
	p.ties.ever.Store(true)
	p.ties.Lock()
	defer p.ties.Unlock()
	return (t.cell == nil || t.cell.bind()) && p.ties.add(t)
}

// untie ends t for our end, and tells the other one. It reports whether our end
// was not told before.
func (p *Proc) untie(self id.Actor, t *tie) bool {
	p.ties.Lock()
	open := t.open
	news := p.ties.forget(t) && (open || t.cell != nil)
	p.ties.Unlock()
	if open {
		p.tellEnd(self, t, wire.ActorStopped, nil)
	}
	return news
}

// cutTies ends those ties of c that which picks, with the run of c.
func (p *Proc) cutTies(c *cell, which func(*tie) bool, f *Failure) {
	p.ties.Lock()
	open := p.ties.cut(c, which)
	p.ties.Unlock()
	reason := wire.ActorStopped
	if f != nil {
		reason = wire.ActorFailed
	}
	for _, t := range open {
		p.tellEnd(c.id(), t, reason, f)
	}
}

// tellEnd tells the other end of t, which is off the table, that self has
// ended, or is not interested any more, which is the same to whoever was
// watched.
func (p *Proc) tellEnd(self id.Actor, t *tie, r wire.Reason, f *Failure) {
	e := wire.Envelope{Kind: wire.Down, TTL: wire.DefaultTTL, To: t.peer, From: self, Call: t.key.number, Reason: r}
	switch {
	case t.key.theirs:
	case t.link && f != nil:
		e.Method = linkMethod
	default:
		e.Kind, e.Reason = wire.Unwatch, 0
	}
	p.tell(e, f)
}

// tell takes e to its proc. f is what happened, if it was a failure.
func (p *Proc) tell(e wire.Envelope, f *Failure) {
	if e.To.Proc == p.id {
		p.hear(&e, f)
		return
	}
	if f != nil && e.Kind == wire.Down {
		e.Code, e.Body = wireCode(f.Err), clip(f.Error())
	}
	p.post(e)
}

// hear takes what another end, here or elsewhere, says about a tie. f is the
// failure of an actor that is here. It never blocks.
func (p *Proc) hear(e *wire.Envelope, f *Failure) {
	theirs := tieKey{theirs: true, number: e.Call}
	switch e.Kind {
	case wire.Watch:
		p.hearWatch(e, theirs)
	case wire.Unwatch:
		p.ties.Lock()
		if t := p.ties.take(e.From, theirs); t != nil {
			p.ties.forget(t)
		}
		p.ties.Unlock()
	case wire.Down:
		key := tieKey{number: e.Call}
		if e.Method == linkMethod {
			key = theirs
		}
		p.hearDown(e.From, key, e.Reason, causeOf(e, f))
	}
}

func (p *Proc) hearWatch(e *wire.Envelope, key tieKey) {
	t := &tie{key: key, peer: e.From, cell: p.cell(e.To.Name), link: e.Method == linkMethod}
	ok, instead := t.cell != nil, (*tie)(nil)
	if ok {
		ok, instead = p.acceptTie(t)
	}
	if instead != nil {
		p.tellEnd(t.cell.id(), instead, wire.ActorStopped, nil)
	}
	if !ok {
		p.tell(wire.Envelope{
			Kind: wire.Down, TTL: wire.DefaultTTL, To: e.From, From: e.To, Call: e.Call, Reason: wire.NoActor,
		}, nil)
	}
}

// acceptTie adds a tie that the other end has made. It reports false if ours
// has ended. When two actors link each other at the same time, the link stays
// that was made by the one whose name comes first; if that is t, the other one
// is instead, which is off the table.
func (p *Proc) acceptTie(t *tie) (ok bool, instead *tie) {
	p.ties.ever.Store(true)
	p.ties.Lock()
	defer p.ties.Unlock()
	if !t.cell.bind() {
		return false, nil
	}
	if t.link {
		if ours := p.ties.linked(t.cell, t.peer); ours != nil && !ours.key.theirs {
			if t.cell.id().String() < t.peer.String() {
				return true, nil
			}
			p.ties.forget(ours)
			instead = ours
		}
	}
	p.ties.add(t)
	return true, instead
}

// hearDown tells our end of a tie, once, that the other one has ended.
func (p *Proc) hearDown(from id.Actor, key tieKey, r wire.Reason, cause error) {
	p.ties.Lock()
	t := p.ties.take(from, key)
	p.ties.Unlock()
	if t != nil {
		t.ended(r, cause)
	}
}

func (p *Proc) countTies() int {
	p.ties.Lock()
	defer p.ties.Unlock()
	return p.ties.len()
}

// loseTies is told that the proc gone has ended.
func (p *Proc) loseTies(gone id.Proc, cause error) {
	if !p.ties.ever.Load() {
		return
	}
	p.ties.Lock()
	lost := p.ties.takeGone(gone)
	for _, t := range lost {
		if t.key.theirs && !t.link { // a watcher who is gone
			p.ties.forget(t)
		}
	}
	p.ties.Unlock()
	for _, t := range lost {
		t.ended(wire.PeerGone, cause)
	}
}

// ended tells our end of t, which the caller has taken.
func (t *tie) ended(r wire.Reason, cause error) {
	d := downOf(t.peer, r, cause)
	switch {
	case t.told != nil:
		t.told <- d
	case t.link && !d.Clean():
		t.cell.order(&linkNote{t, d})
	case t.link:
		t.handled()
	case !t.key.theirs:
		d.Monitor = Monitor{t}
		t.cell.note(&downNote{t, d})
	}
}

// handled reports whether the actor at our end may be told, and sees to it that
// it is not told again.
func (t *tie) handled() bool {
	s := &t.cell.proc.ties
	s.Lock()
	defer s.Unlock()
	return s.forget(t)
}

// causeOf returns what e says of the cause of an end.
func causeOf(e *wire.Envelope, f *Failure) error {
	switch {
	case f != nil:
		return f
	case e.Reason == wire.ActorFailed && e.Code != "":
		return &RemoteError{From: e.From, Code: e.Code, Text: string(e.Body)}
	case len(e.Body) > 0:
		return errors.New(string(e.Body))
	}
	return nil
}

// reasonOf returns the reason in an error of the gateway: zero if ctx ended.
func reasonOf(err error) wire.Reason {
	if e, ok := errors.AsType[*gateway.SendError](err); ok {
		return e.Reason
	}
	r, _ := errors.AsType[wire.Reason](err)
	return r
}

// downNote is a Down on its way to a watcher: among the messages of users, so
// that it comes after what the watched actor sent.
type downNote struct {
	tie  *tie
	down Down
}

func (n *downNote) run(c *cell) error {
	if !n.tie.handled() {
		return nil
	}
	w, ok := c.actor.(Watcher)
	if !ok {
		return fmt.Errorf("actors of type %s have no method Down, and watch: %w", c.typ.name, n.down.Err)
	}
	return w.Down(c.ctx(), n.down)
}

// reject is for an actor that ends, who is not told. One whose mailbox drops
// what is old is told ahead of its messages.
func (n *downNote) reject(c *cell, r wire.Reason, _ string) {
	if r == wire.MailboxFull {
		c.order(n)
	}
}

func (n *downNote) reuse() bool { return false }
