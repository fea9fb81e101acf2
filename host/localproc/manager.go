// Package localproc is the manager of procs that live inside this process,
// LocalProcManager in the system that the semantics come from. They cost no
// process and start at once, and they share its fate: what cannot be done to
// them is to end a goroutine that does not return. An exit names those actors.
package localproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Config says what a Manager works with. Host, Service and Gateway are needed.
type Config struct {
	Host    string           // the host's name in the ids of its procs
	Service *actor.Proc      // the host's own proc, which talks to the agents
	Gateway *gateway.Gateway // routes to the procs
	Types   []actor.AnyType  // what can be spawned in the procs

	KillBound time.Duration // how long actors may take to return from a kill; 1 s if zero (PH-6)
	Spawns    int           // how many are started at once; see host.NewRoster
	Log       *slog.Logger
}

const (
	defaultKillBound = time.Second
	noBound          = 24 * time.Hour // the owner kills long before
)

// Manager is the host.ProcManager of procs inside this process.
type Manager struct {
	cfg    Config
	roster *host.Roster
}

// New returns a Manager.
func New(cfg Config) *Manager {
	cfg.KillBound = cmp.Or(cfg.KillBound, defaultKillBound)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	return &Manager{cfg: cfg, roster: host.NewRoster(cfg.Spawns)}
}

// Spawn starts a proc; see host.ProcManager. A spec that asks for a program,
// arguments, an environment, a directory or limits is refused: a proc inside this
// process has none of its own.
func (m *Manager) Spawn(ctx context.Context, spec host.ProcSpec) (host.ProcHandle, error) {
	if spec.Program != "" || len(spec.Args) > 0 || len(spec.Env) > 0 || spec.Dir != "" || !spec.Limits.IsZero() {
		return nil, &host.SpawnError{Name: spec.Name, Err: fmt.Errorf("a proc inside this process has no program, arguments, environment, directory or limits of its own: %w", errors.ErrUnsupported)}
	}
	return m.roster.Spawn(ctx, spec, host.Start{Host: m.cfg.Host, Gateway: m.cfg.Gateway, Log: m.cfg.Log, Begin: m.begin})
}

// begin starts the proc.
func (m *Manager) begin(_ context.Context, p id.Proc) (host.Begun, error) {
	b := &body{manager: m, started: time.Now()}
	var err error
	b.proc, err = actor.NewProc(actor.Config{ID: p, Types: m.cfg.Types, Gateway: m.cfg.Gateway, Log: m.cfg.Log})
	return host.Begun{Body: b}, err
}

// TerminateAll stops all procs; see host.ProcManager.
func (m *Manager) TerminateAll(ctx context.Context, grace time.Duration, limit int, reason string) host.Summary {
	return m.roster.TerminateAll(ctx, grace, limit, reason)
}

// Procs returns the handles of the living procs, by name.
func (m *Manager) Procs() []host.ProcHandle { return m.roster.Procs() }

// Close kills all procs and refuses spawns; see host.ProcManager.
func (m *Manager) Close(ctx context.Context) error { return m.roster.Close(ctx) }

// body is a proc inside this process, as the handle's owner uses it.
type body struct {
	manager *Manager
	proc    *actor.Proc
	started time.Time
	killed  atomic.Bool
}

// Connect sees that the agent works.
func (b *body) Connect(ctx context.Context, progress func(launch.Phase)) (host.Endpoint, error) {
	progress(launch.PhaseInit)
	agent := b.proc.Agent()
	if _, err := actor.Ping.Call(b.manager.cfg.Service.Context(ctx), agent, actor.None{}); err != nil {
		return host.Endpoint{}, fmt.Errorf("ask the agent: %w", err)
	}
	return host.Endpoint{Addr: b.manager.cfg.Gateway.Addr(), Agent: agent}, nil
}

// Drain has the actors handle what waits for them, and end. Those that take
// longer than ctx are not given up yet: Stop comes next, and then Kill (PH-5).
func (b *body) Drain(ctx context.Context, _ string) error { return b.proc.Drain(ctx, noBound) }

// Stop cancels the handlers and closes the mailboxes.
func (b *body) Stop() error { return b.stop(noBound) }

// Kill does the same, and gives up on actors that do not return in time.
func (b *body) Kill() error {
	b.killed.Store(true)
	return b.stop(b.manager.cfg.KillBound)
}

func (b *body) stop(budget time.Duration) error {
	over, cancel := context.WithCancel(context.Background())
	cancel() // give the order, do not wait
	b.proc.Stop(over, budget)
	return nil
}

// Wait waits until the proc has ended.
func (b *body) Wait() launch.Exit {
	<-b.proc.Done()
	e := launch.Exit{Kind: launch.Stopped, Started: b.started, Ended: time.Now()}
	if b.killed.Load() {
		e.Kind = launch.Killed
	}
	if err := b.proc.Err(); err != nil {
		e.Code, e.Cause = 1, err.Error()
	}
	var names []string
	for _, a := range b.proc.Abandoned() {
		names = append(names, a.Name)
	}
	e.Abandoned = strings.Join(names, ", ")
	return e
}
