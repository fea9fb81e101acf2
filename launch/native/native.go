// Package native is the launcher for programs that do without a keeper
// (PS-1, opt-out): the processes are children of this very process and end
// with it.
//
// On linux (5.4 or later; from 6.9 on the signals to groups are exact in every
// case) one locked thread starts all children, so that the parent-death signal
// fires when this process dies and not when some thread does. Waiting costs no
// thread. Each child leads a session and a process group of its own; the group
// is the tree that is signalled, killed and swept. A descendant that leaves it
// with setsid is out of this launcher's reach.
//
// On other systems there is no parent-death signal, waiting costs one thread
// per child, Suspended is always false and left-over processes are killed but
// not counted one by one.
package native

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// Launcher starts processes as children of this process. It implements
// launch.Launcher.
type Launcher struct {
	log      *slog.Logger
	starter  *tree.Starter
	closing  chan struct{}  // closed by Close
	starting sync.WaitGroup // running calls of Launch
	monitors sync.WaitGroup // one per process that was started

	mu     sync.Mutex // guards the following
	closed bool
	procs  map[*process]struct{} // those that have not ended
}

// Config configures a Launcher.
type Config struct {
	Log *slog.Logger // nothing is logged if nil

	withoutGroupSignal bool // behave as on a kernel before 6.9, for tests
}

// New returns a launcher. It costs nothing until the first Launch.
func New(cfg Config) *Launcher {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Launcher{
		log:     log,
		starter: &tree.Starter{WithoutGroupSignal: cfg.withoutGroupSignal},
		closing: make(chan struct{}),
		procs:   map[*process]struct{}{},
	}
}

// Launch starts a process; see launch.Launcher. A program that is being
// written (ETXTBSY) is tried again for a second: between writing a program and
// running it, another thread's fork may hold the descriptor for a moment.
func (l *Launcher) Launch(ctx context.Context, spec launch.Spec) (launch.Process, error) {
	if ctx.Err() != nil {
		return nil, &launch.StartError{Op: "start", Path: spec.Path, Err: context.Cause(ctx)}
	}
	if !l.enter() {
		return nil, &launch.StartError{Op: "start", Path: spec.Path, Reason: launch.ErrClosed}
	}
	defer l.starting.Done()
	spec = spec.WithDefaults()
	prog, err := spec.Resolve()
	if err != nil {
		return nil, err
	}
	p, err := l.start(ctx, spec, prog)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.procs[p] = struct{}{}
	l.mu.Unlock()
	l.monitors.Go(p.monitor)
	return p, nil
}

// Close ends the launcher; see launch.Launcher. A second caller waits, too.
func (l *Launcher) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	l.starting.Wait()

	l.mu.Lock()
	left := slices.Collect(maps.Keys(l.procs))
	l.mu.Unlock()
	var errs []error
	for _, p := range left {
		errs = append(errs, p.Kill())
	}
	l.monitors.Wait()
	l.starter.Stop()
	return errors.Join(errs...)
}

// enter reports whether a Launch may go on, which then must call starting.Done.
func (l *Launcher) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.starting.Add(1)
	}
	return !l.closed
}

func (l *Launcher) forget(p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.procs, p)
}

// start starts prog, with patience for a busy file.
func (l *Launcher) start(ctx context.Context, spec launch.Spec, prog launch.Program) (*process, error) {
	const patience = time.Second
	begin := time.Now()
	for delay := time.Millisecond; ; delay *= 2 {
		p, err := l.startOnce(spec, prog)
		if !errors.Is(err, launch.ErrBusy) || time.Since(begin)+delay > patience {
			return p, err
		}
		again := time.NewTimer(delay)
		select {
		case <-again.C:
		case <-l.closing:
			again.Stop()
			return nil, &launch.StartError{Op: "start", Path: spec.Path, Reason: launch.ErrClosed, Err: err}
		case <-ctx.Done():
			again.Stop()
			return nil, &launch.StartError{Op: "start", Path: spec.Path, Reason: launch.ErrBusy, Err: context.Cause(ctx)}
		}
	}
}

func (l *Launcher) startOnce(spec launch.Spec, prog launch.Program) (*process, error) {
	out, err := output.Open(spec)
	if err != nil {
		e := launch.Explain(spec, prog.Path, err)
		e.Op = "pipe"
		return nil, e
	}
	stdout, stderr := out.Writers()
	lead, err := l.starter.Start(tree.Request{
		Prog: prog, Env: spec.Env, Dir: spec.Dir, Control: spec.Control, Stdout: stdout, Stderr: stderr,
	})
	started := time.Now()
	out.CloseWriters()
	if err != nil {
		out.Close()
		return nil, launch.Explain(spec, prog.Path, err)
	}
	p := &process{
		launcher: l, leader: lead, out: out, started: started,
		drain: spec.DrainBound, done: make(chan struct{}),
	}
	out.Read()
	return p, nil
}
