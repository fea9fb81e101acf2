package host

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/restart"
)

// Supervisor keeps one proc running: it follows each incarnation to its end
// and starts the next one, as the spec's Restart and RestartLimits say. The
// name stays, the id is a new one each time (AC-6), and the new proc is empty:
// its program begins anew, actors that others spawned in the old one are gone,
// and their refs with them. Its methods may be called concurrently, and like a
// handle it outlives its proc.
//
// Whoever stops a proc through its handle means it for good, and ends the
// supervision too, unless the answer is ErrAlreadyExited; so do Terminate and
// Kill, which also reach a proc that waits to be started again. To follow a proc
// through all its incarnations:
//
//	s, err := h.Supervise(ctx, host.ProcSpec{Name: "worker", Restart: restart.OnFailure})
//	…
//	for e := range s.Events(ctx) {
//		fmt.Println(e.Time, e)
//	}
//	exit, err := s.Wait(ctx) // a *GaveUpError if it was given up
//
// One goroutine owns a Supervisor and ends with it.
type Supervisor struct {
	cfg    supervision
	policy restart.Policy
	feed   *feed
	run    func()                  // the owner's work
	cancel context.CancelCauseFunc // ends the owner's life; see halt
	first  chan firstStart         // how the first start went
	over   chan struct{}           // closed when the outcome is there

	past restart.History // the owner's
	exit Exit            // the outcome: the owner's, and everybody's to read once over
	err  error           // likewise

	mu          sync.Mutex // guards the following, which only the owner writes
	handle      ProcHandle
	incarnation int
	decided     chan struct{} // closed when it is known what comes after handle
}

// supervision is what a Supervisor works with. All but manager and spec may be
// missing.
type supervision struct {
	manager ProcManager
	spec    ProcSpec
	pacer   *pacer             // shared by all procs of a host
	log     *slog.Logger       // nil logs nothing
	random  func() float64     // from 0 up to 1; that of math/rand if nil
	strict  bool               // somebody waits for the first incarnation: it becomes ready, or that was all
	gaveUp  func(*GaveUpError) // called before anybody hears of it
	release func()             // called when the name is not needed any more
}

func (c supervision) withDefaults() supervision {
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.random == nil {
		c.random = rand.Float64
	}
	if c.gaveUp == nil {
		c.gaveUp = func(*GaveUpError) {}
	}
	if c.release == nil {
		c.release = func() {}
	}
	return c
}

// GaveUpError reports that a supervised proc is not started again, though it
// did not end as it should.
type GaveUpError struct {
	Name        string // of the proc
	Incarnation int    // the last one
	Exit        Exit   // how that ended
	Why         string // which limit was reached
	Err         error  // why the last one could not be started, or followed to its end; nil if it could
}

func (e *GaveUpError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("proc %s was given up: %s; the last time: %v", e.Name, e.Why, e.Err)
	}
	return fmt.Sprintf("proc %s was given up: %s; the last time: %v", e.Name, e.Why, e.Exit)
}

func (e *GaveUpError) Unwrap() error { return e.Err }

// Supervise starts the proc that spec describes on m and keeps it running.
// It returns once the first incarnation is started, which need not be ready:
// Events and Current().Ready tell. ctx bounds that start and nothing else; if
// it fails the error is that of m.Spawn, and nothing is supervised. What fails
// later is up to the limits. What spec.Limits points to must not be changed
// until the supervision is over.
//
// A Supervisor does not know when somebody stops all procs of m: to be sure
// that none comes back, end the supervisors first, or use Host.Supervise.
func Supervise(ctx context.Context, m ProcManager, spec ProcSpec) (*Supervisor, error) {
	s, err := newSupervisor(supervision{manager: m, spec: spec})
	if err != nil {
		return nil, err
	}
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// newSupervisor returns a Supervisor that can be halted and waits to begin.
func newSupervisor(cfg supervision) (*Supervisor, error) {
	p, err := restart.NewPolicy(cfg.spec.Restart, cfg.spec.RestartLimits)
	if err != nil {
		return nil, &SpawnError{Name: cfg.spec.Name, Err: err}
	}
	cfg.spec.Args, cfg.spec.Env = slices.Clone(cfg.spec.Args), slices.Clone(cfg.spec.Env)
	life, cancel := context.WithCancelCause(context.Background())
	s := &Supervisor{
		cfg: cfg.withDefaults(), policy: p, feed: newFeed(), cancel: cancel,
		first: make(chan firstStart, 1), over: make(chan struct{}), incarnation: 1, decided: make(chan struct{}),
	}
	s.run = func() { s.supervise(life) }
	return s, nil
}

// begin starts the owner and returns when the first incarnation is started, or
// cannot be. ctx bounds that.
func (s *Supervisor) begin(ctx context.Context) (ProcHandle, error) {
	go s.run()
	unbind := context.AfterFunc(ctx, func() { s.halt(context.Cause(ctx)) })
	start := <-s.first
	if inTime := unbind(); inTime || start.err != nil {
		return start.h, start.err
	}
	return nil, s.abandon(ctx, context.Cause(ctx))
}

// abandon kills what was started and ends the supervision, since why stands
// against it. It returns why, and that the end was not seen, if it was not.
func (s *Supervisor) abandon(ctx context.Context, why error) error {
	reap, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapBound)
	defer cancel()
	if _, err := s.Kill(reap, fmt.Sprintf("its spawn was given up: %v", why)); err != nil && !errors.Is(err, ErrAlreadyExited) {
		return fmt.Errorf("%w; its end was not seen: %w", why, err)
	}
	return why
}

