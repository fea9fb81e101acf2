// Package hyperactor is the front door: it makes a program a host that spawns
// procs and calls typed actors in them, and it makes the same program, started
// once more as a child process, one of those procs.
//
// A program calls Main first thing in main:
//
//	func main() {
//		hyperactor.Main(hyperactor.Config{Types: []actor.AnyType{counter.Type}}, run)
//	}
//
//	func run(ctx context.Context, rt *hyperactor.Runtime) error {
//		h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "worker"})
//		if err != nil {
//			return err
//		}
//		ref, err := counter.Type.Spawn(ctx, h.ID(), "c1", counter.Params{Start: 40})
//		…
//	}
//
// The words are explained in ARCHITECTURE.md; package actor says what actors
// and messages guarantee, package host what procs do.
package hyperactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/osproc"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/floor"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/launch/keeper"
)

// Config says how a program hosts procs. The zero Config works.
type Config struct {
	Types []actor.AnyType // the actors that can be spawned in procs by name

	// Host is the host's name in ids. Empty: the machine's name and a random suffix.
	Host string

	// Keeper says who starts the child processes and cares for them; on linux a
	// keeper unless it is NoKeeper.
	Keeper Keeper

	// Isolate separates the child processes from the rest of the system; see
	// keeper.PIDNamespace. It needs linux and a keeper.
	Isolate keeper.Isolation

	// Local has the procs live inside this process instead of child processes.
	Local bool

	// Manager, if not nil, makes the manager of the procs, as for commands that
	// know nothing of us (host/cmdproc). Local, Env and Output are for the
	// other managers. The Runtime closes what it returns.
	Manager func(Parts) host.ProcManager

	// Front is where other programs reach the host; "" is nowhere. TCP has to
	// be on loopback unless Insecure is set.
	Front channel.Addr

	// Insecure allows plain text beyond this machine.
	Insecure bool

	// Token is what every program has to show that connects to the front or is
	// attached to, unless its certificate does. Empty: a random one, which only
	// the child processes know.
	Token Token

	// Transports are kinds of addresses beside unix and tcp, by their names:
	// "tls" is in package mtls. One with certificates has to have that of Host.
	Transports channel.Transports

	// Identity gives each child process a certificate of its own, with which it
	// joins other hosts, and is joined, without ours in between; see Join. nil:
	// the child processes reach other hosts through ours.
	Identity Identity

	// Timing says how patient the sessions with other hosts are.
	Timing gateway.Timing

	// Grace is how long procs may take to end at the end of the program: 10 s if
	// zero, and a nanosecond is none to speak of.
	Grace time.Duration

	// Env is the environment of child processes; nil means that of this process,
	// without what a service manager has told it alone, such as NOTIFY_SOCKET.
	Env []string

	// Logs says where and how much output of the child processes is kept, for
	// Host.Logs. Without a Path it is kept in a temporary directory, which Close
	// removes; a program that is killed leaves it. NoLogs keeps only the last
	// lines of each process, for the record of its exit.
	Logs   capture.Config
	NoLogs bool

	// Output, if not nil, gets every line that a child process writes. It must
	// not block, and is called concurrently.
	Output func(p id.Proc, s launch.Stream, line []byte)

	// OnFailure is told of failures in the program's own proc that no actor
	// handled (AC-9). Nil: the report is logged, and Main ends run's ctx with
	// the failure and then the program; without Main the program's own proc
	// stops, with the failure as its Err.
	OnFailure func(*actor.Failure)

	// OnGiveUp is told of each supervised proc that is not started again, though
	// it should run; see host.Config. Nil: that is logged.
	OnGiveUp func(*host.GaveUpError)

	// Log takes what the runtime has to say. Nil: warnings and errors as text on stderr.
	Log *slog.Logger
}

