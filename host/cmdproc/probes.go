package cmdproc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/launch"
)

// Probes says how one command is probed. The zero Probes do not probe: the
// command is ready as soon as it runs.
type Probes struct {
	// Ready is what the command has to pass to be ready, within
	// ProcSpec.ReadyTimeout. A command that ends before that was not ready,
	// except with KindProcess, which needs nothing but a start.
	Ready Probe

	// Live is what it has to pass from then on. One that fails is asked to stop
	// (SIGTERM) and killed when Grace is used up, and its exit names the probe.
	// KindLog is for Ready only.
	Live Probe

	// Watchdog is how often a command whose Live is KindNotify has to send
	// WATCHDOG=1; twice as often is what it is told. 0: it need not, and fails
	// with WATCHDOG=trigger only.
	Watchdog time.Duration

	// Grace is how long a command may take to end that is stopped for a reason
	// of ours, or that has said STOPPING=1; 10 s if zero.
	Grace time.Duration

	// Close, if not nil, is called once, when none of it is needed any more: it
	// frees what the Checks hold.
	Close func() error
}

// Probe is one question to a command.
type Probe struct {
	Spec   probe.Spec   // the zero Spec is no question
	Check  probe.Check  // asked instead of what Spec names, if not nil; KindHTTP and KindGRPC need it
	Config probe.Config // when and how often it is asked. Suspended is known and need not be set
}

const defaultGrace = 10 * time.Second

// readiness is answered by *probe.Log, *probe.Notify and probe.Asked, and
// liveness by the last two.
type (
	readiness interface {
		AwaitReady(ctx context.Context) error
	}
	liveness interface {
		AwaitFailure(ctx context.Context) error
	}
)

// watch is the probes of one process.
type watch struct {
	ready   readiness // nil: nothing to wait for
	live    liveness  // nil: never looked at again
	grace   time.Duration
	log     *probe.Log    // nil, or gets the lines
	notify  *probe.Notify // nil, or there is news of it when
	news    chan struct{} // takes something
	closers []func() error

	started chan struct{}  // closed when it is known whether there is a process
	process launch.Process // nil if there is none
}

// newWatch makes the probes of a command that is about to be started with spec.
// Its caller calls launched next, and close at the end.
func newWatch(l launch.Launcher, p Probes, spec launch.Spec) (*watch, error) {
	w := &watch{grace: cmp.Or(p.Grace, defaultGrace), news: make(chan struct{}, 1), started: make(chan struct{})}
	if p.Close != nil {
		w.closers = append(w.closers, p.Close)
	}
	if err := w.open(l, p, spec); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *watch) open(l launch.Launcher, p Probes, spec launch.Spec) (err error) {
	if w.ready, err = w.make(l, p.Ready, p.Watchdog, spec); err != nil {
		return err
	}
	live, err := w.make(l, p.Live, p.Watchdog, spec)
	if live == nil || err != nil {
		return err
	}
	var ok bool
	if w.live, ok = live.(liveness); !ok {
		return fmt.Errorf("probe %v: it can tell that a command is ready, not that it still works", p.Live.Spec)
	}
	return nil
}

// make makes one probe; nil if there is nothing to wait for.
func (w *watch) make(l launch.Launcher, p Probe, watchdog time.Duration, spec launch.Spec) (_ readiness, err error) {
	if p.Check != nil {
		return w.asked(p.Check, p.Config), nil
	}
	switch p.Spec.Kind {
	case probe.KindProcess:
		return nil, nil
	case probe.KindLog:
		w.log, err = probe.NewLog(p.Spec.Arg)
		return w.log, err
	case probe.KindNotify:
		if w.notify == nil {
			w.notify, err = probe.NewNotify(probe.NotifyConfig{Watchdog: watchdog, Member: w.member, Suspended: w.suspended, OnNotice: w.noticed})
		}
		if err != nil {
			return nil, err
		}
		w.closers = append(w.closers, w.notify.Close)
		return w.notify, nil
	case probe.KindTCP:
		return w.asked(probe.TCP{Addr: p.Spec.Arg}, p.Config), nil
	case probe.KindExec:
		spec.Path, spec.Args = "/bin/sh", []string{"-c", p.Spec.Arg}
		e := probe.NewExec(l, spec, p.Spec.Arg)
		w.closers = append(w.closers, e.Close)
		return w.asked(e, p.Config), nil
	}
	return nil, fmt.Errorf("probe %v: Probe.Check is needed for it; the packages below host/probe make some", p.Spec)
}

func (w *watch) asked(c probe.Check, cfg probe.Config) probe.Asked {
	if cfg.Suspended == nil {
		cfg.Suspended = w.suspended
	}
	return probe.Asked{Check: c, Config: cfg}
}

// env is what the environment of the command needs for its probes.
func (w *watch) env() []string {
	if w.notify == nil {
		return nil
	}
	return w.notify.Env()
}

// launched says what came of the start; p is nil if there is no process.
func (w *watch) launched(p launch.Process) {
	w.process = p
	close(w.started)
}

// suspended reports whether the process is stopped, traced or frozen.
func (w *watch) suspended() bool {
	<-w.started // at once: whoever asks waits for a process that is being started
	return w.process != nil && w.process.Suspended()
}

// member reports whether a process belongs to the command: it is the command,
// which may have ended since it wrote, or in its process group, as what the
// command starts is by default, or it was given the name of the socket, which
// nobody else was.
func (w *watch) member(pid int) bool {
	<-w.started // at once
	if w.process == nil {
		return false
	}
	if pid == w.process.PID() {
		return true
	}
	if group, err := syscall.Getpgid(pid); err == nil && group == w.process.PID() {
		return true
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(env, []byte(w.notify.Env()[0]+"\x00"))
}

// noticed says that there is news.
func (w *watch) noticed(probe.Notices) {
	select {
	case w.news <- struct{}{}:
	default: // whoever takes it sees all there is
	}
}

// close frees what the probes hold. None is asked any more.
func (w *watch) close() error {
	var errs []error
	for _, c := range w.closers {
		errs = append(errs, c())
	}
	w.closers = nil
	return errors.Join(errs...)
}
