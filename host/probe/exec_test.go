package probe

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// stuck is a launcher of one process, and that process: it ends when end is
// closed, whatever is sent to it.
type stuck struct {
	launch.Process
	starts  int
	kills   int
	killErr error
	exit    launch.Exit
	end     chan struct{}
}

func (s *stuck) Launch(context.Context, launch.Spec) (launch.Process, error) {
	s.starts++
	return s, nil
}

func (s *stuck) Close() error { return nil }

func (s *stuck) PID() int { return 42 }

func (s *stuck) Kill() error {
	s.kills++
	return s.killErr
}

func (s *stuck) Wait() launch.Exit {
	<-s.end
	return s.exit
}

// TestExecStuck has a command that hangs in the kernel: the verdict comes all
// the same, and there is never a second one.
func TestExecStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{end: make(chan struct{}), killErr: errRefused}
		e := NewExec(s, launch.Spec{}, "hang")
		begun := time.Now()
		err := Asked{e, Config{Jitter: -1, Interval: 5 * time.Second}}.AwaitFailure(t.Context())
		if took := time.Since(begun); took != 10*time.Second || s.starts != 1 || s.kills != 1 {
			t.Errorf("after %v, %d starts and %d kills: %v", took, s.starts, s.kills, err)
		}
		if want := "exec=hang: 3 misses in a row: the command of an earlier try has not ended 9s after its kill"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		close(s.end)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestExecErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{end: make(chan struct{}), killErr: errRefused}
		e := NewExec(s, launch.Spec{}, "hang")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOver)
		defer cancel()
		go func() {
			<-time.After(time.Millisecond)
			if err := e.Check(ctx); err == nil || !strings.Contains(err.Error(), "another try still runs") {
				t.Errorf("got %v", err)
			}
		}()
		err := e.Check(ctx)
		if !errors.Is(err, errOver) || !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "process 42") {
			t.Errorf("got %v", err)
		}
		close(s.end)
		synctest.Wait()
		if err := e.Check(t.Context()); err == nil || s.starts != 2 {
			t.Errorf("an unknown exit is not good; got %v", err)
		}
		s.exit.Kind = launch.Stopped
		if err := e.Check(ctx); err != nil { // one that ended before it was killed
			t.Error(err)
		}
		for range 2 {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := e.Check(t.Context()); err != errClosed {
			t.Errorf("got %v", err)
		}
	})
}

// TestExecClose closes while the command runs, and waits for the end of it
// however long that takes.
func TestExecClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{end: make(chan struct{})}
		e := NewExec(s, launch.Spec{}, "hang")
		got := make(chan error, 1)
		go func() { got <- e.Check(t.Context()) }()
		synctest.Wait()
		time.AfterFunc(5*time.Second, func() { close(s.end) })
		begun := time.Now()
		if err := e.Close(); err != nil || s.kills != 1 || time.Since(begun) != 5*time.Second {
			t.Errorf("%d kills in %v, %v", s.kills, time.Since(begun), err)
		}
		if err := <-got; !errors.Is(err, errClosed) {
			t.Errorf("got %v", err)
		}
	})
}