// Parts is what a manager of procs stands on. The Runtime owns all of it.
type Parts struct {
	Host     string           // the host's name in the ids of its procs
	Service  *actor.Proc      // the host's own proc, which talks to the agents
	Gateway  *gateway.Gateway // routes to the procs
	Launcher launch.Launcher  // starts processes
	Mark     string           // what Runtime.Descendants knows processes by; see host.Environ
	Log      *slog.Logger

	// Streams keeps the output of a proc, as Config.Logs says; nil: it is not kept.
	Streams func(host.ProcSpec) (host.Streams, error)
}

// Keeper says who starts the child processes and cares for them.
type Keeper uint8

// The ways to start child processes.
const (
	// WithKeeper: a small process of this program's own image, started with the
	// first child. Nothing that descends from a child outlives this program,
	// however it ends; see package keeper. Systems other than linux have none.
	WithKeeper Keeper = iota

	// NoKeeper: this program itself. A descendant that leaves its parent and its
	// group can outlive it; see package native.
	NoKeeper
)

const defaultGrace = 10 * time.Second

func (c Config) withDefaults() Config {
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return c
}

// Main runs run with a Runtime and ends the program when it returns and all
// procs have ended: with exit code 0, with that of an error that has a method
// ExitCode() int, with 130 or 143 after SIGINT or SIGTERM, or with 1. An error
// is written to stderr. The signals end run's ctx. A SIGINT after that ends the
// program at once, and every child process with it; a SIGTERM does not, since
// timeout(1) and others send it to the process and again to its group.
//
// In a process that was started as a proc Main becomes that proc instead, and
// run is not called. Main does not return.
func Main(cfg Config, run func(ctx context.Context, rt *Runtime) error) {
	RunChild(cfg)
	os.Exit(exitCode(runMain(cfg, run)))
}

// RunChild returns at once, unless this process was started as a proc: then it
// becomes that proc, and the process ends with it. Programs that do not use Main
// call it first thing in main, tests in TestMain.
func RunChild(cfg Config) {
	if !osproc.IsChild() {
		return
	}
	cfg = cfg.withDefaults()
	new(floor.Floor).Start() // until the end of the process
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	child := osproc.ChildConfig{
		Types: cfg.Types, Log: cfg.Log, Drain: cfg.Grace,
		Prepare: func() {
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			go func() { // ends with the process
				<-signals
				cancel()
			}()
		},
	}
	if cfg.Identity != nil {
		child.Transports = cfg.Identity.Transports
	}
	err := osproc.Child(ctx, child)
	if _, failed := errors.AsType[*actor.Failure](err); err != nil && !failed { // failures were reported
		fmt.Fprintln(os.Stderr, "proc:", err)
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// signalled is the end of a program by a signal.
type signalled struct{ sig syscall.Signal }

func (e signalled) Error() string { return e.sig.String() }
func (e signalled) ExitCode() int { return 128 + int(e.sig) }

func runMain(cfg Config, run func(ctx context.Context, rt *Runtime) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	interrupts, terms := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(terms, syscall.SIGTERM)
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with runMain
		var s os.Signal
		select {
		case s = <-interrupts:
		case s = <-terms:
		case <-over:
			return
		}
		signal.Stop(interrupts) // the next one has its usual effect
		cancel(signalled{s.(syscall.Signal)})
	}()
	cfg = cfg.withDefaults()
	if cfg.OnFailure == nil {
		cfg.OnFailure = func(f *actor.Failure) {
			cfg.Log.Error("actor failed", "report", f.Report())
			cancel(f)
		}
	}
	rt, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	err = run(rt.Context(ctx), rt)
	if cause := context.Cause(ctx); cause != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = cause // why run had to end says more
	}
	if closeErr := rt.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}

// exitCode reports err and returns the code that the program ends with.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var coded interface {
		error
		ExitCode() int
	}
	if errors.As(err, &coded) {
		if s, ok := errors.AsType[signalled](err); !ok || err != error(s) {
			fmt.Fprintln(os.Stderr, err)
		}
		return coded.ExitCode()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
