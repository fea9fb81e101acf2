package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
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

// MS-4: a call from a proc that has ended does not wait for ever.
func TestCallFromAnEndedProc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", quietWith(farType))
		here, ctx := n.Add("here", quiet())
		ref, _ := farType.Spawn(ctx, there.ID(), "far", []int{})
		here.Stop(context.Background(), time.Second)
		c, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		began := time.Now()
		_, err := farAll.Call(c, ref, actor.None{})
		if time.Since(began) > time.Minute {
			t.Errorf("a call from a proc that has ended waits for ever: %v", err)
		} else {
			t.Log(err)
		}
	})
}

// slowCaller is a proc that is slower to hear what it is sent than anything else.
type slowCaller struct {
	mu    sync.Mutex // guards the following
	heard []string
}

func (c *slowCaller) Deliver(e *wire.Envelope) {
	<-time.After(time.Millisecond)
	if e.Kind == wire.Reply {
		c.note("the answer")
	}
}

func (c *slowCaller) Gone(p id.Proc, _ error) { c.note(p.Name + " is gone") }
func (c *slowCaller) Cut(p id.Proc, _ error)  { c.note(p.Name + " is lost") }

func (c *slowCaller) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, what)
}

// MS-4: the last answer of a proc comes before the news of its end, also to
// callers in the same process.
func TestMS4AnswerBeforeGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self := id.Proc{Host: "h", Name: "host", UID: 1}
		worker, caller := id.Proc{Host: "h", Name: "worker", UID: 2}, id.Proc{Host: "h", Name: "caller", UID: 3}
		g := gateway.New(gateway.Config{Self: self})
		defer g.Close(context.Background())
		var c slowCaller
		if err := g.Bind(caller, &c); err != nil {
			t.Fatal(err)
		}
		p, err := actor.NewProc(actor.Config{ID: worker, Gateway: g})
		if err != nil {
			t.Fatal(err)
		}
		body, err := wire.Marshal(actor.DrainRequest{Budget: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		drain := wire.Envelope{Kind: wire.Call, Call: 1, To: p.Agent().ID(), From: caller.Actor("main"), Method: "proc.drain", Body: body}
		if err := g.Send(t.Context(), &drain); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		<-time.After(time.Second)
		if got, want := fmt.Sprint(c.heard), "[the answer worker is gone]"; got != want {
			t.Errorf("the caller heard %s, want %s", got, want)
		}
	})
}

// badReply cannot be encoded.
type badReply struct{}

func (badReply) MarshalText() ([]byte, error) { panic("as the test wants") }

// MS-4: a reply whose encoding panics is an answer too.
func TestMS4ReplyThatCannotBeEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := actor.On("far.bad", func(*far, context.Context, int) (badReply, error) { return badReply{}, nil })
		ty := actor.Define("bad", func(context.Context, int) (*far, error) { return &far{}, nil }, bad)
		n := actortest.NewNet(t)
		there, _ := n.Add("there", quietWith(ty))
		_, ctx := n.Add("here", quiet())
		ref, err := ty.Spawn(ctx, there.ID(), "far", 0)
		if err != nil {
			t.Fatal(err)
		}
		c, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		began := time.Now()
		_, err = bad.Call(c, ref, 1)
		t.Log(err)
		if time.Since(began) > time.Minute {
			t.Errorf("waits for ever")
		}
	})
}

// AC-4: an actor that ends has no more children.
func TestAC4NoChildrenWhileEnding(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		i := 0
		g := newDoer(t, ctx, p, "g", &doer{onEnd: func(ctx context.Context, e actor.End) actor.Verdict {
			if e.Failure != nil {
				i++
				go doerType.Spawn(ctxOther(p), p.ID(), "x", &doer{})
				_, err := doerType.Spawn(context.WithoutCancel(ctx), p.ID(), fmt.Sprint("k", i), &doer{})
				t.Log("restart:", err)
			}
			return actor.Handled
		}})
		doFunc.Call(ctx, g, func(ctx context.Context) (int, error) {
			newDoer(t, ctx, p, "k", &doer{onStop: func(context.Context) error { return errTest }})
			return 0, nil
		})
		began := time.Now()
		g.Drain(ctx, 10*time.Second)
		if d := time.Since(began); d > time.Second || len(p.Abandoned()) > 0 {
			t.Errorf("drain took %v; abandoned %v", d, p.Abandoned())
		}
		began = time.Now()
		g = newDoer(t, ctx, p, "g", &doer{onEnd: func(ctx context.Context, e actor.End) actor.Verdict {
			if e.Failure != nil {
				i++
				_, err := doerType.Spawn(context.WithoutCancel(ctx), p.ID(), fmt.Sprint("k", i), &doer{})
				t.Log("restart:", err)
			}
			return actor.Handled
		}})
		doFunc.Call(ctx, g, func(ctx context.Context) (int, error) {
			newDoer(t, ctx, p, "k", &doer{onStop: func(context.Context) error { return errTest }})
			return 0, nil
		})
		g.Stop(ctx, 10*time.Second)
		if d := time.Since(began); d > time.Second || len(p.Abandoned()) > 0 {
			t.Errorf("stop took %v; abandoned %v", d, p.Abandoned())
		}
	})
}

