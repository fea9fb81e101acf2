// Package osproc is the manager of procs that have an operating-system process
// to themselves, ProcessProcManager in the system that the semantics come from.
//
// The parent side is Manager: it starts the process, shakes hands with it over
// an inherited descriptor, and follows it. The child side is Child: a program
// calls it first thing in main, through the front door, and becomes the proc
// if it was started as one.
package osproc

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/handshake"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/wire"
)

// Config says what a Manager works with. All but Env, Mark, Spawns, Streams,
// Output, Limits, Issue and Log are needed.
type Config struct {
	Host     string           // the host's name in the ids of its procs
	Service  *actor.Proc      // the host's own proc, which talks to the agents
	Gateway  *gateway.Gateway // routes to the procs
	Launcher launch.Launcher  // starts the processes; closed by whoever made it
	Back     channel.Addr     // where the gateway listens for the children
	Dir      string           // a private directory for the sockets of the children
	Token    []byte           // the gateway's

	Env    []string    // the environment of the children, before ProcSpec.Env; what is Inheritable of ours if nil
	Mark   string      // kept in the environment of all that descends from the host, for launch.Census
	Spawns int         // how many are started at once; see host.NewRoster
	Limits wire.Limits // of the children's sessions
	Log    *slog.Logger

	// Issue, if not nil, certifies that whoever has the private key of public is
	// p, a living proc of this host that has asked for it over its control
	// connection (MS-15). It is called concurrently, for one proc once at a time.
	Issue func(p id.Proc, public []byte) ([]byte, error)

	// Streams, if not nil, returns what takes the bytes that a proc writes; see
	// host.Capture. It is called once for each spawn, concurrently; an error
	// fails the spawn.
	Streams func(spec host.ProcSpec) (host.Streams, error)

	// Output, if not nil, gets every line that a proc writes to stdout or
	// stderr. It is called concurrently and must not block.
	Output func(p id.Proc, s launch.Stream, line []byte)
}

// Manager is the host.ProcManager of procs with a process each.
type Manager struct {
	cfg    Config
	roster *host.Roster
}

// New returns a Manager.
func New(cfg Config) *Manager {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.Env == nil {
		cfg.Env = host.Inheritable(os.Environ())
	}
	if cfg.Streams == nil {
		cfg.Streams = func(host.ProcSpec) (host.Streams, error) { return host.Streams{}, nil }
	}
	return &Manager{cfg: cfg, roster: host.NewRoster(cfg.Spawns)}
}

// Spawn starts a process for the proc; see host.ProcManager.
func (m *Manager) Spawn(ctx context.Context, spec host.ProcSpec) (host.ProcHandle, error) {
	return m.roster.Spawn(ctx, spec, host.Start{
		Host: m.cfg.Host, Gateway: m.cfg.Gateway, Log: m.cfg.Log,
		Begin: func(ctx context.Context, p id.Proc) (host.Begun, error) {
			b, err := m.launch(ctx, p, spec)
			if err != nil {
				return host.Begun{}, err
			}
			return host.Begun{Body: b, PID: b.process.PID(), Suspended: b.process.Suspended, Handle: b.handle}, nil
		},
	})
}

// launch starts the process and returns the proc's body.
func (m *Manager) launch(ctx context.Context, p id.Proc, spec host.ProcSpec) (*body, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	ls := launch.Spec{
		Path: cmp.Or(spec.Program, launch.Self), Args: spec.Args, Dir: spec.Dir, Limits: spec.Limits, Control: theirs,
		Env: host.Environ(m.cfg.Mark, m.cfg.Env, spec.Env, []string{fmt.Sprintf("%s=%d", controlEnv, controlFD)}),
	}
	if m.cfg.Output != nil {
		ls.Output = func(s launch.Stream, line []byte) { m.cfg.Output(p, s, line) }
	}
	streams, err := m.cfg.Streams(spec)
	if err != nil {
		ours.Close()
		return nil, err
	}
	ls.Stdout, ls.Stderr = streams.Stdout, streams.Stderr
	process, err := m.cfg.Launcher.Launch(ctx, ls)
	if err != nil {
		ours.Close()
		return nil, errors.Join(err, streams.Close())
	}
	once := []byte(rand.Text())
	b := &body{
		manager: m, process: process, control: ours, streams: streams,
		boot: handshake.Boot{
			Version: handshake.Version, Once: once, Token: m.cfg.Token, Proc: p, Host: m.cfg.Service.ID(),
			Back: m.cfg.Back, Listen: channel.Addr("unix:" + filepath.Join(m.cfg.Dir, fmt.Sprintf("%016x", p.UID))),
			Limits: m.cfg.Limits, Grants: m.cfg.Issue != nil,
		},
		handle: make(chan *host.Handle, 1), first: make(chan handshake.Note, 1), closed: make(chan struct{}),
	}
	b.reader.Go(b.read) // Wait waits for it
	return b, nil
}

// TerminateAll stops all procs; see host.ProcManager.
func (m *Manager) TerminateAll(ctx context.Context, grace time.Duration, limit int, reason string) host.Summary {
	return m.roster.TerminateAll(ctx, grace, limit, reason)
}

// Procs returns the handles of the living procs, by name.
func (m *Manager) Procs() []host.ProcHandle { return m.roster.Procs() }

// Close kills all procs and refuses spawns; see host.ProcManager.
func (m *Manager) Close(ctx context.Context) error { return m.roster.Close(ctx) }
