package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// script is one incarnation of a fake proc, or the error of its start.
type script struct {
	fakeBody
	lives time.Duration // until it ends by itself; zero: it does not
	code  int           // with which it does
	err   error
	start time.Duration // how long the start takes
}

// crash is a proc that is ready at once and ends with code 1 after that time.
func crash(lives time.Duration) *script { return &script{lives: lives, code: 1} }

// stage is a manager of fake procs.
type stage struct {
	*Roster
	mu      sync.Mutex // guards the following
	scripts []*script  // for the spawns to come; the last one again and again
	spawned []*script
	specs   []ProcSpec // what was asked for
}

func newStage(t *testing.T, scripts ...*script) *stage {
	m := &stage{Roster: NewRoster(0), scripts: scripts}
	t.Cleanup(func() {
		for _, s := range m.played() {
			s.exits(launch.Killed, 0, syscall.SIGKILL)
		}
	})
	return m
}

// Spawn starts the next script.
func (m *stage) Spawn(ctx context.Context, spec ProcSpec) (ProcHandle, error) {
	place, err := m.Reserve(ctx, spec.Name)
	if err != nil {
		return nil, err
	}
	s := m.next(spec)
	if s.err != nil {
		place.Release()
		return nil, &SpawnError{Name: spec.Name, Err: s.err}
	}
	if s.start > 0 {
		<-time.After(s.start)
	}
	p, err := id.NewProc("alpha", spec.Name)
	if err != nil {
		return nil, err
	}
	h := s.follow(FollowConfig{ID: p, PID: 100, ReadyTimeout: spec.ReadyTimeout, OnExit: func(Exit) { place.Release() }})
	if s.lives > 0 {
		time.AfterFunc(s.lives, func() { s.exits(launch.Stopped, s.code, 0) })
	}
	if err := place.Fill(h); err != nil {
		_, _ = h.Kill(ctx, "refused")
		return nil, err
	}
	return h, nil
}

func (m *stage) next(spec ProcSpec) *script {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.specs = append(m.specs, spec)
	first := m.scripts[0]
	s := &script{lives: first.lives, code: first.code, err: first.err, start: first.start}
	b := &first.fakeBody
	s.handshake, s.connectErr, s.drain, s.stop, s.kill, s.stays, s.reading = b.handshake, b.connectErr, b.drain, b.stop, b.kill, b.stays, b.reading
	if len(m.scripts) > 1 {
		m.scripts = m.scripts[1:]
	}
	if s.err == nil {
		m.spawned = append(m.spawned, s)
	}
	return s
}

// played returns the scripts that were started.
func (m *stage) played() []*script {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.spawned)
}

// steady are limits without jitter: a second, doubling to four.
var steady = restart.Limits{Backoff: restart.Backoff{Min: time.Second, Max: 4 * time.Second, Jitter: -1}}

func worker(mode restart.Mode) ProcSpec {
	return ProcSpec{Name: "worker", Restart: mode, RestartLimits: steady}
}

