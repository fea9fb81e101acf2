// Package launch starts processes and follows them to their end. It knows
// processes, not procs or actors: a Launcher starts one process in one way, a
// Process reports how it ended, an Exit is that report.
//
// Every launcher passes the suite in launch/launchtest.
package launch

import (
	"context"
	"io"
	"os"
	"time"
)

// Launcher starts processes in one way. Its methods may be called
// concurrently.
type Launcher interface {
	// Launch starts the process that spec describes and returns once it runs.
	// ctx bounds the start, not the process. An error is a *StartError and
	// means that nothing is left, but what the kernel does not let be killed.
	Launch(ctx context.Context, spec Spec) (Process, error)

	// Close gives up the starts that are under way, kills what still runs, waits
	// for its end and frees what the launcher holds. Launch fails afterwards.
	Close() error
}

// Process is a started process as its launcher knows it. Its methods may be
// called concurrently.
type Process interface {
	PID() int

	// Stop sends SIGTERM to the whole tree, and SIGCONT so that a stopped
	// process can obey. It does not wait. After the end it does nothing.
	Stop() error

	// Kill sends SIGKILL to the whole tree. It does not wait.
	Kill() error

	// Suspended reports whether the process is stopped, traced or frozen.
	Suspended() bool

	// Wait waits for the end of the process, kills what is left of its tree,
	// reads its output to the end (PS-3, PS-9) and returns the record: what
	// the kernel said, times, resource use and the tails of its output. Every
	// caller gets the same one.
	Wait() Exit
}

// Spec describes a process to start. The zero value of each field is a
// working default; only Path is needed.
type Spec struct {
	Path  string   // the program; Self for our own image; searched for in Env's PATH if it has no slash
	Args  []string // arguments, without the program's name
	Argv0 string   // what the program sees as its name; if empty, Path, or for Self our own name
	Env   []string // the whole environment, "K=V". Nothing is inherited; a launcher may add MarkEnv
	Dir   string   // working directory; ours if empty

	Limits Limits // what it runs as and may use; the zero value changes nothing (PS-7)

	// Control becomes descriptor 3 of the process. The launcher dups it into the
	// child and leaves the caller's copy open. Both share the mode: a descriptor
	// that is non-blocking here, as os.Pipe and net make them, is so in the child,
	// which suits a Go program. Nil: the child has 0, 1 and 2 only.
	Control *os.File

	// TailLines is how many last lines of stdout and of stderr are kept; 100 if
	// zero. At most MaxTail bytes of each are kept.
	TailLines int

	// DrainBound is how long output is read after the end while a grandchild
	// keeps a pipe open; 500 ms if zero (PS-9).
	DrainBound time.Duration

	// Output, if not nil, gets every line of output as it comes, without the
	// newline; a line longer than MaxLine comes in pieces. It is called from one
	// goroutine per stream, must not block and may not keep the slice.
	Output func(stream Stream, line []byte)

	// Stdout and Stderr, if not nil, get every byte of a stream as it comes, from
	// one goroutine per stream and never after Wait has returned. A Write that
	// blocks holds up the process once its pipe is full; what it returns is
	// ignored: counting what could not be kept is the writer's business (PS-8).
	Stdout, Stderr io.Writer
}

// Self as a Spec's Path starts our own image, through /proc/self/exe where
// there is one, so that a binary that was replaced on disk changes nothing (PS-6).
const Self = "self"

// MarkEnv is the one variable that a launcher may add to the environment of a
// process. Its value is known to nobody else and inherited by whatever descends
// from the process, which is told by it.
const MarkEnv = "HYPERACTOR_PROC"

// Stream is one of the two output streams of a process.
type Stream uint8

// The streams.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)
