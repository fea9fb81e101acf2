// Package cmdproc is the manager of procs that are commands: programs that know
// nothing of this project (PS-11).
//
// A command answers no handshake, so probes find out whether it is ready and
// whether it still works (package probe; Probes). Its agent lives beside the
// launcher, in the host's process: it is there from Ready to the exit, and
// actors can be spawned in it like in any proc, to do for the command what it
// does not do itself. They end with the command. An actor among them that fails
// and is handled by nobody ends the command (AC-9), and so does draining the
// proc through its agent.
//
// A command that knows sd_notify(3), which KindNotify lets it use, is heard: its
// STATUS= is the Note of the proc's status. After STOPPING=1 it is not probed
// any more and has its grace to end, or as long as EXTEND_TIMEOUT_USEC= says,
// which does not move ProcSpec.ReadyTimeout.
//
// The record of an exit is the kernel's. A command that SIGTERM ends, because
// it does not handle it, was Killed by signal 15, whoever asked for that.
package cmdproc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Config says what a Manager works with. Host, Service, Gateway and Launcher
// are needed.
type Config struct {
	Host     string           // the host's name in the ids of its procs
	Service  *actor.Proc      // the host's own proc, which talks to the agents
	Gateway  *gateway.Gateway // routes to the procs
	Launcher launch.Launcher  // starts the commands; closed by whoever made it
	Types    []actor.AnyType  // what can be spawned beside a command

	// Probes returns how a command is probed. It is called once for each spawn,
	// concurrently. Nil: a command is ready as soon as it runs, and is not
	// looked at again.
	Probes func(spec host.ProcSpec) Probes

	// Env is the environment of the commands before ProcSpec.Env; none if it is
	// empty. Nil: of ours what is host.Inheritable. Each command also finds a name in NameEnv.
	Env    []string
	Mark   string // kept in the environment of all that descends from the host, for launch.Census; see host.Marker
	Spawns int    // how many are started at once; see host.NewRoster
	Log    *slog.Logger

	// KillBound is how long the actors beside a command may take to return when
	// it has ended, before the exit names them as abandoned; 1 s if zero (PH-6).
	KillBound time.Duration

	// Name returns what a command finds in NameEnv. Nil: the name of its proc.
	Name func(spec host.ProcSpec) string

	// Output, if not nil, gets every line that a command writes to stdout or
	// stderr. It is called concurrently and must not block.
	Output func(p id.Proc, s launch.Stream, line []byte)

	// Streams, if not nil, returns what takes the bytes that a command writes.
	// It is called once for each spawn, concurrently; an error fails the spawn.
	Streams func(spec host.ProcSpec) (host.Streams, error)
}

// NameEnv has a name in the environment of each command; see Config.Name.
const NameEnv = "HYPER_NAME"

const defaultKillBound = time.Second

// Manager is the host.ProcManager of procs that are commands.
type Manager struct {
	cfg    Config
	roster *host.Roster
}

// New returns a Manager.
func New(cfg Config) *Manager {
	cfg.KillBound = cmp.Or(cfg.KillBound, defaultKillBound)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.Probes == nil {
		cfg.Probes = func(host.ProcSpec) Probes { return Probes{} }
	}
	if cfg.Name == nil {
		cfg.Name = func(spec host.ProcSpec) string { return spec.Name }
	}
	if cfg.Streams == nil {
		cfg.Streams = func(host.ProcSpec) (host.Streams, error) { return host.Streams{}, nil }
	}
	if cfg.Env == nil {
		cfg.Env = host.Inheritable(os.Environ())
	}
	return &Manager{cfg: cfg, roster: host.NewRoster(cfg.Spawns)}
}

// Spawn starts a command for the proc; see host.ProcManager. Probes that cannot
// be are an error.
func (m *Manager) Spawn(ctx context.Context, spec host.ProcSpec) (host.ProcHandle, error) {
	return m.roster.Spawn(ctx, spec, host.Start{
		Host: m.cfg.Host, Gateway: m.cfg.Gateway, Log: m.cfg.Log,
		Begin: func(ctx context.Context, p id.Proc) (host.Begun, error) { return m.begin(ctx, p, spec) },
	})
}

// begin starts the command and what watches it.
func (m *Manager) begin(ctx context.Context, p id.Proc, spec host.ProcSpec) (host.Begun, error) {
	ls := launch.Spec{Path: cmp.Or(spec.Program, launch.Self), Args: spec.Args, Dir: spec.Dir, Limits: spec.Limits, Env: m.environ(spec)}
	w, err := newWatch(m.cfg.Launcher, m.cfg.Probes(spec), ls)
	if err != nil {
		return host.Begun{}, err
	}
	if more := w.env(); more != nil {
		ls.Env = m.environ(spec, more...)
	}
	ls.Output = m.output(p, w)
	streams, err := m.cfg.Streams(spec)
	if err != nil {
		return host.Begun{}, errors.Join(err, w.close())
	}
	w.closers = append(w.closers, streams.Close)
	ls.Stdout, ls.Stderr = streams.Stdout, streams.Stderr
	process, err := m.cfg.Launcher.Launch(ctx, ls)
	w.launched(process)
	if err != nil {
		return host.Begun{}, errors.Join(err, w.close())
	}
	b := newBody(m, p, process, w)
	return host.Begun{Body: b, PID: process.PID(), Suspended: process.Suspended, Handle: b.handle}, nil
}

// environ builds the environment of a command. What describes the proc is last,
// so that nothing replaces it.
func (m *Manager) environ(spec host.ProcSpec, more ...string) []string {
	return host.Environ(m.cfg.Mark, m.cfg.Env, spec.Env, []string{NameEnv + "=" + m.cfg.Name(spec)}, more)
}

// output returns who gets the lines of a command; nil if nobody wants them.
func (m *Manager) output(p id.Proc, w *watch) func(launch.Stream, []byte) {
	switch {
	case w.log == nil && m.cfg.Output == nil:
		return nil
	case w.log == nil:
		return func(s launch.Stream, line []byte) { m.cfg.Output(p, s, line) }
	case m.cfg.Output == nil:
		return w.log.Line
	}
	return func(s launch.Stream, line []byte) {
		m.cfg.Output(p, s, line) // first: who hears that it is ready has seen the line
		w.log.Line(s, line)
	}
}

// TerminateAll stops all procs; see host.ProcManager.
func (m *Manager) TerminateAll(ctx context.Context, grace time.Duration, limit int, reason string) host.Summary {
	return m.roster.TerminateAll(ctx, grace, limit, reason)
}

// Procs returns the handles of the living procs, by name.
func (m *Manager) Procs() []host.ProcHandle { return m.roster.Procs() }

// Close kills all procs and refuses spawns; see host.ProcManager.
func (m *Manager) Close(ctx context.Context) error { return m.roster.Close(ctx) }