func mustSupervise(t *testing.T, m ProcManager, spec ProcSpec) *Supervisor {
	t.Helper()
	s, err := Supervise(t.Context(), m, spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tale returns the events of s so far, or up to its end, as text: the kind,
// the incarnation, and when it was.
func tale(ctx context.Context, s *Supervisor, start time.Time) []string {
	var all []string
	for e := range s.Events(ctx) {
		all = append(all, fmt.Sprintf("%v %d@%v", e.Kind, e.Incarnation, e.Time.Sub(start)))
	}
	return all
}

func compareTale(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("events\n got %q\nwant %q", got, want)
	}
}

// TestSupervisorRestarts is AC-6 for procs: the name stays, id and incarnation
// are new ones, and watchers see it all.
func TestSupervisorRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		m := newStage(t, crash(5*time.Second), crash(5*time.Second), &script{lives: time.Second})
		s := mustSupervise(t, m, worker(restart.OnFailure))
		first := s.Current()
		var events []Event
		for e := range s.Events(t.Context()) {
			events = append(events, e)
		}
		compareTale(t, tale(t.Context(), s, start),
			"starting 1@0s", "running 1@0s", "ready 1@0s", "exited 1@5s", "restarting 1@5s",
			"starting 2@6s", "running 2@6s", "ready 2@6s", "exited 2@11s", "restarting 2@11s",
			"starting 3@13s", "running 3@13s", "ready 3@13s", "exited 3@14s")
		ids := map[id.Proc]bool{}
		for _, e := range events {
			if e.Name != "worker" || e.Missed != 0 {
				t.Errorf("got %+v", e)
			}
			if has := e.Proc != (id.Proc{}); has != (e.Kind != EventStarting && e.Kind != EventRestarting) || has && (e.Proc.Name != "worker" || e.PID != 100) {
				t.Errorf("%v of proc %v, pid %d", e, e.Proc, e.PID)
			}
			if e.Kind == EventRunning {
				ids[e.Proc] = true
			}
		}
		if len(ids) != 3 {
			t.Errorf("ids of 3 incarnations: %v", ids)
		}
		if e := events[4]; e.Delay != time.Second || e.String() != "worker 1: restarting in 1s: stopped: exit 1 after 5s" {
			t.Errorf("got %v with a delay of %v", e, e.Delay)
		}
		exit, err := s.Wait(t.Context())
		if err != nil || !exit.OK() || exit != events[13].Exit || exit != s.Current().Status().Exit {
			t.Errorf("Wait() = %v, %v; the last event is %v", exit, err, events[13])
		}
		if s.Incarnation() != 3 || first.ID() == s.Current().ID() || first.Status().Exit.Code != 1 {
			t.Errorf("incarnation %d, first %v, now %v", s.Incarnation(), first.Status(), s.Current().Status())
		}
	})
}

// TestSupervisorModes: what ends a supervision without giving up.
func TestSupervisorModes(t *testing.T) {
	for _, test := range []struct {
		mode restart.Mode
		code int
		want string
	}{
		{restart.Never, 1, "[starting 1@0s running 1@0s ready 1@0s exited 1@1s]"},
		{restart.OnFailure, 0, "[starting 1@0s running 1@0s ready 1@0s exited 1@1s]"},
		{restart.Always, 0, "[starting 1@0s running 1@0s ready 1@0s exited 1@1s restarting 1@1s stopping 1@1.5s]"},
	} {
		t.Run(test.mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := mustSupervise(t, newStage(t, &script{lives: time.Second, code: test.code}), worker(test.mode))
				time.AfterFunc(1500*time.Millisecond, func() { s.halt(errors.New("enough")) })
				if got := fmt.Sprint(tale(t.Context(), s, start)); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				if exit, err := s.Wait(t.Context()); err != nil || exit.Code != test.code {
					t.Errorf("Wait() = %v, %v", exit, err)
				}
			})
		})
	}
}

// TestSupervisorGivesUp: the reason is told to who waits and to watchers.
func TestSupervisorGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		spec := worker(restart.OnFailure)
		spec.RestartLimits.MaxRestarts = 2
		s := mustSupervise(t, newStage(t, crash(time.Second)), spec)
		exit, err := s.Wait(t.Context())
		gaveUp, ok := errors.AsType[*GaveUpError](err)
		if !ok || gaveUp.Name != "worker" || gaveUp.Incarnation != 3 || gaveUp.Exit != exit || exit.Code != 1 || gaveUp.Err != nil {
			t.Errorf("Wait() = %v, %+v", exit, gaveUp)
		}
		want := "proc worker was given up: it was not healthy 3 times in a row; the last time: stopped: exit 1 after 1s"
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		all := tale(t.Context(), s, start)
		if last := all[len(all)-1]; last != "gave_up 3@6s" || all[len(all)-2] != "exited 3@6s" {
			t.Errorf("got %q", all)
		}
		if _, err := s.Kill(t.Context(), "late"); err != ErrAlreadyExited {
			t.Errorf("Kill() after the end = %v", err)
		}
	})
}

