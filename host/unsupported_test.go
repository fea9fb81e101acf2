package host

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// watchOnly is the handle of a manager that can follow procs and not signal
// them.
type watchOnly struct{ *Handle }

func (watchOnly) Terminate(context.Context, time.Duration, string) (Exit, error) {
	return Exit{}, ErrUnsupported
}

func (watchOnly) Kill(context.Context, string) (Exit, error) { return Exit{}, ErrUnsupported }

// TestManagerThatCannotSignal is PH-8: the error says so, the proc and its
// status are untouched, and a roster reports what it could not stop.
func TestManagerThatCannotSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoster(0)
		b := &fakeBody{}
		place, err := r.Reserve(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		h := watchOnly{b.follow(FollowConfig{OnExit: func(Exit) { place.Release() }})}
		if err := place.Fill(h); err != nil {
			t.Fatal(err)
		}
		mustReady(t, h)
		before := h.Status()
		_, terminated := ProcHandle(h).Terminate(t.Context(), time.Second, "stop")
		_, killed := ProcHandle(h).Kill(t.Context(), "kill")
		sum := r.TerminateAll(t.Context(), time.Second, 0, "all")
		for _, err := range []error{terminated, killed, sum.Err(), r.Close(t.Context())} {
			if !errors.Is(err, ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("got %v, want %v", err, ErrUnsupported)
			}
		}
		if sum.Attempted != 1 || sum.OK != 0 || sum.Failed() != 1 || sum.Failures[0].Name != "a" {
			t.Errorf("got %v", sum)
		}
		if s := h.Status(); s.Phase != before.Phase || s.Requested != before.Requested || s.Cause != "" || b.done() != "[]" {
			t.Errorf("got %v after %v, and was told %s", s, before, b.done())
		}
		b.exits(launch.Stopped, 0, 0)
		if e := mustWait(t, h); e.Requested != (launch.Request{}) {
			t.Errorf("got %v", e)
		}
	})
}
