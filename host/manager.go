package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ProcManager makes procs real on one host. Its methods may be called
// concurrently. Every manager passes the suite in host/hosttest (PM-7).
//
// A manager follows what it has started and does not start it again: restarting
// is a supervisor's decision, which sees the exit and calls Spawn once more.
type ProcManager interface {
	// Spawn starts a proc and returns the handle that follows it, which need
	// not be ready (PM-1). ctx bounds the start, not the proc. An error is
	// ErrProcExists, ErrDraining, the cause of ctx, or a *SpawnError; nothing
	// is left of the proc then.
	Spawn(ctx context.Context, spec ProcSpec) (ProcHandle, error)

	// TerminateAll stops all procs, at most limit at once (all at once if
	// limit is not positive), within a total of grace (PM-4). Spawns that come
	// meanwhile are refused with ErrDraining.
	TerminateAll(ctx context.Context, grace time.Duration, limit int, reason string) Summary

	// Procs returns the handles of the living procs, by name.
	Procs() []ProcHandle

	// Close kills what still runs, waits for the ends, and refuses all spawns
	// from then on. A second caller joins. ctx bounds the wait.
	Close(ctx context.Context) error
}

// Summary says what became of stopping many procs.
type Summary struct {
	Attempted int
	OK        int       // their end was seen; those that had already exited included
	Failures  []Failure // the others, by name
}

// Failure is a proc whose end was not seen.
type Failure struct {
	Name string
	Err  error
}

// Failed is how many procs may still be there.
func (s Summary) Failed() int { return len(s.Failures) }

// add counts one proc that was to stop.
func (s *Summary) add(name string, err error) {
	s.Attempted++
	if err == nil {
		s.OK++
		return
	}
	s.Failures = append(s.Failures, Failure{name, err})
}

// sort puts the failures in order.
func (s *Summary) sort() {
	slices.SortFunc(s.Failures, func(a, b Failure) int { return cmp.Compare(a.Name, b.Name) })
}

// Err returns nil if all procs have ended, and otherwise an error that names
// each of the others.
func (s Summary) Err() error {
	errs := make([]error, len(s.Failures))
	for i, f := range s.Failures {
		errs[i] = fmt.Errorf("stop proc %s: %w", f.Name, f.Err)
	}
	return errors.Join(errs...)
}

// String returns one readable line.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d procs stopped", s.OK, s.Attempted)
	for i, f := range s.Failures {
		sep := ", "
		if i == 0 {
			sep = "; not: "
		}
		fmt.Fprintf(&b, "%s%s (%v)", sep, f.Name, f.Err)
	}
	return b.String()
}
