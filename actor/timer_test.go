package actor_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/hyperactor/hyperactor/actor"
)

// A timer that has not fired keeps neither the actor that has ended nor its own
// message in memory.
func TestTimerOfAnEndedActorKeepsNothing(t *testing.T) {
	type large [1 << 20]byte
	type session struct{ state *large }
	idle := actor.OnSend("session.idle", func(*session, context.Context, *large) error { return nil })
	begin := actor.OnSend("session.begin", func(_ *session, ctx context.Context, req *large) error {
		_, err := idle.After(ctx, 24*time.Hour, req)
		return err
	})
	typ := actor.Define("session", func(_ context.Context, state *large) (*session, error) { return &session{state}, nil }, idle, begin)
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		state, req := new(large), new(large)
		ofState, ofReq := weak.Make(state), weak.Make(req)
		ref, err := typ.Spawn(ctx, p.ID(), "s", state)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := begin.Call(ctx, ref, req); err != nil {
			t.Fatal(err)
		}
		state, req = nil, nil
		if err := ref.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		runtime.GC()
		if ofState.Value() != nil {
			t.Error("the state of the actor is still there")
		}
		if ofReq.Value() != nil {
			t.Error("the message of its timer is still there")
		}
	})
}

// A timer can be stopped until it fires, and says so; the end of the actor is
// the end of its timers, also when it is stopped meanwhile.
func TestTimerStop(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var fired []string
		note := func(what string) fn {
			return func(context.Context) (int, error) { fired = append(fired, what); return 0, nil }
		}
		ref := newDoer(t, ctx, p, "d", &doer{})
		var stopFired, stopEarly, stopEnded func() bool
		_, err := doFunc.Call(ctx, ref, func(ctx context.Context) (_ int, err error) {
			if stopFired, err = doFunc.After(ctx, 0, note("at once")); err != nil {
				return 0, err
			}
			if stopEarly, err = doFunc.After(ctx, time.Minute, note("stopped")); err != nil {
				return 0, err
			}
			stopEnded, err = doFunc.After(ctx, time.Hour, note("after the end"))
			return 0, err
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if stopFired() {
			t.Error("a timer that has fired was stopped in time")
		}
		if !stopEarly() || stopEarly() {
			t.Error("a timer is stopped in time once")
		}
		if err := ref.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if stopEnded() {
			t.Error("a timer was stopped in time after the end of its actor")
		}
		<-time.After(2 * time.Hour)
		if len(fired) != 1 || fired[0] != "at once" {
			t.Errorf("fired: %q, want only the first", fired)
		}
	})
}
