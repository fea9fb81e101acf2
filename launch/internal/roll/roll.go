// Package roll is what launchers have in common: how a start begins and is
// tried again, who is alive, and how a launcher ends. It starts nothing itself.
package roll

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Roll lists the processes of one launcher that have not ended. New makes it,
// Close ends it. Its methods may be called concurrently.
type Roll[P Process] struct {
	starting sync.WaitGroup // running calls of Launch
	monitors sync.WaitGroup // one per process that was started

	mu     sync.Mutex // guards the following
	closed bool
	procs  map[P]struct{}
	giveUp map[*context.CancelCauseFunc]struct{} // of the running calls of Launch
}

// Process is a process as a launcher follows it. Follow returns after the end.
type Process interface {
	comparable
	Kill() error
	Follow()
}

// New returns an empty Roll.
func New[P Process]() *Roll[P] {
	return &Roll[P]{procs: map[P]struct{}{}, giveUp: map[*context.CancelCauseFunc]struct{}{}}
}

// Launch resolves spec, starts it with start and has the process followed. A
// program that is being written (ETXTBSY) is tried again for a second: between
// writing a program and running it, another thread's fork may hold the
// descriptor for a moment. The ctx of start ends with ctx, and with Close.
func (r *Roll[P]) Launch(ctx context.Context, spec launch.Spec, start func(context.Context, launch.Spec, launch.Program) (P, error)) (P, error) {
	var none P
	if ctx.Err() != nil {
		return none, &launch.StartError{Op: "start", Path: spec.Path, Err: context.Cause(ctx)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !r.enter(&cancel) {
		return none, &launch.StartError{Op: "start", Path: spec.Path, Reason: launch.ErrClosed}
	}
	defer r.leave(&cancel)
	spec = spec.WithDefaults()
	prog, err := find(ctx, spec)
	if err != nil {
		return none, err
	}
	p, err := r.patiently(ctx, spec.Path, func() (P, error) { return start(ctx, spec, prog) })
	if err != nil {
		return none, err
	}
	r.Follow(p)
	return p, nil
}

// Follow has a process followed to its end. It is called during a Launch.
func (r *Roll[P]) Follow(p P) {
	r.mu.Lock()
	r.procs[p] = struct{}{}
	r.mu.Unlock()
	r.monitors.Go(func() {
		p.Follow()
		r.mu.Lock()
		delete(r.procs, p)
		r.mu.Unlock()
	})
}

// Care has f called, and Close wait for it. It is called during a Launch.
func (r *Roll[P]) Care(f func()) { r.monitors.Go(f) }

// Close refuses what comes, gives up the starts that are under way, kills what is
// left and waits for it. A second caller waits, too.
func (r *Roll[P]) Close() error {
	r.mu.Lock()
	r.closed = true
	for cancel := range r.giveUp {
		(*cancel)(launch.ErrClosed)
	}
	r.mu.Unlock()
	r.starting.Wait()

	r.mu.Lock()
	left := slices.Collect(maps.Keys(r.procs))
	r.mu.Unlock()
	var errs []error
	for _, p := range left {
		errs = append(errs, p.Kill())
	}
	r.monitors.Wait()
	return errors.Join(errs...)
}

// enter reports whether a Launch may go on, which then must leave. Close calls
// cancel if it comes first.
func (r *Roll[P]) enter(cancel *context.CancelCauseFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.giveUp[cancel] = struct{}{}
		r.starting.Add(1)
	}
	return !r.closed
}

func (r *Roll[P]) leave(cancel *context.CancelCauseFunc) {
	r.mu.Lock()
	delete(r.giveUp, cancel)
	r.mu.Unlock()
	r.starting.Done()
}

// patiently calls start, with patience for a busy file.
func (r *Roll[P]) patiently(ctx context.Context, path string, start func() (P, error)) (P, error) {
	const patience = time.Second
	var none P
	begin := time.Now()
	for delay := time.Millisecond; ; delay *= 2 {
		p, err := start()
		if !errors.Is(err, launch.ErrBusy) || time.Since(begin)+delay > patience {
			return p, err
		}
		again := time.NewTimer(delay)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return none, &launch.StartError{Op: "start", Path: path, Reason: launch.ErrBusy, Err: context.Cause(ctx)}
		}
	}
}