// A child of an actor that has ended would belong to nobody.
func TestNoChildOfAnEndedActor(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		a := newDoer(t, ctx, p, "a", &doer{})
		var actx context.Context
		doFunc.Call(ctx, a, func(ctx context.Context) (int, error) { actx = ctx; return 0, nil })
		a.Stop(ctx, time.Second)
		_, err := doerType.Spawn(context.WithoutCancel(actx), p.ID(), "orphan", &doer{})
		p.Stop(context.Background(), time.Second)
		<-time.After(time.Minute)
		if as := p.Status().Actors; err == nil {
			t.Errorf("lives after its proc: %+v", as)
		}
	})
}

// After a Spawn that failed the name is free.
func TestNameIsFreeAfterAFailedMake(t *testing.T) {
	p, ctx := actortest.NewProc(t, quiet())
	taken := 0
	for range 20000 {
		_, err := counterType.Spawn(ctx, p.ID(), "c", counterParams{Start: -1})
		if errors.Is(err, actor.ErrNameTaken) {
			taken++
		}
	}
	if taken > 0 {
		t.Errorf("%d ErrNameTaken", taken)
	}
}

// A Stop that ends its goroutine does not use up the budget.
func TestGoexitInStop(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		a := newDoer(t, ctx, p, "a", &doer{onStop: func(context.Context) error { runtime.Goexit(); return nil }})
		began := time.Now()
		a.Stop(ctx, 10*time.Second)
		if d := time.Since(began); d != 0 || len(p.Abandoned()) > 0 {
			t.Errorf("took %v, abandoned %v", d, p.Abandoned())
		}
	})
}

// A hook that panics ends nothing.
func TestHookThatPanics(t *testing.T) {
	inBubble(t, actor.Config{OnFailure: func(*actor.Failure) { panic("hook") }}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		a := newDoer(t, ctx, p, "a", &doer{})
		doFunc.Send(ctx, a, func(context.Context) (int, error) { return 0, errTest })
		<-time.After(time.Minute)
		select {
		case <-p.Done():
			t.Log("done", p.Err())
		default:
			_, err := actor.Ping.Call(ctx, p.Agent(), actor.None{})
			if err != nil {
				t.Errorf("not done; agent: %v", err)
			}
		}
	})
}

// Everybody who drains a proc gets the answer.
func TestDrainTwice(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			n := actortest.NewNet(t)
			there, _ := n.Add("there", quietWith(farType))
			_, ctx := n.Add("here", quiet())
			ref, _ := farType.Spawn(ctx, there.ID(), "far", []int{})
			farHang.Send(ctx, ref, 2*time.Second)
			res := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := actor.DrainProc.Call(ctx, there.Agent(), actor.DrainRequest{Budget: time.Minute})
					res <- err
				}()
			}
			for range 2 {
				if err := <-res; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A handler that waits for the end of its own proc is abandoned.
func TestStopTheProcFromAHandler(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		a := newDoer(t, ctx, p, "a", &doer{})
		doFunc.Send(ctx, a, func(ctx context.Context) (int, error) { return 0, p.Stop(context.Background(), time.Second) })
		<-time.After(time.Minute)
		t.Log(p.Abandoned(), p.Err())
		if _, ok := <-p.Done(); ok {
			t.Error()
		}
	})
}

// closer sends three large messages, and a last one from Stop.
type closer struct{ to actor.Port[[]byte] }

var (
	closerRun = actor.OnSend("closer.run", func(c *closer, ctx context.Context, to actor.Port[[]byte]) error {
		c.to = to
		for range 3 {
			if err := to.Send(ctx, make([]byte, 30<<20)); err != nil {
				return err
			}
		}
		return actor.StopSelf(ctx)
	})
	closerType = actor.Define("closer", func(context.Context, actor.None) (*closer, error) { return &closer{}, nil }, closerRun)
)

func (c *closer) Stop(ctx context.Context) error {
	self, err := actor.SelfOf(ctx)
	if err == nil {
		err = c.to.Send(ctx, []byte(fmt.Sprintf("bye from %s.%d", self.Actor.Name, self.Incarnation)))
	}
	return err
}

// MS-1: an actor sends from its Stop as itself: what it says last comes last.
func TestMS1StopSendsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fs failures
		n := actortest.NewNet(t)
		_, there := n.Add("there", quiet())
		here, ctx := n.Add("here", fs.config())
		port, inbox, err := actor.NewPort[[]byte](there)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := closerType.Spawn(ctx, here.ID(), "closer", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		if err := closerRun.Send(ctx, ref, port); err != nil {
			t.Fatal(err)
		}
		bound, cancel := context.WithTimeout(there, time.Minute)
		defer cancel()
		var got []string
		for range 4 {
			b, err := inbox.Recv(bound)
			if err != nil {
				t.Fatalf("after %q: %v; failed: %v", got, err, fs.all())
			}
			if len(b) > 100 {
				b = []byte("large")
			}
			got = append(got, string(b))
		}
		if want := []string{"large", "large", "large", "bye from closer.1"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
	})
}
