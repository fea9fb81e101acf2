package cmdproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// body is a command, as the handle's owner uses it. One goroutine, follow,
// takes it from its start to its end.
type body struct {
	manager *Manager
	id      id.Proc
	process launch.Process
	watch   *watch

	handle chan *host.Handle       // takes one, as soon as there is one
	ready  chan error              // takes what the wait for readiness came to
	stop   context.CancelCauseFunc // ends follow
	work   sync.WaitGroup          // follow and what it starts

	// What follow writes, for those who have heard from ready or waited for work.
	side   *actor.Proc // the proc's agent and actors; nil if it never was ready
	unmade string      // what was missing when its time to become ready was up
}

const (
	agentBound = 5 * time.Second // for an answer of an agent in this process
	noBound    = 24 * time.Hour  // the owner goes on long before
)

// Why a context of a body ends.
var (
	errEnded    = errors.New("the command has ended")
	errStopping = errors.New("the command has said that it stops")
)

// errNoAgent is why a drain is never the end: a command has no agent of its own
// that could be asked, so that SIGTERM is next, at once.
var errNoAgent = errors.New("a command can only be asked to stop by a signal")

// newBody returns the body of a process that has just been started.
func newBody(m *Manager, p id.Proc, process launch.Process, w *watch) *body {
	ctx, stop := context.WithCancelCause(context.Background())
	b := &body{
		manager: m, id: p, process: process, watch: w, stop: stop,
		handle: make(chan *host.Handle, 1), ready: make(chan error, 1),
	}
	b.work.Go(func() { b.follow(ctx) }) // Wait waits for it
	return b
}

// Connect waits until the probe says that the command is ready and its agent
// has answered.
func (b *body) Connect(ctx context.Context, progress func(launch.Phase)) (host.Endpoint, error) {
	progress(launch.PhaseInit) // there is no handshake
	var err error
	select {
	case err = <-b.ready:
	case <-ctx.Done():
		b.stop(context.Cause(ctx))
		err = <-b.ready
	}
	if err != nil {
		return host.Endpoint{}, err
	}
	return host.Endpoint{Addr: b.manager.cfg.Gateway.Addr(), Agent: b.side.Agent()}, nil
}

// follow makes the command a proc as soon as it is ready, and then sees to it
// that it does not go on when it should not.
func (b *body) follow(ctx context.Context) {
	h := <-b.handle
	live, calm := context.WithCancelCause(ctx)
	defer calm(nil)
	if b.watch.notify != nil {
		b.work.Go(func() { b.listen(ctx, h, calm) })
	}
	err := b.start(ctx, h)
	b.ready <- err
	if err != nil {
		return
	}
	if _, err := h.Ready(ctx); err != nil {
		return // it has ended, or is being stopped
	}
	b.work.Go(func() { b.attend(ctx, h) })
	b.guard(live, h)
}

// start waits until the command is ready and gives it its agent. A command
// that needs not pass anything is ready, however soon it ends.
func (b *body) start(ctx context.Context, h *host.Handle) error {
	if b.watch.ready != nil {
		if err := b.watch.ready.AwaitReady(ctx); err != nil {
			if s := h.Status(); s.Cause != "" && s.Requested == (launch.Request{}) { // its time was up: that shows before it is killed
				b.unmade = missing(err)
			}
			return err
		}
	}
	cfg := b.manager.cfg
	side, err := actor.NewProc(actor.Config{ID: b.id, Types: cfg.Types, Gateway: cfg.Gateway, Log: cfg.Log})
	if err != nil {
		return err
	}
	b.side = side
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), agentBound)
	defer cancel()
	if _, err := actor.Ping.Call(cfg.Service.Context(ctx), side.Agent(), actor.None{}); err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	return nil
}

// missing says what a probe has waited for in vain.
func missing(err error) string {
	e, ok := errors.AsType[*probe.NotReadyError](err)
	switch {
	case !ok:
		return err.Error()
	case e.Last == nil:
		return fmt.Sprintf("probe %s: no answer", e.Probe)
	}
	return fmt.Sprintf("probe %s: %v", e.Probe, e.Last)
}

// guard condemns the command when it has failed its liveness probe.
func (b *body) guard(ctx context.Context, h *host.Handle) {
	if b.watch.live == nil {
		return
	}
	err := b.watch.live.AwaitFailure(ctx)
	if failed, ok := errors.AsType[*probe.FailedError](err); ok {
		h.Condemn(fmt.Sprintf("it is not live: probe %v", failed), b.watch.grace)
	}
}

// attend condemns the command when its actors have ended before it: one has
// failed, or somebody has drained the proc through its agent. In a stop they
// do so, too, and then this is no news.
func (b *body) attend(ctx context.Context, h *host.Handle) {
	select {
	case <-ctx.Done():
		return
	case <-b.side.Done():
	}
	cause := "its agent was asked to drain it"
	if err := b.side.Err(); err != nil {
		cause = err.Error()
	}
	h.Condemn(cause, b.watch.grace)
}

// listen passes on what the command says of itself. One that says that it
// stops need not answer its liveness probe any more, and has its grace to end.
func (b *body) listen(ctx context.Context, h *host.Handle, calm context.CancelCauseFunc) {
	var stopping time.Time // since when
	var overdue <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-overdue:
			h.Condemn(fmt.Sprintf("it said STOPPING=1 and has not ended within %v", b.watch.grace), b.watch.grace)
			return
		case <-b.watch.news:
		}
		n := b.watch.notify.Notices()
		if n.Stopping && stopping.IsZero() {
			stopping = time.Now()
			calm(errStopping)
		}
		h.Note(n.Status)
		if !n.Stopping {
			continue
		}
		end := stopping.Add(b.watch.grace)
		if n.Patience.After(end) {
			end = n.Patience
		}
		overdue = time.After(time.Until(end))
	}
}

// Drain drains the actors. The command comes next, so that this always ends
// with an error.
func (b *body) Drain(ctx context.Context, _ string) error {
	return errors.Join(b.side.Drain(ctx, noBound), errNoAgent)
}

// Stop sends SIGTERM and SIGCONT to the tree.
func (b *body) Stop() error { return b.process.Stop() }

// Kill sends SIGKILL to the tree.
func (b *body) Kill() error { return b.process.Kill() }

// Wait waits for the end of the process, and then ends all that was there for it.
func (b *body) Wait() launch.Exit {
	e := b.process.Wait()
	b.stop(errEnded)
	b.work.Wait()
	if err := b.watch.close(); err != nil {
		b.manager.cfg.Log.Warn("probes or streams of a proc cannot be closed", "proc", b.id, "error", err)
	}
	e.Cause = cmp.Or(e.Cause, b.unmade)
	if b.side == nil {
		return e
	}
	b.side.Stop(context.Background(), b.manager.cfg.KillBound)
	var names []string
	for _, a := range b.side.Abandoned() {
		names = append(names, a.Name)
	}
	e.Abandoned = strings.Join(names, ", ")
	return e
}
