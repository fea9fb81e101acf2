package actor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
)

// teller answers first and fails then.
type teller struct{}

var (
	tellerAsk = actor.OnDefer("teller.ask", func(_ *teller, _ context.Context, n int, r actor.Reply[int]) error {
		if err := r.Send(n + 1); err != nil {
			return err
		}
		return errTest
	})
	tellerType = actor.Define("teller", func(context.Context, actor.None) (*teller, error) { return &teller{}, nil }, tellerAsk)
)

// AC-8: the error of a handler that has answered already is one that nobody
// waits for, and fails the actor, as that of a Send does.
func TestAC8ErrorAfterTheAnswer(t *testing.T) {
	for _, where := range []string{"here", "there"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fs failures
				cfg := fs.config()
				cfg.Types = []actor.AnyType{tellerType}
				n := actortest.NewNet(t)
				there, _ := n.Add("there", cfg)
				here, ctx := n.Add("here", fs.config())
				proc := map[string]*actortest.Node{"here": here, "there": there}[where]
				ref, err := tellerType.Spawn(ctx, proc.ID(), "teller", actor.None{})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := tellerAsk.Call(ctx, ref, 41); n != 42 || err != nil {
					t.Errorf("the call got %d, %v; want the answer, 42", n, err)
				}
				synctest.Wait()
				if f := fs.of(ref.ID()); f == nil || !errors.Is(f.Err, errTest) {
					t.Errorf("the actor failed with %v, want %v", f, errTest)
				}
			})
		})
	}
}
