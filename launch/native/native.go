// Package native is the launcher for programs that do without a keeper
// (PS-1, opt-out): the processes are children of this very process and end
// with it.
//
// On linux (5.4 or later; from 6.9 on the signals to groups are exact in every
// case) one locked thread starts all children, so that the parent-death signal
// fires when this process dies and not when some thread does. Waiting costs no
// thread. Each child leads a session and a process group of its own; the group
// is the tree that is signalled, killed and swept. Where this process may make
// cgroups of version 2, each child has one as well, and a kill and the sweep
// reach a descendant that has left the group with setsid; elsewhere that is out
// of this launcher's reach.
//
// A start whose exec hangs in the kernel, because its program lies on a network
// file system that does not answer, say, ends with its ctx or with Close; others go
// on meanwhile. A program on a local disk is not expected to hang.
//
// On other systems a start that hangs cannot be given up, there is no parent-death signal, waiting costs one thread
// per child, Suspended is always false, left-over processes are killed but not
// counted one by one, and of all limits only the user can be set.
package native

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/roll"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// Launcher starts processes as children of this process. It implements
// launch.Launcher.
type Launcher struct {
	log     *slog.Logger
	remote  bool
	starter *tree.Starter
	roll    *roll.Roll[*process]
}

// Config configures a Launcher.
type Config struct {
	Log *slog.Logger // nothing is logged if nil

	withoutGroupSignal bool // behave as on a kernel before 6.9, for tests
	withoutCgroups     bool // behave as where no cgroup can be made, for tests
	remote             bool // behave as if no program lay on this machine, for tests
}

// New returns a launcher. It costs nothing until the first Launch.
func New(cfg Config) *Launcher {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Launcher{
		log:     log,
		remote:  cfg.remote,
		starter: &tree.Starter{WithoutGroupSignal: cfg.withoutGroupSignal, Cgroups: !cfg.withoutCgroups},
		roll:    roll.New[*process](),
	}
}

// Launch starts a process; see launch.Launcher. A program that is being
// written (ETXTBSY) is tried again for a second.
func (l *Launcher) Launch(ctx context.Context, spec launch.Spec) (launch.Process, error) {
	p, err := l.roll.Launch(ctx, spec, l.start)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the launcher; see launch.Launcher. A second caller waits, too.
func (l *Launcher) Close() error {
	err := l.roll.Close()
	l.starter.Stop()
	return err
}

func (l *Launcher) start(ctx context.Context, spec launch.Spec, prog launch.Program) (*process, error) {
	out, err := output.Open(spec)
	if err != nil {
		e := launch.Explain(spec, prog.Path, err)
		e.Op = "pipe"
		return nil, e
	}
	stdout, stderr := out.Writers()
	prog.Remote = prog.Remote || l.remote
	lead, err := l.starter.Start(tree.Request{
		Prog: prog, Env: spec.Env, Dir: spec.Dir, Limits: spec.Limits, Control: spec.Control, Stdout: stdout, Stderr: stderr,
	})
	out.CloseWriters()
	if err == nil {
		err = l.awaitExec(ctx, lead)
	}
	started := time.Now()
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

// awaitExec returns when the process has come to its program. If it does not, be
// it that ctx ends, nothing is left of it.
func (l *Launcher) awaitExec(ctx context.Context, lead *tree.Leader) error {
	stop := context.AfterFunc(ctx, lead.Abandon)
	err := lead.AwaitExec()
	abandoned := !stop()
	switch {
	case abandoned && errors.Is(err, tree.ErrStuck):
		l.log.Warn("a start was given up, its process is killed but does not end", "pid", lead.PID, "err", err)
		go discard(lead) // the kernel says when: not even Close waits for it
	case abandoned || err != nil:
		discard(lead)
	}
	if abandoned {
		return &launch.StartError{Op: "start", Err: context.Cause(ctx)}
	}
	return err
}

// discard waits for the end of a process that nobody is to see, and leaves nothing
// of it.
func discard(lead *tree.Leader) {
	lead.Await()
	lead.Reap()
	lead.Sweep()
	lead.Close()
}
