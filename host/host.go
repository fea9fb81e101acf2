package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/restart"
)

// Config says what a Host is made of. All but what follows Manager is needed;
// the Host owns the parts from then on and ends them in its Shutdown.
type Config struct {
	Name    string           // the host's name in ids
	Gateway *gateway.Gateway // listens at Front and Back (PM-6)
	Front   channel.Addr     // where others reach the host and all its procs
	Back    channel.Addr     // where its children reach it
	Service *actor.Proc      // the proc of the host's own actors (PM-8)
	Local   *actor.Proc      // the proc of the program's own actors (PM-8)
	Manager ProcManager      // makes procs

	Logs        *capture.Reader // reads what the manager captures; nil: Host.Logs has nothing
	RestartRate restart.Rate    // bounds the restarts of all procs together; 10 per second if zero (AC-6)
	Log         *slog.Logger    // nothing is logged if nil

	// OnGiveUp is told of each supervised proc that is not started again,
	// though it should run. Nil: that is logged as an error. It must neither
	// block nor wait for the proc's Supervisor or for the Host.
	OnGiveUp func(*GaveUpError)
}

// Host is the procs of one machine behind one address: it spawns them, follows
// them and stops them. All methods may be called concurrently.
type Host struct {
	cfg   Config
	wards *wards
	once  sync.Once
	done  chan struct{} // closed when it is shut down
	sum   Summary
	err   error
}

// New returns a Host of parts that work already.
func New(cfg Config) *Host {
	return &Host{cfg: cfg, wards: newWards(cfg), done: make(chan struct{})}
}

// Name returns the host's name.
func (h *Host) Name() string { return h.cfg.Name }

// Addr returns the front address, through which all procs of the host are reached.
func (h *Host) Addr() channel.Addr { return h.cfg.Front }

// BackAddr returns the address at which the children reach the host.
func (h *Host) BackAddr() channel.Addr { return h.cfg.Back }

// Local returns the id of the proc that the program's own actors live in.
func (h *Host) Local() id.Proc { return h.cfg.Local.ID() }

// Spawn starts a proc and returns when it is Ready. If it does not become so,
// or ctx ends first, it is killed and its end is waited for: nothing is left,
// and the name is free again (PM-1). The error is then a *SpawnError, with the
// exit, the phase and the last lines of stderr.
//
// With a spec.Restart other than Never the proc is supervised from then on, as
// by Supervise. The handle follows the first incarnation to its end, as every
// handle does, and Proc has the current one. Only a proc that was Ready once is
// started again: whoever calls Spawn is told about the others. Whoever wants to
// end one also while it waits to be started again calls Supervise instead.
func (h *Host) Spawn(ctx context.Context, spec ProcSpec) (ProcHandle, error) {
	if spec.Restart != restart.Never {
		return h.spawnSupervised(ctx, spec)
	}
	if err := h.wards.free(ctx, spec.Name); err != nil {
		return nil, fmt.Errorf("spawn %s: %w", spec.Name, err)
	}
	p, err := h.cfg.Manager.Spawn(ctx, spec)
	if err != nil {
		return nil, err
	}
	if _, err := awaitReady(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// Procs returns the handles of the living procs, by name.
func (h *Host) Procs() []ProcHandle { return h.cfg.Manager.Procs() }

// Proc returns the handle of the living proc called name.
func (h *Host) Proc(name string) (ProcHandle, bool) {
	for _, p := range h.Procs() {
		if p.ID().Name == name {
			return p, true
		}
	}
	return nil, false
}

// TerminateAll stops all procs within grace, at most limit at once (all at
// once if limit is not positive); see ProcManager. None of them is started
// again.
func (h *Host) TerminateAll(ctx context.Context, grace time.Duration, limit int, reason string) Summary {
	halted := h.wards.halt(requester(ctx), reason)
	defer h.wards.accept()
	sum := h.cfg.Manager.TerminateAll(ctx, grace, limit, reason)
	_ = awaitEnds(ctx, halted, sum) // they are halted, whether they were seen to end or not
	return sum
}

// closeBound is what is kept, beyond the grace, for the last steps of a shutdown.
const closeBound = 5 * time.Second

// Shutdown ends the host: it refuses spawns, stops the procs within grace
// while networking is alive, so that their last messages get out, then its own
// actors, and at last networking (PM-5). It is done once: a second caller waits
// for the same end. ctx bounds the wait, not the shutdown.
func (h *Host) Shutdown(ctx context.Context, grace time.Duration, reason string) (Summary, error) {
	h.once.Do(func() { go h.shutdown(As(context.WithoutCancel(ctx), requester(ctx)), grace, reason) })
	select {
	case <-h.done:
		return h.sum, h.err
	case <-ctx.Done():
		return Summary{}, fmt.Errorf("host %s: waiting for its shutdown: %w", h.cfg.Name, context.Cause(ctx))
	}
}

// Close is Shutdown without grace.
func (h *Host) Close() error {
	_, err := h.Shutdown(context.Background(), 0, "the host is closed")
	return err
}

func (h *Host) shutdown(ctx context.Context, grace time.Duration, reason string) {
	defer close(h.done)
	halted := h.wards.halt(requester(ctx), reason) // for good
	h.sum = h.cfg.Manager.TerminateAll(ctx, grace, 0, reason)
	bound, cancel := context.WithTimeout(ctx, closeBound)
	defer cancel()
	h.err = errors.Join(
		h.cfg.Manager.Close(bound),
		awaitEnds(bound, halted, h.sum),
		h.cfg.Local.Drain(bound, closeBound/2),
		h.cfg.Service.Drain(bound, closeBound/2),
		h.cfg.Gateway.Close(bound),
	)
}

// Done returns a channel that is closed when the host is shut down.
func (h *Host) Done() <-chan struct{} { return h.done }