// TestSupervisorStartFails: a start that fails is a run that failed. The first
// one is the caller's own affair.
func TestSupervisorStartFails(t *testing.T) {
	gone := &script{err: &launch.StartError{Op: "find", Path: "p", Reason: launch.ErrNotFound}}
	busy := &script{err: &launch.StartError{Op: "start", Path: "p", Reason: launch.ErrLimit}}
	free := restart.Limits{MaxRestarts: -1, MaxUnready: -1, Backoff: steady.Backoff}
	for _, test := range []struct {
		name    string
		limits  restart.Limits
		scripts []*script
		want    string
	}{
		{"permanently", free, []*script{crash(time.Second), gone}, "it could not be started 3 times in a row"},
		{"for a while", free, []*script{crash(time.Second), busy, busy, busy, busy, gone, gone, {lives: time.Second}}, ""},
		{"too often", steady, []*script{crash(time.Second), busy}, "it ended 3 times in a row before it was ready"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spec := worker(restart.OnFailure)
				spec.RestartLimits = test.limits
				s := mustSupervise(t, newStage(t, test.scripts...), spec)
				exit, err := s.Wait(t.Context())
				gaveUp, _ := errors.AsType[*GaveUpError](err)
				switch {
				case test.want == "" && (err != nil || s.Incarnation() != 8):
					t.Errorf("Wait() = %v, %v in incarnation %d", exit, err, s.Incarnation())
				case test.want != "" && (gaveUp == nil || gaveUp.Why != test.want || s.Incarnation() != 4 || gaveUp.Err == nil):
					t.Errorf("Wait() = %v, %v in incarnation %d", exit, err, s.Incarnation())
				case test.want != "" && (exit.Kind != launch.Failed || exit.Phase != launch.PhaseExec || exit.Cause == ""):
					t.Errorf("got %v", exit)
				}
			})
		})
	}
	t.Run("the first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newStage(t, gone, &script{lives: time.Second})
			if _, err := Supervise(t.Context(), m, worker(restart.Always)); !errors.Is(err, launch.ErrNotFound) {
				t.Errorf("Supervise() = %v", err)
			}
			synctest.Wait()
			if len(m.played()) != 0 {
				t.Error("it was started again")
			}
		})
	})
}

// TestSupervisorNotReady: a first incarnation that never becomes ready is up to
// the limits, which count it apart.
func TestSupervisorNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		mute := &script{fakeBody: fakeBody{handshake: never}}
		spec := worker(restart.OnFailure)
		spec.ReadyTimeout = time.Second
		s := mustSupervise(t, newStage(t, mute), spec)
		exit, err := s.Wait(t.Context())
		if e, ok := errors.AsType[*GaveUpError](err); !ok || e.Why != "it ended 3 times in a row before it was ready" || exit.Kind != launch.Failed {
			t.Errorf("Wait() = %v, %v", exit, err)
		}
		compareTale(t, tale(t.Context(), s, start),
			"starting 1@0s", "running 1@0s", "stopping 1@1s", "exited 1@1s", "restarting 1@1s",
			"starting 2@2s", "running 2@2s", "stopping 2@3s", "exited 2@3s", "restarting 2@3s",
			"starting 3@5s", "running 3@5s", "stopping 3@6s", "exited 3@6s", "gave_up 3@6s")
	})
}

// TestSupervisorUnhealthy: a proc that its manager fails is unhealthy, and
// counts as failed even if it ends with code 0.
func TestSupervisorUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		m := newStage(t, &script{fakeBody: fakeBody{drain: never, stop: 500 * time.Millisecond}})
		s := mustSupervise(t, m, worker(restart.OnFailure))
		var kinds []string
		for e := range s.Events(t.Context()) {
			kinds = append(kinds, fmt.Sprintf("%v %d@%v %s", e.Kind, e.Incarnation, e.Time.Sub(start), e.Cause))
			switch {
			case e.Kind == EventReady && e.Incarnation == 1:
				s.Current().(*Handle).Fail("its control connection was lost", time.Second)
			case e.Kind == EventReady && e.Incarnation == 2:
				s.Current().(*Handle).Condemn("it did not answer", time.Second)
			case e.Kind == EventReady:
				_, _ = s.Current().Terminate(t.Context(), 4*time.Second, "enough")
			}
		}
		compareTale(t, kinds,
			"starting 1@0s ", "running 1@0s ", "ready 1@0s ", "unhealthy 1@250ms its control connection was lost",
			"stopping 1@1s its control connection was lost", "exited 1@1s its control connection was lost",
			"restarting 1@1s killed: signal 9 (killed) after 1s, because its control connection was lost",
			"starting 2@2s ", "running 2@2s ", "ready 2@2s ", "unhealthy 2@2s it did not answer",
			"stopping 2@2s it did not answer", "exited 2@2.5s it did not answer",
			"restarting 2@2.5s stopped: exit 0 after 500ms, because it did not answer",
			"starting 3@4.5s ", "running 3@4.5s ", "ready 3@4.5s ", "stopping 3@4.5s asked for by the program: enough", "exited 3@7s ")
	})
}

