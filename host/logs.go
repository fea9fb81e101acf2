package host

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// Streams takes the output of one proc, byte by byte; see launch.Spec for what
// a Write may do.
type Streams struct {
	Stdout, Stderr io.Writer // nil takes nothing

	// Finish, if not nil, is called once, when nothing will be written any more,
	// before anybody hears of the exit.
	Finish func() error
}

// Close calls Finish.
func (s Streams) Close() error {
	if s.Finish == nil {
		return nil
	}
	return s.Finish()
}

// Capture returns streams that keep the output of the proc called name in dir
// (PS-8). A proc of the same name that ran before must have ended.
func Capture(dir *capture.Dir, name string) (Streams, error) {
	stdout, err := dir.Writer(name, launch.Stdout)
	if err != nil {
		return Streams{}, err
	}
	stderr, err := dir.Writer(name, launch.Stderr)
	if err != nil {
		return Streams{}, errors.Join(err, stdout.Close())
	}
	return Streams{
		Stdout: stdout, Stderr: stderr,
		Finish: func() error { return errors.Join(stdout.Close(), stderr.Close()) },
	}, nil
}

// Logs reads what the procs of the host have written to stdout and stderr, the
// procs that have ended included: merged in the order of time, of some procs or
// of all, from a moment or a position on, and as it comes (PS-8). The error is
// ErrNoLogs if the host keeps none; for the others see capture.Reader.Read.
func (h *Host) Logs(ctx context.Context, q capture.Query) iter.Seq2[capture.Line, error] {
	if h.cfg.Logs == nil {
		return func(yield func(capture.Line, error) bool) { yield(capture.Line{}, ErrNoLogs) }
	}
	return h.cfg.Logs.Read(ctx, q)
}
