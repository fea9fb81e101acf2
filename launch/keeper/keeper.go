// Package keeper is the default launcher: the processes belong to a keeper, a
// small process of our own image beside the program (PS-1). The keeper starts,
// records, reaps and sweeps them, and outlives whoever asked by the moment
// that it takes to kill them all (PS-2). It opens no network.
//
// A process that is started as a keeper is one from the init function of this
// package to its end: the program's main does not run in it, nor do the init
// functions of packages that import this one, which is nearly all of a program.
// Those of other packages may: Go initialises packages in the order of their
// import paths, each as soon as all that it imports is, and this one has to wait
// for, among others, math/big, path/filepath and the encoding of the wire. They
// must return there as they do in the program, and not start processes.
//
// The program, called the host here, starts two processes with its first
// launch. The guard is the host's child; its child is the keeper; the keeper's
// children are the processes that were asked for. Guard and keeper are
// subreapers, so that nothing escapes by leaving its parent: what a process
// leaves behind comes to the keeper, what the keeper leaves behind to the
// guard. Whoever of host, guard and keeper is the first to go, the others kill
// every descendant. docs/decisions/0006-keeper.md says why there are two.
//
// The host keeps a pidfd and the pipes of each process: it signals without
// asking, and no byte of output is lost with a keeper. A keeper that dies takes
// its processes with it; their exits are then what the kernel still knows, or
// Unknown, and the next launch starts a new keeper.
//
// What a process inherits without asking for it (user, limits, umask,
// namespaces, cgroup) is what the host had when the keeper was started. Its
// working directory is the host's at the time of the launch.
//
// It needs linux 5.4. Elsewhere every Launch fails with errors.ErrUnsupported;
// launch/native works there.
package keeper

import (
	"errors"
	"log/slog"
	"time"
)

// Errors of a Launch that are not the program's fault.
var (
	// ErrNoKeeper is a keeper that could not be started.
	ErrNoKeeper = errors.New("keeper not usable")

	// ErrLost is a keeper that died while it started a process, of which nothing
	// is left.
	ErrLost = errors.New("the keeper has died")
)

// Config configures a Launcher. The zero Config works.
type Config struct {
	Log *slog.Logger // nothing is logged if nil

	// Isolate makes the walls around the processes higher.
	Isolate Isolation

	// Records is a file that gets one line per process that ends, before it is
	// reaped; ReadRecords reads it. The keeper makes it, and forgets lines that
	// the host has seen once there are 64 KiB of them. No file if empty.
	Records string

	// Remove is a directory that the guard removes, with all that is in it, if
	// the host ends without Close: that of its sockets, which are of no use to
	// anybody then. None if empty.
	Remove string

	// Env is kept in the environment of guard and keeper, "K=V": a marker, so that
	// launch.Census counts them.
	Env []string

	// For tests.
	withoutGroupSignal bool          // behave as on a kernel before 6.9
	withoutCgroups     bool          // behave as where no cgroup can be made
	exe                string        // instead of our own image
	patience           time.Duration // with a keeper that does not answer
}

// Isolation is what separates the processes from the rest of the system.
type Isolation uint8

// The isolations.
const (
	// NoIsolation: sessions, groups and parents, which all users have.
	NoIsolation Isolation = iota

	// PIDNamespace runs guard, keeper and processes in a user and a PID namespace
	// of their own, with a /proc of their own. The kernel then guarantees that no
	// process survives the guard, whatever it did. Inside, nobody has privileges
	// over the rest of the system, and unless we are root, only our own user and
	// group exist. A system that forbids it fails each Launch with ErrNoKeeper.
	PIDNamespace
)
