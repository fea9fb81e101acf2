package host

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Handle is the ProcHandle of a proc whose body is on this host. One
// goroutine, the proc's owner, decides and is the only writer of its status;
// it ends when the proc has (PH-14). The methods of a Handle leave a word for
// the owner and read what it publishes.
type Handle struct {
	id        id.Proc
	suspended func() bool
	exited    chan struct{} // closed when the terminal view is there
	view      atomic.Pointer[view]
	wake      chan struct{} // holds one token while the inbox has something new

	mu     sync.Mutex // guards the following
	inbox  []event
	closed bool // the end was seen: nothing more is taken
}

// Body is the running thing behind a handle, as its manager knows it. Only the
// handle's owner calls it, each of Connect, Drain and Wait from a goroutine of
// its own.
type Body interface {
	// Connect takes part in the handshake, says how far it has come, and
	// returns when address and agent both work. It is called once and has to
	// return soon after ctx is over, which is at the end of the proc, when it
	// is killed, or when its time to become ready is up. What it returns then
	// still counts.
	Connect(ctx context.Context, progress func(launch.Phase)) (Endpoint, error)

	// Drain asks the agent to drain the proc and then end it, and returns when
	// the proc has said that it drained. The deadline of ctx is how long the
	// proc may take. It is called once at most, after Connect. After an error
	// Stop is called at once: there is nobody to drain, or the proc is stopped
	// and cannot hear.
	Drain(ctx context.Context, reason string) error

	// Stop asks the whole tree to stop: SIGTERM, and SIGCONT so that what is
	// stopped can obey. Like Kill it does not wait, it does nothing after the
	// end, and an error means that the proc could not be told.
	Stop() error

	// Kill forces the whole tree down.
	Kill() error

	// Wait waits for the end and returns the evidence. The owner adds what
	// only it knows: Phase, Requested, Cause, Ready, and that a proc which was
	// never ready has Failed.
	Wait() Exit
}

// FollowConfig is how a manager has a proc followed. ID is needed.
type FollowConfig struct {
	ID           id.Proc
	PID          int           // 0 if the proc has no process of its own
	Began        time.Time     // when its spawn began; now if zero
	ReadyTimeout time.Duration // how long the proc may take from here to Ready; 30s if zero
	Log          *slog.Logger  // nil logs nothing
	Suspended    func() bool   // whether the proc is stopped, traced or frozen; nil if it cannot be. Called concurrently, perhaps after the end

	// OnReady is called before anybody hears that the proc is ready, and
	// OnExit before anybody hears of its exit: names are freed and routes
	// removed there. OnReady comes first if it comes at all, OnExit always
	// comes. They are called by the owner and must neither block nor wait for
	// the handle.
	OnReady func(Endpoint)
	OnExit  func(Exit)
}

