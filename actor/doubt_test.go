package actor_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// MS-5: a message that was perhaps handled says so, one that was not does not.
func TestMS5InDoubt(t *testing.T) {
	twoProcs(t, func(t *testing.T, net *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnFar(t, ctx, there)
		local, err := farType.Spawn(ctx, here.ID(), "far", []int{})
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := id.NewProc("test", "stranger")
		if err != nil {
			t.Fatal(err)
		}
		here.Gateway.Route(stranger, "mem:nowhere")
		type outcome struct {
			name   string
			err    error
			reason error
			doubt  bool
		}
		outcomes := []outcome{
			{"no actor", second(farAll.Call(ctx, actor.RefOf[*far](there.ID().Actor("nobody")), actor.None{})), actor.ErrNoActor, false},
			{"no method", second(add.Call(ctx, actor.RefOf[*counter](ref.ID()), 1)), actor.ErrNoMethod, false},
			{"no way there", second(farAll.Call(ctx, actor.RefOf[*far](stranger.Actor("far")), actor.None{})), actor.ErrNoRoute, false},
			{"its handler panics", second(farPanic.Call(ctx, ref, 1)), actor.ErrFailed, true},
			{"the handler of one that is here panics", second(farPanic.Call(ctx, local, 1)), actor.ErrFailed, true},
		}
		ref = spawnFar(t, ctx, there)
		var calls sync.WaitGroup
		var inHand, queued error
		calls.Go(func() { inHand = second(farHang.Call(ctx, ref, time.Minute)) })
		synctest.Wait()
		<-time.After(time.Second)
		calls.Go(func() { queued = second(farHang.Call(ctx, ref, time.Minute)) })
		<-time.After(time.Second)
		ref.Stop(ctx, time.Second)
		calls.Wait()
		outcomes = append(outcomes, outcome{"stopped before its turn", queued, actor.ErrStopped, false})
		if inHand != nil {
			t.Errorf("the call whose handler has returned: %v", inHand)
		}
		ref = spawnFar(t, ctx, there)
		var lost error
		calls.Go(func() { lost = second(farHang.Call(ctx, ref, time.Hour)) })
		<-time.After(time.Second)
		net.Cut(there)
		calls.Wait()
		outcomes = append(outcomes, outcome{"its session is lost", lost, actor.ErrPeerGone, true})
		for _, o := range outcomes {
			if !errors.Is(o.err, o.reason) || errors.Is(o.err, actor.ErrInDoubt) != o.doubt {
				t.Errorf("%s: got %v, want %v, in doubt: %v", o.name, o.err, o.reason, o.doubt)
			}
		}
	})
}

// MS-5: of the sends that come back when a session is lost, those are in doubt
// that had begun their way.
func TestMS5SendsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := actortest.NewNet(t)
		net.SetDelay(time.Millisecond)
		there, _ := net.Add("there", quietWith(farType))
		var back []actor.Undelivered
		_, ctx := net.Add("here", actor.Config{OnUndeliverable: func(u actor.Undelivered) { back = append(back, u) }})
		ref := spawnFar(t, ctx, there)
		<-time.After(time.Second)
		if err := farPut.Send(ctx, ref, 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is written and has not arrived
		net.Cut(there)
		synctest.Wait()
		if err := farPut.Send(ctx, ref, 2); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if len(back) != 2 || !back[0].InDoubt || back[1].InDoubt {
			t.Fatalf("came back: %+v; want two, the first in doubt", back)
		}
		for _, u := range back {
			if err := u.Err(); !errors.Is(err, actor.ErrPeerGone) || errors.Is(err, actor.ErrInDoubt) != u.InDoubt {
				t.Errorf("the error of %+v is %v", u, err)
			}
		}
	})
}

// MS-5: a call that is still being sent when an earlier session is lost goes
// over the next one and is answered: the loss does not concern it.
func TestMS5LossBeforeTheCall(t *testing.T) {
	twoProcs(t, func(t *testing.T, net *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		spawnFar(t, there.Context(context.Background()), there)
		net.SetDelay(100 * time.Millisecond)
		ref := actor.RefOf[*far](there.ID().Actor("far"))
		var call sync.WaitGroup
		call.Go(func() {
			if _, err := farAll.Call(ctx, ref, actor.None{}); err != nil {
				t.Errorf("the call that was being sent: %v", err)
			}
		})
		<-time.After(50 * time.Millisecond) // it waits for the first session
		here.Gone(there.ID(), errTest)
		call.Wait()
	})
}

// numbers notes the numbers of the calls that it gets.
type numbers struct{ got chan uint64 }

func (n numbers) Deliver(e *wire.Envelope)    { n.got <- e.Call }
func (n numbers) Gone(p id.Proc, cause error) {}
func (n numbers) Cut(p id.Proc, cause error)  {}

// MS-6: a proc that is started again with the id that it had takes no answer to
// a call of its earlier life for one of its own.
func TestMS6CallNumbersOfAnotherLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self := id.Proc{Host: "h", Name: "host", UID: 1}
		again, other := id.Proc{Host: "h", Name: "again", UID: 2}, id.Proc{Host: "h", Name: "other", UID: 3}
		g := gateway.New(gateway.Config{Self: self})
		defer g.Close(context.Background())
		n := numbers{make(chan uint64, 2)}
		if err := g.Bind(other, n); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			p, err := actor.NewProc(actor.Config{ID: again, Gateway: g})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(p.Context(t.Context()), time.Second)
			_, err = actor.Ping.Call(ctx, actor.AgentOf(other), actor.None{})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			p.Stop(t.Context(), time.Second)
		}
		if a, b := <-n.got, <-n.got; a == b {
			t.Errorf("both calls have the number %d", a)
		}
	})
}
