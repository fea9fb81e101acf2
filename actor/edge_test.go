package actor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
)

// doer is an actor whose message is what it has to do. It lives in the proc of
// its sender.
type doer struct {
	onEnd  func(ctx context.Context, e actor.End) actor.Verdict
	onStop func(ctx context.Context) error
}

func (d *doer) ChildEnded(ctx context.Context, e actor.End) actor.Verdict {
	if d.onEnd == nil {
		return actor.Handled
	}
	return d.onEnd(ctx, e)
}

func (d *doer) Stop(ctx context.Context) error {
	if d.onStop == nil {
		return nil
	}
	return d.onStop(ctx)
}

type fn func(ctx context.Context) (int, error)

var (
	doFunc   = actor.On("doer.do", func(_ *doer, ctx context.Context, f fn) (int, error) { return f(ctx) })
	doerType = actor.Define("doer", func(_ context.Context, z *doer) (*doer, error) { return z, nil }, doFunc)
)

func newDoer(t *testing.T, ctx context.Context, p *actor.Proc, name string, z *doer) actor.Ref[*doer] {
	t.Helper()
	r, err := doerType.Spawn(ctx, p.ID(), name, z)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seven(context.Context) (int, error) { return 7, nil }

// quiet is a Config that takes failures and returned messages without a word.
func quiet() actor.Config {
	return actor.Config{OnFailure: func(*actor.Failure) {}, OnUndeliverable: func(actor.Undelivered) {}}
}

// quietWith is quiet for procs in which these can be spawned.
func quietWith(ts ...actor.AnyType) actor.Config { c := quiet(); c.Types = ts; return c }

// ctxOther sends from p, and does not end.
func ctxOther(p *actor.Proc) context.Context { return p.Context(context.Background()) }

// A request that the agent refuses does not end it, although nobody waits for the
// answer.
func TestAgentSurvivesBadSends(t *testing.T) {
	twoProcs(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnFar(t, ctx, there)
		if err := actor.StopActor.Send(ctx, there.Agent(), actor.StopRequest{Name: "nobody"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		c, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := actor.Ping.Call(c, there.Agent(), actor.None{})
		_, err2 := farAll.Call(c, ref, actor.None{})
		over := false
		select {
		case <-there.Done():
			over = true
		default:
		}
		if err != nil {
			t.Errorf("ping: %v; actor: %v; proc done: %v", err, err2, over)
		}
	})
}

var farSmall = actor.Define("farsmall", func(_ context.Context, start []int) (*far, error) { return &far{got: start}, nil }, farPut, farAll, farHang).WithMailbox(actor.Mailbox{Limit: 1})

// MS-7: an actor that ends lets go of the procs that it has held back.
func TestMS7EndResumesSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		n.SetDelay(time.Millisecond)
		there, tctx := n.Add("there", quietWith(farSmall))
		_, ctx := n.Add("here", quiet())
		ref, err := farSmall.Spawn(ctx, there.ID(), "far", []int{})
		if err != nil {
			t.Fatal(err)
		}
		farHang.Send(ctx, ref, time.Hour)
		for i := range 3 {
			farPut.Send(ctx, ref, i)
		}
		<-time.After(time.Second)
		if err := ref.Stop(tctx, time.Second); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		c, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		began := time.Now()
		err = farPut.Send(c, ref, 1)
		t.Logf("send to stopped actor: %v after %v", err, time.Since(began))
		if time.Since(began) > time.Minute {
			t.Error("held for ever")
		}
	})
}

// AC-4: the end notice of a grandchild counts once, also when it is passed on.
func TestAC4NoticeCountsOnce(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		qEnded := false
		g := newDoer(t, ctx, p, "g", &doer{onStop: func(context.Context) error {
			if !qEnded {
				t.Error("AC-4: g is cleaned up before its child q ended")
			}
			return nil
		}})
		var pr, k actor.Ref[*doer]
		doFunc.Call(ctx, g, func(ctx context.Context) (int, error) {
			pr = newDoer(t, ctx, p, "p", &doer{})
			newDoer(t, ctx, p, "q", &doer{onStop: func(ctx context.Context) error { <-time.After(2 * time.Second); qEnded = true; return nil }})
			return 0, nil
		})
		doFunc.Call(ctx, pr, func(ctx context.Context) (int, error) { k = newDoer(t, ctx, p, "k", &doer{}); return 0, nil })
		hold := make(chan struct{})
		doFunc.Send(ctx, pr, func(context.Context) (int, error) { <-hold; return 0, nil })
		synctest.Wait()
		k.Stop(ctx, time.Second)  // its notice waits at p
		pr.Stop(ctx, time.Second) // abandoned
		g.Stop(ctx, 20*time.Second)
		close(hold)
	})
}