func (c FollowConfig) withDefaults() FollowConfig {
	if c.ReadyTimeout <= 0 {
		c.ReadyTimeout = defaultReadyTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Suspended == nil {
		c.Suspended = func() bool { return false }
	}
	if c.OnReady == nil {
		c.OnReady = func(Endpoint) {}
	}
	if c.OnExit == nil {
		c.OnExit = func(Exit) {}
	}
	return c
}

// view is a published status. changed is closed when there is a newer one.
type view struct {
	Status
	since    time.Time // when the proc came to where it is (Status.In)
	readyErr error
	changed  chan struct{}
}

// caller is somebody who waits in Terminate or Kill.
type caller struct {
	kills  bool
	failed chan error // takes one *SignalError
}

// left is the event that a caller has stopped to wait, and arrived that
// another one has come with e. Both are the owner's own; the core never sees
// them.
type (
	left    struct{ *caller }
	arrived struct {
		*caller
		e event
	}
)

// Follow starts to follow a proc that exists and returns its handle, whose
// phase is Running. The goroutine it starts ends with the proc; what shows
// that is Wait.
func Follow(cfg FollowConfig, body Body) *Handle {
	cfg = cfg.withDefaults()
	h := &Handle{
		id:        cfg.ID,
		suspended: cfg.Suspended,
		exited:    make(chan struct{}),
		wake:      make(chan struct{}, 1),
	}
	o := newOwner(h, cfg, body)
	go o.run()
	return h
}

// ID names the proc.
func (h *Handle) ID() id.Proc { return h.id }

// Addr is the address of the proc, from Ready on.
func (h *Handle) Addr() (channel.Addr, bool) {
	v := h.view.Load()
	return v.Endpoint.Addr, !v.Status.Ready.IsZero()
}

// Agent is the agent of the proc, from Ready on.
func (h *Handle) Agent() (actor.Ref[Agent], bool) {
	v := h.view.Load()
	return v.Endpoint.Agent, !v.Status.Ready.IsZero()
}

// Status is a snapshot of now.
func (h *Handle) Status() Status { return h.current(h.view.Load()) }

// current brings what was published up to date.
func (h *Handle) current(v *view) Status {
	s := v.Status
	if s.Phase != Exited {
		s.Suspended = h.suspended()
	}
	return s.at(time.Now(), v.since)
}

// Watch yields the status now and whenever it changes, the terminal one last.
func (h *Handle) Watch(ctx context.Context) iter.Seq[Status] {
	return func(yield func(Status) bool) {
		for {
			v := h.view.Load()
			if !yield(h.current(v)) || v.Phase == Exited {
				return
			}
			select {
			case <-v.changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Ready waits until the proc is ready.
func (h *Handle) Ready(ctx context.Context) (Endpoint, error) {
	for {
		v := h.view.Load()
		switch v.Phase {
		case Ready:
			return v.Endpoint, nil
		case Exited:
			return Endpoint{}, &ExitedError{ID: h.id, Exit: v.Exit, Err: v.readyErr}
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return Endpoint{}, context.Cause(ctx)
		}
	}
}

// Wait waits for the end of the proc.
func (h *Handle) Wait(ctx context.Context) (Exit, error) {
	if h.over() {
		return h.exit(), nil
	}
	select {
	case <-h.exited:
		return h.exit(), nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Terminate asks the proc to stop and kills it when grace is used up.
func (h *Handle) Terminate(ctx context.Context, grace time.Duration, reason string) (Exit, error) {
	if h.over() {
		return h.exit(), ErrAlreadyExited
	}
	return h.ask(ctx, false, askTerminate{by: requester(ctx), why: reason, grace: grace})
}

// Kill forces the proc down.
func (h *Handle) Kill(ctx context.Context, reason string) (Exit, error) {
	if h.over() {
		return h.exit(), ErrAlreadyExited
	}
	return h.ask(ctx, true, askKill{by: requester(ctx), why: reason})
}

// Fail is for the proc's manager: something broke that the proc cannot live
// without, such as its control connection. The proc is killed after that time
// unless it ends before; only if the kill was needed does the exit name the
// cause (PH-9). A proc that was asked to stop by then is left to that: it lets
// go of what it has, and its grace is for its last work. Fail does not wait.
func (h *Handle) Fail(cause string, after time.Duration) {
	h.post(broken{cause: cause, after: after})
}

// Condemn is for the proc's manager: the proc lives and must not go on, as when
// it has answered its liveness probe wrongly too often. It is asked to stop at
// once, without being drained, and killed when grace is used up; nobody has
// requested that, and the exit names the cause in both cases. A proc that is
// being stopped already is left to that. Condemn does not wait.
func (h *Handle) Condemn(cause string, grace time.Duration) {
	h.post(condemned{cause: cause, grace: grace})
}

// Note is for the proc's manager: text is what the proc says of itself, and
// becomes the Note of its status. Note does not wait.
func (h *Handle) Note(text string) { h.post(noted{text: text}) }

// ask hands e to the owner and waits for the end of the proc, or for the news
// that it cannot be signalled. An end that came meanwhile is no error (PH-7),
// and then nobody starts the proc again.
func (h *Handle) ask(ctx context.Context, kills bool, e event) (Exit, error) {
	c := &caller{kills: kills, failed: make(chan error, 1)}
	inTime := h.post(arrived{c, e})
	select {
	case <-h.exited:
	case err := <-c.failed:
		if !h.over() {
			return Exit{}, err
		}
	case <-ctx.Done():
		if !h.over() {
			h.post(left{c})
			return Exit{}, context.Cause(ctx)
		}
	}
	if !inTime {
		return h.exit(), ErrAlreadyExited
	}
	return h.exit(), nil
}

// over reports whether the exit is there.
func (h *Handle) over() bool {
	select {
	case <-h.exited:
		return true
	default:
		return false
	}
}

// exit returns the record, once over.
func (h *Handle) exit() Exit { return h.view.Load().Exit }

// post leaves e for the owner, and reports whether that is there to take it:
// once the end was seen nothing matters any more.
func (h *Handle) post(e event) (taken bool) {
	h.mu.Lock()
	if taken = !h.closed; taken {
		h.inbox = append(h.inbox, e)
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default: // the owner is to look anyway
	}
	return taken
}

// take empties the inbox, and closes it if that was the last time.
func (h *Handle) take(last bool) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.inbox
	h.inbox, h.closed = nil, last
	return events
}