// TestSupervisorStop: Terminate and Kill end the proc and the supervision,
// wherever that is.
func TestSupervisorStop(t *testing.T) {
	terminate := func(t *testing.T, s *Supervisor) (Exit, error) {
		return s.Terminate(As(t.Context(), "somebody"), time.Second, "enough")
	}
	kill := func(t *testing.T, s *Supervisor) (Exit, error) { return s.Kill(As(t.Context(), "somebody"), "enough") }
	leave := func(t *testing.T, s *Supervisor) (Exit, error) { // whose ctx is over starts the stop all the same (PH-13)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Terminate(As(ctx, "somebody"), time.Second, "enough"); err != nil && err != context.Canceled {
			t.Errorf("Terminate() = %v", err)
		}
		return s.Wait(t.Context())
	}
	direct := func(t *testing.T, s *Supervisor) (Exit, error) { // through the handle
		_, _ = s.Current().Terminate(As(t.Context(), "somebody"), time.Second, "enough")
		return s.Wait(t.Context())
	}
	for _, test := range []struct {
		name  string
		stop  func(*testing.T, *Supervisor) (Exit, error)
		after time.Duration
		end   string // the last event
		kind  launch.Kind
		by    string
	}{
		{"terminate as soon as it runs", terminate, 0, "exited 1@0s", launch.Stopped, "somebody"},
		{"terminate while it runs", terminate, time.Second, "exited 1@1s", launch.Stopped, "somebody"},
		{"kill while it runs", kill, time.Second, "exited 1@1s", launch.Killed, "somebody"},
		{"leave while it runs", leave, time.Second, "exited 1@1s", launch.Stopped, "somebody"},
		{"through the handle", direct, time.Second, "exited 1@1s", launch.Stopped, "somebody"},
		{"terminate while it waits", terminate, 5500 * time.Millisecond, "stopping 1@5.5s", launch.Stopped, ""},
		{"kill while it waits", kill, 5500 * time.Millisecond, "stopping 1@5.5s", launch.Stopped, ""},
		{"terminate while it starts", terminate, 6500 * time.Millisecond, "exited 2@7s", launch.Killed, "somebody"},
		{"kill while it starts", kill, 6500 * time.Millisecond, "exited 2@7s", launch.Killed, "somebody"},
		{"leave while it starts", leave, 6500 * time.Millisecond, "exited 2@7s", launch.Killed, "somebody"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				slow := crash(5 * time.Second)
				slow.start = time.Second
				m := newStage(t, crash(5*time.Second), slow)
				s := mustSupervise(t, m, worker(restart.Always))
				<-time.After(test.after)
				exit, err := test.stop(t, s)
				if err != nil || exit.Kind != test.kind || exit.Requested.By != test.by {
					t.Errorf("got %v, %v", exit, err)
				}
				if all := tale(t.Context(), s, start); all[len(all)-1] != test.end {
					t.Errorf("got %q", all)
				}
				<-time.After(time.Hour)
				if names(m.Roster) != "[]" || len(m.played()) > 2 {
					t.Errorf("left: %v after %d spawns", names(m.Roster), len(m.played()))
				}
			})
		})
	}
}