// A call that is used again is not failed by the actor that had it before.
func TestFailedCallIsNotAnotherOne(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		hold := make(chan struct{})
		a := newDoer(t, ctx, p, "a", &doer{onEnd: func(context.Context, actor.End) actor.Verdict { <-hold; return actor.Handled }})
		b := newDoer(t, ctx, p, "b", &doer{})
		doFunc.Call(ctx, a, func(ctx context.Context) (int, error) { newDoer(t, ctx, p, "k", &doer{}); return 0, nil })
		_, err := doFunc.Call(ctx, a, func(context.Context) (int, error) { panic("x") })
		t.Log(err)
		n, err := doFunc.Call(ctx, b, func(context.Context) (int, error) { <-time.After(time.Minute); return 7, nil })
		if n != 7 || err != nil {
			t.Errorf("call of b: %d, %v", n, err)
		}
		close(hold)
	})
}

// MS-3: what was rejected is not rejected again when the actor is abandoned.
func TestMS3RejectedOnce(t *testing.T) {
	count := map[string]int{}
	cfg := actor.Config{OnFailure: func(*actor.Failure) {}, OnUndeliverable: func(u actor.Undelivered) { count[u.Detail+u.Reason.Error()]++ }}
	inBubble(t, cfg, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		hold, block := make(chan struct{}), make(chan struct{})
		a := newDoer(t, ctx, p, "a", &doer{onStop: func(context.Context) error { <-hold; return nil }})
		b := newDoer(t, ctx, p, "b", &doer{})
		_ = b
		doFunc.Send(ctx, a, func(ctx context.Context) (int, error) { <-block; return 0, nil })
		synctest.Wait()
		doFunc.Send(ctx, a, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil })
		for range 5 {
			doFunc.Send(ctx, a, seven)
		}
		res := make(chan string)
		go func() { // a call that is rejected with the batch; its caller then calls b
			_, err := doFunc.Call(ctx, a, seven)
			n, err2 := doFunc.Call(ctx, b, func(context.Context) (int, error) { <-time.After(time.Minute); return 7, nil })
			if err2 != nil {
				t.Errorf("ABA: the call of b got %d, %v (first: %v)", n, err2, err)
			}
			close(res)
		}()
		synctest.Wait()
		close(block)
		synctest.Wait()
		a.Stop(ctxOther(p), time.Second)
		synctest.Wait()
		t.Log(count)
		total := 0
		for _, n := range count {
			total += n
		}
		if total != 5 {
			t.Errorf("%d returned, 5 were sent", total)
		}
		<-res
		close(hold)
	})
}

// AC-3: a make that does not return is abandoned, and whoever waits is told.
func TestSpawnEndsWithTheProc(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		hold := make(chan struct{})
		ty := actor.Define("hang", func(ctx context.Context, _ int) (*doer, error) { <-hold; return &doer{}, nil }, doFunc)
		back := make(chan error, 1)
		go func() { _, err := ty.Spawn(p.Context(context.Background()), p.ID(), "h", 0); back <- err }()
		synctest.Wait()
		p.Stop(context.Background(), time.Second)
		<-time.After(time.Hour)
		select {
		case err := <-back:
			t.Log(err)
		default:
			t.Error("Spawn still waits an hour after the proc ended")
		}
		close(hold)
	})
}

// Done waits for the children of abandoned actors too.
func TestDoneWaitsForOrphans(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		a := newDoer(t, ctx, p, "a", &doer{})
		var k actor.Ref[*doer]
		hold := make(chan struct{})
		ended := false
		doFunc.Call(ctx, a, func(ctx context.Context) (int, error) {
			k = newDoer(t, ctx, p, "k", &doer{onStop: func(context.Context) error { ended = true; return nil }})
			return 0, nil
		})
		doFunc.Send(ctx, k, func(context.Context) (int, error) { <-hold; return 0, nil })
		doFunc.Send(ctx, a, func(context.Context) (int, error) { <-hold; return 0, nil })
		synctest.Wait()
		p.Stop(context.Background(), time.Second)
		ab := p.Abandoned()
		if !ended && len(ab) < 2 {
			t.Errorf("Done, but k has neither ended nor is it among the abandoned: %v; status %+v", ab, p.Status().Actors)
		}
		<-time.After(time.Minute)
		t.Log(p.Abandoned())
		close(hold)
	})
}

// MS-7: however fast a mailbox fills and empties, a sender in another proc is
// never held back for good.
func TestMS7PauseAndResumeInOrder(t *testing.T) {
	here, there := id.Proc{Host: "h", Name: "here", UID: 1}, id.Proc{Host: "h", Name: "there", UID: 2}
	gw := gateway.New(gateway.Config{Self: here, Token: []byte("test"), Transports: channel.Transports{}})
	from, ctx := actortest.NewProc(t, actor.Config{ID: here, Gateway: gw})
	_, far := actortest.NewProc(t, actor.Config{ID: there, Gateway: gw})
	put := actor.OnSend("doer.put", func(*doer, context.Context, int) error { return nil })
	typ := actor.Define("taker", func(_ context.Context, d *doer) (*doer, error) { return d, nil }, put).WithMailbox(actor.Mailbox{Limit: 1})
	ref, err := typ.Spawn(far, there, "taker", &doer{})
	if err != nil {
		t.Fatal(err)
	}
	bound, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for n := range 200_000 {
		if err := put.Send(bound, ref, n); err != nil {
			t.Fatalf("after %d messages from %v: %v", n, from.ID(), err)
		}
	}
}
