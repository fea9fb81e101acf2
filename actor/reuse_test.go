package actor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
)

// echo is an actor whose answers say what was asked.
type echo struct{}

type question struct {
	N    int
	Text string
	Wait time.Duration
}

type reply struct {
	N    int
	Text string
}

func (q question) reply() reply { return reply{q.N, "re: " + q.Text} }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

var (
	echoNow = actor.On("echo.now", func(_ *echo, ctx context.Context, q question) (reply, error) {
		pause(ctx, q.Wait)
		return q.reply(), nil
	})
	echoError = actor.On("echo.error", func(_ *echo, _ context.Context, q question) (reply, error) {
		return reply{}, codedError(q.Text)
	})
	echoLater = actor.OnDefer("echo.later", func(_ *echo, ctx context.Context, q question, r actor.Reply[reply]) error {
		go func() {
			pause(ctx, q.Wait)
			r.Send(q.reply())
		}()
		return nil
	})
	echoDeaf = actor.On("echo.deaf", func(_ *echo, _ context.Context, q question) (reply, error) {
		<-time.After(q.Wait) // whatever ctx says: it may be abandoned
		return q.reply(), nil
	})
	echoPanic = actor.On("echo.panic", func(_ *echo, _ context.Context, q question) (reply, error) { panic(q.Text) })

	echoType = actor.Define("echo", func(context.Context, actor.None) (*echo, error) { return &echo{}, nil }, echoNow, echoError, echoLater, echoDeaf, echoPanic)
)

// What is used again for the next message is mixed up with none: whatever
// becomes of calls and their actors, a caller gets the answer to its question
// or an error.
func TestReuseMixesNothingUp(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := actortest.NewNet(t)
				n.SetDelay(time.Millisecond)
				quiet := func(*actor.Failure) {}
				there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{echoType}, OnFailure: quiet, StopBound: 50 * time.Millisecond})
				here, ctx := n.Add("here", actor.Config{Types: []actor.AnyType{echoType}, OnFailure: quiet, StopBound: 50 * time.Millisecond})
				var wg sync.WaitGroup
				for caller := range 8 {
					wg.Go(func() {
						askAround(t, ctx, rand.New(rand.NewPCG(seed, uint64(caller))), []*actortest.Node{here, there}, caller)
					})
				}
				wg.Wait()
				<-time.After(time.Second) // handlers that were abandoned come back
			})
		})
	}
}

// askAround makes calls of all kinds to actors of its own, and sometimes stops one.
func askAround(t *testing.T, ctx context.Context, r *rand.Rand, procs []*actortest.Node, caller int) {
	var refs [2]actor.Ref[*echo]
	calls := []actor.Method[*echo, question, reply]{echoNow, echoNow, echoNow, echoError, echoLater, echoDeaf, echoPanic}
	for i := range 150 {
		at := r.IntN(len(procs))
		if refs[at].ID().IsZero() {
			ref, err := echoType.Spawn(ctx, procs[at].ID(), "", actor.None{})
			if err != nil {
				t.Error(err)
				return
			}
			refs[at] = ref
		}
		q := question{caller*1000 + i, fmt.Sprint("q", caller, ".", i), time.Duration(r.IntN(3)) * 10 * time.Millisecond}
		bound, cancel := context.WithTimeout(ctx, time.Duration(1+r.IntN(50))*time.Millisecond)
		m := calls[r.IntN(len(calls))]
		var wg sync.WaitGroup
		if r.IntN(10) == 0 {
			wg.Go(func() { refs[at].Stop(ctx, 5*time.Millisecond) })
		}
		got, err := m.Call(bound, refs[at], q)
		cancel()
		wg.Wait()
		switch {
		case err == nil && got != q.reply():
			t.Errorf("%s %v: got %v", m.Name(), q, got)
		case m.Name() == echoError.Name() && err != nil && !errors.Is(err, codedError(q.Text)) && !gone(err):
			t.Errorf("%s %v: got error %v", m.Name(), q, err)
		}
		if err != nil && !errors.Is(err, codedError(q.Text)) {
			refs[at] = actor.Ref[*echo]{} // it may have ended
		}
	}
}

// gone reports whether a call ended because of its ctx, or of the actor's end.
func gone(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, actor.ErrStopped) || errors.Is(err, actor.ErrFailed) || errors.Is(err, actor.ErrNoActor)
}

// An actor that fails has to do with its own calls alone: not with those that
// are handled elsewhere by what its last one has left.
func TestReuseEndsWithTheCall(t *testing.T) {
	twoProcs(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		fails := spawnFar(t, ctx, there)
		other, err := counterType.Spawn(ctx, there.ID(), "other", counterParams{})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 { // so that a pool has them
			if _, err := farAll.Call(ctx, fails, actor.None{}); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := slow.Call(ctx, other, time.Second); err != nil {
					t.Errorf("a call of another actor: %v", err)
				}
			})
		}
		synctest.Wait()
		if err := farPanic.Send(ctx, fails, 1); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	})
}
