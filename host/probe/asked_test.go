package probe

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

var (
	errRefused = errors.New("refused")
	errOver    = errors.New("enough")
)

// script is a Check that answers what its next line says and notes when it was
// asked. The last line is repeated.
type script struct {
	t       *testing.T
	lines   []answer
	begun   time.Time
	asked   []time.Duration // since begun
	running atomic.Int32
}

// answer is what a script says: err, or nothing until its time is over.
type answer struct {
	err     error
	nothing bool
	linger  time.Duration // how much longer it takes to return then
}

func newScript(t *testing.T, lines ...answer) *script {
	return &script{t: t, lines: lines, begun: time.Now()}
}

func (s *script) String() string { return "script" }

func (s *script) Check(ctx context.Context) error {
	if s.running.Add(1) != 1 {
		s.t.Error("asked while it is being asked")
	}
	defer s.running.Add(-1)
	a := s.lines[min(len(s.asked), len(s.lines)-1)]
	s.asked = append(s.asked, time.Since(s.begun))
	if a.nothing {
		<-ctx.Done()
		<-time.After(a.linger)
		return ctx.Err()
	}
	return a.err
}

func (s *script) wantAsked(want ...time.Duration) {
	s.t.Helper()
	if len(s.asked) != len(want) {
		s.t.Fatalf("asked at %v, want %v", s.asked, want)
	}
	for i := range want {
		if s.asked[i] != want[i] {
			s.t.Errorf("asked at %v, want %v", s.asked, want)
		}
	}
}

func TestAwaitReady(t *testing.T) {
	no, yes, nothing := answer{err: errRefused}, answer{}, answer{nothing: true}
	const ms = time.Millisecond
	tests := []struct {
		name  string
		cfg   Config
		lines []answer
		asked []time.Duration
	}{
		{"at once", Config{}, []answer{yes}, []time.Duration{0}},
		{"after refusals", Config{}, []answer{no, no, no, no, yes}, []time.Duration{0, 250 * ms, 500 * ms, 750 * ms, 1000 * ms}},
		{"delayed", Config{InitialDelay: 2 * time.Second, Interval: time.Second}, []answer{no, yes}, []time.Duration{2000 * ms, 3000 * ms}},
		{"twice in a row", Config{Successes: 2}, []answer{yes, no, yes, yes}, []time.Duration{0, 250 * ms, 500 * ms, 750 * ms}},
		{"after silence", Config{}, []answer{nothing, yes}, []time.Duration{0, 1250 * ms}},
		{"negative values", Config{Interval: -1, Timeout: -1, InitialDelay: -1, Successes: -1, Jitter: -1, Failures: -1}, []answer{no, yes}, []time.Duration{0, 250 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, tt.lines...)
				if err := (Asked{s, tt.cfg}).AwaitReady(t.Context()); err != nil {
					t.Error(err)
				}
				s.wantAsked(tt.asked...)
			})
		})
	}
}

func TestAwaitReadyNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 1100*time.Millisecond, errOver)
		defer cancel()
		err := Asked{newScript(t, answer{err: errRefused}), Config{}}.AwaitReady(ctx)
		e, ok := errors.AsType[*NotReadyError](err)
		if !ok || e.Tries != 5 || e.Last != errRefused || !errors.Is(err, errOver) {
			t.Errorf("got %#v", err)
		}
		if want := "script: not ready after 5 tries (refused): enough"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	})
}

// TestCutShort ends the context in the middle of a try: that is no miss, and
// nobody waits for the rest of its time.
func TestCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOver)
		defer cancel()
		a := Asked{newScript(t, answer{nothing: true}), Config{Failures: 1, Timeout: time.Hour, Jitter: -1}}
		begun := time.Now()
		if err := a.AwaitFailure(ctx); err != errOver {
			t.Errorf("got %v, want the cause", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v", took)
		}
		err := a.AwaitReady(ctx)
		if e, ok := errors.AsType[*NotReadyError](err); !ok || e.Tries != 0 || e.Last != nil || err.Error() != "script: not ready: enough" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAwaitFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no, yes := answer{err: errRefused}, answer{}
		s := newScript(t, yes, no, no, yes, no, no, no)
		err := Asked{s, Config{Jitter: -1, InitialDelay: time.Second}}.AwaitFailure(t.Context())
		e, ok := errors.AsType[*FailedError](err)
		if !ok || e.Misses != 3 || !errors.Is(err, errRefused) {
			t.Errorf("got %v", err)
		}
		if want := "script: 3 misses in a row: refused"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		s.wantAsked(1*time.Second, 11*time.Second, 21*time.Second, 31*time.Second, 41*time.Second, 51*time.Second, 61*time.Second)
	})
}

// TestSilence asks somebody who never answers and is slow to take no for an
// answer. That is not taken for a lateness of ours, and tries never meet.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, answer{nothing: true, linger: 5 * time.Second})
		err := Asked{s, Config{Jitter: -1, Interval: time.Second}}.AwaitFailure(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 1s") {
			t.Errorf("got %v", err)
		}
		s.wantAsked(0, 7*time.Second, 14*time.Second)
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := map[time.Duration]bool{}
		for range 20 {
			s := newScript(t, answer{err: errRefused})
			_ = Asked{s, Config{Failures: 1, InitialDelay: time.Second}}.AwaitFailure(t.Context())
			first[s.asked[0]] = true
			if s.asked[0] < time.Second || s.asked[0] >= 11*time.Second {
				t.Errorf("first asked after %v", s.asked[0])
			}
		}
		if len(first) < 10 {
			t.Errorf("first asked after %v only", first)
		}
	})
}

// TestSuspended does not count what a suspended process fails to do: it is
// suspended in the middle of the first try and resumed in that of the seventh.
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, answer{nothing: true})
		cfg := Config{Jitter: -1, Suspended: func() bool {
			now := time.Since(s.begun)
			return now > 500*time.Millisecond && now < 60*time.Second+500*time.Millisecond
		}}
		err := Asked{s, cfg}.AwaitFailure(t.Context())
		if _, ok := errors.AsType[*FailedError](err); !ok || len(s.asked) != 7+3 {
			t.Errorf("got %v after %v", err, s.asked)
		}
	})
}

// TestLate is slow to look at its own clock, as a busy machine is: silence
// does not count then, but a refusal does.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func() bool {
			<-time.After(2 * time.Second)
			return false
		}
		s := newScript(t, answer{nothing: true})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errOver)
		defer cancel()
		if err := (Asked{s, Config{Suspended: slow}}).AwaitFailure(ctx); err != errOver || len(s.asked) < 100 {
			t.Errorf("got %v after %d tries", err, len(s.asked))
		}
		s = newScript(t, answer{err: errRefused})
		if _, ok := errors.AsType[*FailedError](Asked{s, Config{Suspended: slow}}.AwaitFailure(t.Context())); !ok || len(s.asked) != 3 {
			t.Errorf("asked at %v", s.asked)
		}
	})
}

// TestLacking does not blame who is asked for what we have no more of.
func TestLacking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine := []answer{{err: &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}}, {err: &launch.StartError{Reason: launch.ErrLimit}}}
		s := newScript(t, slices.Concat(mine, mine, mine, []answer{{err: errRefused}})...)
		err := Asked{s, Config{}}.AwaitFailure(t.Context())
		if !errors.Is(err, errRefused) || len(s.asked) != 6+3 {
			t.Errorf("got %v after %d tries", err, len(s.asked))
		}
	})
}