// Current returns the handle of the proc as it is now: of the latest
// incarnation that was started, which may have exited.
func (s *Supervisor) Current() ProcHandle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handle
}

// Incarnation counts the starts, from 1, those that failed included.
func (s *Supervisor) Incarnation() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.incarnation
}

// Events yields what happens to the proc, in order, and first what has
// happened so far. It ends when the supervision does, or ctx. The Supervisor
// keeps the last 64 events for all watchers and waits for none: what a slow one
// has lost is counted in the next event's Missed.
func (s *Supervisor) Events(ctx context.Context) iter.Seq[Event] { return s.feed.events(ctx) }

// Wait waits for the end of the supervision and returns how the last run
// ended. The error is a *GaveUpError if the proc was given up, or the cause of
// ctx. It is nil if the proc has ended as it should, by the Restart of its
// spec, or because somebody wanted it.
func (s *Supervisor) Wait(ctx context.Context) (Exit, error) {
	if s.isOver() {
		return s.exit, s.err
	}
	select {
	case <-s.over:
		return s.exit, s.err
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Terminate ends the supervision: the proc is not started again. One that
// runs is asked to stop, and killed when grace is used up; see
// ProcHandle.Terminate, also for the errors. It returns how the last run ended,
// with ErrAlreadyExited if the supervision was over before. If the proc could
// not be stopped, it is still not started again.
func (s *Supervisor) Terminate(ctx context.Context, grace time.Duration, reason string) (Exit, error) {
	return s.stop(ctx, reason, func(h ProcHandle) error {
		_, err := h.Terminate(ctx, grace, reason)
		return err
	})
}

// Kill is Terminate by force; see ProcHandle.Kill.
func (s *Supervisor) Kill(ctx context.Context, reason string) (Exit, error) {
	return s.stop(ctx, reason, func(h ProcHandle) error {
		_, err := h.Kill(ctx, reason)
		return err
	})
}

// stop ends the supervision and then the proc. One that is just being started
// is seen to by the owner.
func (s *Supervisor) stop(ctx context.Context, reason string, end func(ProcHandle) error) (Exit, error) {
	if s.isOver() {
		return s.exit, ErrAlreadyExited
	}
	h := s.halt(&haltError{by: requester(ctx), why: reason})
	if err := end(h); err != nil && !errors.Is(err, ErrAlreadyExited) {
		return Exit{}, err
	}
	exit, err := s.Wait(ctx)
	if _, ok := errors.AsType[*GaveUpError](err); ok { // that came first, and it is an end
		err = nil
	}
	return exit, err
}

// halt sees to it that no proc is started from then on, and returns the current
// one. If another is being started, the owner will not let it live. The first
// cause stands.
func (s *Supervisor) halt(cause error) ProcHandle {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel(cause)
	return s.handle
}

func (s *Supervisor) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// ending reports whether the proc has ended for good. An exit that everybody
// can see, but of which it is not known yet what comes next, is waited for.
func (s *Supervisor) ending(ctx context.Context) (bool, error) {
	s.mu.Lock()
	h, decided := s.handle, s.decided
	s.mu.Unlock()
	if h != nil && h.Status().Phase == Exited {
		select {
		case <-decided:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return s.isOver(), nil
}
