package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// outcome is how one incarnation went.
type outcome struct {
	restart.Run
	exit Exit
	err  error // why it could not be started, or followed to its end
	ran  bool  // there was a proc
}

// firstStart is how the first start went.
type firstStart struct {
	h   ProcHandle
	err error
}

// supervise is the work of the owner: one incarnation after the other.
func (s *Supervisor) supervise(life context.Context) {
	for {
		o := s.incarnate(life)
		v := s.judge(life, o)
		if v.Do == restart.Again {
			s.tell(Event{Kind: EventRestarting, Delay: v.After, Cause: o.exit.String()})
			s.cfg.log.Info("proc restarts", "proc", s.cfg.spec.Name, "after", v.After, "exit", o.exit.String())
			s.settled()
			if s.rest(life, v.After) {
				s.enter()
				continue
			}
		}
		if v.Do == restart.GiveUp {
			s.err = &GaveUpError{Name: s.cfg.spec.Name, Incarnation: s.incarnation, Exit: o.exit, Why: v.Why, Err: o.err}
		}
		s.finish()
		return
	}
}

// incarnate starts the proc and follows it to its end.
func (s *Supervisor) incarnate(life context.Context) outcome {
	began := time.Now()
	s.tell(Event{Kind: EventStarting})
	h, err := s.cfg.manager.Spawn(life, s.cfg.spec)
	if err != nil {
		return s.unstarted(began, err)
	}
	wanted := s.started(life, h)
	s.tell(Event{Kind: EventRunning, Proc: h.ID(), PID: h.Status().PID})
	s.report(firstStart{h: h})
	if !wanted {
		s.disown(life, h)
	}
	return s.follow(h)
}

// unstarted is the outcome of a start that came to nothing.
func (s *Supervisor) unstarted(began time.Time, err error) outcome {
	e := Exit{Kind: launch.Failed, Phase: launch.PhaseExec, Cause: err.Error(), Started: began, Ended: time.Now()}
	if spawn, ok := errors.AsType[*SpawnError](err); ok && spawn.Exit != (Exit{}) {
		e = spawn.Exit
	}
	o := outcome{Run: runOf(e), exit: e, err: err}
	if hopeless(err) {
		o.How = restart.Unstartable
	}
	s.tell(Event{Kind: EventExited, Exit: e, Cause: e.Cause})
	return o
}

// disown kills a proc that is not wanted any more, in the name of whoever has
// halted us. It does not wait: the proc is followed like any other.
func (s *Supervisor) disown(life context.Context, h ProcHandle) {
	by, why := requester(life), context.Cause(life).Error()
	if e, ok := errors.AsType[*haltError](context.Cause(life)); ok {
		by, why = e.by, e.why
	}
	_, _ = h.Kill(As(life, by), why) // life is over, and with it the wait; a kill that fails is repeated by the handle
}

// follow tells what happens to the proc, until it has ended.
func (s *Supervisor) follow(h ProcHandle) outcome {
	var seen sightings
	for s.watch(h, &seen) {
	}
	exit, err := h.Wait(context.Background())
	if err != nil {
		exit = Exit{Cause: err.Error()}
	} else {
		s.tell(Event{Kind: EventExited, Proc: h.ID(), PID: h.Status().PID, Exit: exit, Cause: exit.Cause})
	}
	o := outcome{Run: runOf(exit), exit: exit, err: err, ran: true}
	if h.Status().unwanted { // also if the record does not say so, since the proc ended by itself
		o.How = restart.AskedFor
	}
	return o
}

// watch tells what happens to the proc, until it has ended or it is time to
// look at it again; it reports which of the two.
func (s *Supervisor) watch(h ProcHandle, seen *sightings) (again bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var timer *time.Timer
	for st := range h.Watch(ctx) {
		for _, e := range seen.news(st) {
			e.Proc, e.PID = h.ID(), st.PID
			s.tell(e)
		}
		if timer == nil && seen.doubtful() {
			timer = time.AfterFunc(doubt, cancel)
			defer timer.Stop()
		}
	}
	return ctx.Err() != nil
}

// judge decides what comes after an incarnation, and notes how the supervision
// ends if this was the last one.
func (s *Supervisor) judge(life context.Context, o outcome) restart.Verdict {
	halted := life.Err() != nil
	switch {
	case !o.ran && s.handle == nil: // the first start: whoever wanted it is told
		s.exit, s.err = o.exit, o.err
		return restart.Verdict{}
	case !o.ran && (halted || refused(o.err)): // the end was that of the run before
		return restart.Verdict{}
	}
	s.exit = o.exit
	switch {
	case o.ran && o.err != nil:
		return restart.Verdict{Do: restart.GiveUp, Why: "it cannot be followed any more and may still run"}
	case halted, s.cfg.strict && s.incarnation == 1 && o.Ready.IsZero():
		return restart.Verdict{}
	}
	return s.policy.Next(&s.past, o.Run, s.cfg.random())
}

// rest waits until it is time for the next start, and reports whether there is
// to be one.
func (s *Supervisor) rest(life context.Context, d time.Duration) bool {
	err := pause(life, d)
	if err == nil {
		err = s.cfg.pacer.wait(life, func(d time.Duration) {
			s.cfg.log.Info("restart held back by the restart rate of the host", "proc", s.cfg.spec.Name, "for", d)
		})
	}
	if err != nil {
		s.tell(Event{Kind: EventStopping, Cause: err.Error()})
	}
	return err == nil
}

// finish ends the supervision.
func (s *Supervisor) finish() {
	e, gaveUp := errors.AsType[*GaveUpError](s.err)
	if gaveUp {
		s.tell(Event{Kind: EventGaveUp, Exit: e.Exit, Cause: e.Why})
	}
	s.feed.close()
	s.cfg.release()
	if gaveUp {
		s.cfg.gaveUp(e)
	}
	close(s.over)
	s.settled()
	s.report(firstStart{err: s.err})
}

// report says how the first start went. Later reports reach nobody.
func (s *Supervisor) report(f firstStart) {
	select {
	case s.first <- f:
	default:
	}
}

// tell passes on what happened.
func (s *Supervisor) tell(e Event) {
	e.Time, e.Name, e.Incarnation = time.Now(), s.cfg.spec.Name, s.incarnation
	s.feed.add(e)
}

// enter begins the next incarnation.
func (s *Supervisor) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.incarnation++
}

// started makes h the current proc, and reports whether it may live: otherwise
// whoever has halted us does not know of it.
func (s *Supervisor) started(life context.Context, h ProcHandle) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle, s.decided = h, make(chan struct{})
	return life.Err() == nil
}

// settled tells those who wait for it that it is known what comes after the
// current proc.
func (s *Supervisor) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.decided: // a restart was decided on, and then it was not wanted any more
	default:
		close(s.decided)
	}
}

// haltError is why a supervision was ended by somebody.
type haltError struct {
	by, why string
	err     error // ErrDraining if everybody has to stop
}

func (e *haltError) Error() string { return fmt.Sprintf("asked for by %s: %s", e.by, e.why) }

func (e *haltError) Unwrap() error { return e.err }

// refused reports whether err, which an attempt to start a proc gave, means that
// the manager takes no more procs.
func refused(err error) bool { return errors.Is(err, ErrDraining) || errors.Is(err, launch.ErrClosed) }

// hopeless reports whether err, which an attempt to start a proc gave, comes
// again as long as nobody mends what it is about (PS-10).
func hopeless(err error) bool {
	reason, ok := errors.AsType[launch.Reason](err)
	return ok && reason != launch.ErrLimit && reason != launch.ErrBusy
}