// TestSupervisorStopTooLate: a proc that somebody has stopped through its
// handle is not started again, even if it was ending by itself already.
func TestSupervisorStopTooLate(t *testing.T) {
	for name, script := range map[string]*script{
		"while its output is read": {fakeBody: fakeBody{reading: time.Second}, lives: 5 * time.Second, code: 1},
		"while our kill works":     {fakeBody: fakeBody{kill: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newStage(t, script)
				s := mustSupervise(t, m, worker(restart.Always))
				h := s.Current().(*Handle)
				<-time.After(5 * time.Second)
				if script.lives == 0 {
					h.Fail("it is broken", 0)
				}
				<-time.After(500 * time.Millisecond)
				if exit, err := h.Terminate(t.Context(), time.Minute, "enough"); err != nil || exit.Requested != (launch.Request{}) {
					t.Errorf("Terminate() = %v, %v", exit, err)
				}
				if _, err := s.Wait(t.Context()); err != nil {
					t.Errorf("Wait() = %v", err)
				}
				<-time.After(time.Hour)
				if n := len(m.played()); n != 1 {
					t.Errorf("%d spawns", n)
				}
			})
		})
	}
}

// TestSuperviseInTime: ctx bounds the first start; nothing is left of one that
// comes too late.
func TestSuperviseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &script{start: time.Minute}
		m := newStage(t, slow)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Supervise(ctx, m, worker(restart.Always)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Supervise() = %v", err)
		}
		if names(m.Roster) != "[]" {
			t.Errorf("left: %s", names(m.Roster))
		}
	})
}

// TestSuperviseWaitsInTime: likewise for a start that has to wait for a slot.
func TestSuperviseWaitsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStage(t, &script{})
		m.Roster = NewRoster(1)
		place, err := m.Reserve(t.Context(), "slow")
		if err != nil {
			t.Fatal(err)
		}
		defer place.Release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Supervise(ctx, m, worker(restart.Always)); err != context.DeadlineExceeded {
			t.Errorf("Supervise() = %v", err)
		}
	})
}

// TestSupervisorHalted: once nobody wants a restart, a crash is just an end.
func TestSupervisorHalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		spec := worker(restart.Always)
		spec.RestartLimits.MaxRestarts = 1
		s := mustSupervise(t, newStage(t, crash(time.Second)), spec)
		<-time.After(2500 * time.Millisecond)
		s.halt(errors.New("enough"))
		if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 1 {
			t.Errorf("Wait() = %v, %v", exit, err)
		}
		if all := tale(t.Context(), s, start); all[len(all)-1] != "exited 2@3s" {
			t.Errorf("got %q", all)
		}
	})
}

// TestSupervisorDraining: a manager that takes no more procs ends the
// supervision; how the proc had ended stands.
func TestSupervisorDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStage(t, crash(time.Second))
		s := mustSupervise(t, m, worker(restart.Always))
		<-time.After(1500 * time.Millisecond)
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 1 {
			t.Errorf("Wait() = %v, %v", exit, err)
		}
	})
}

// farHandle is the handle of a proc on a host that is lost after a second.
type farHandle struct{ *Handle }

func (farHandle) Wait(context.Context) (Exit, error) { return Exit{}, ErrLost }

// TestSupervisorLosesProc: a proc that may still run is not started again.
func TestSupervisorLosesProc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newStage(t, crash(time.Second))
		s := mustSupervise(t, farManager{m}, worker(restart.Always))
		exit, err := s.Wait(t.Context())
		if e, ok := errors.AsType[*GaveUpError](err); !ok || !errors.Is(err, ErrLost) || exit.Kind != launch.Unknown || e.Incarnation != 1 {
			t.Errorf("Wait() = %v, %v", exit, err)
		}
	})
}

type farManager struct{ *stage }

func (m farManager) Spawn(ctx context.Context, spec ProcSpec) (ProcHandle, error) {
	h, err := m.stage.Spawn(ctx, spec)
	return farHandle{h.(*Handle)}, err
}

// TestSupervisorKeepsSpec: what the caller does to his slices afterwards does
// not change the next incarnations.
func TestSupervisorKeepsSpec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := worker(restart.OnFailure)
		spec.Args, spec.Env = []string{"a"}, []string{"A=1"}
		m := newStage(t, crash(time.Second), &script{lives: time.Second})
		s := mustSupervise(t, m, spec)
		spec.Args[0], spec.Env[0] = "b", "A=2"
		if _, err := s.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got := m.specs[1]; got.Args[0] != "a" || got.Env[0] != "A=1" {
			t.Errorf("the second incarnation: %+v", got)
		}
	})
}
