package actor_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

// manyCalls has the end of ctx watched for all calls under it.
func manyCalls(t *testing.T, ctx context.Context, ref actor.Ref[*doer]) {
	t.Helper()
	for range 20 {
		if n, err := doFunc.Call(ctx, ref, seven); n != 7 || err != nil {
			t.Fatalf("got %d, %v; want 7", n, err)
		}
	}
}

// MS-4: all calls under one ctx end with it, those that wait and those that come
// later, and the actor goes on.
func TestCallsEndWithTheirCtx(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, _ context.Context, p *actor.Proc) {
		parent, cancel := context.WithCancelCause(t.Context())
		ctx := p.Context(parent)
		ref := newDoer(t, ctx, p, "d", &doer{})
		manyCalls(t, ctx, ref)
		enough := errors.New("enough")
		hold := make(chan struct{})
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if n, err := doFunc.Call(ctx, ref, func(context.Context) (int, error) { <-hold; return 1, nil }); !errors.Is(err, enough) {
					t.Errorf("got %d, %v; want %v", n, err, enough)
				}
			})
		}
		synctest.Wait()
		cancel(enough)
		calls.Wait()
		if _, err := doFunc.Call(ctx, ref, seven); !errors.Is(err, enough) {
			t.Errorf("afterwards: got %v, want %v", err, enough)
		}
		close(hold)
		manyCalls(t, ctxOther(p), ref)
	})
}

// A call that an actor makes ends with the actor.
func TestCallsEndWithTheirActor(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		asked, asker := newDoer(t, ctx, p, "asked", &doer{}), newDoer(t, ctx, p, "asker", &doer{})
		hold := make(chan struct{})
		defer close(hold)
		ended := make(chan error, 1)
		var call sync.WaitGroup
		call.Go(func() {
			doFunc.Call(ctxOther(p), asker, func(ctx context.Context) (int, error) {
				_, err := doFunc.Call(ctx, asked, func(context.Context) (int, error) { <-hold; return 1, nil })
				ended <- err
				return 0, err
			})
		})
		synctest.Wait()
		if err := asker.Stop(ctx, 0); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil {
			t.Error("the call has an answer")
		}
		call.Wait()
	})
}

// TestAnswersAreTheirOwn ends the ctx of calls while they are answered: nobody
// gets the answer of another call, and no actor waits for a caller who has gone.
func TestAnswersAreTheirOwn(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := newDoer(t, ctx, p, "d", &doer{})
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for range 100 {
					callUntilTheEnd(t, p, ref)
				}
			})
		}
		callers.Wait()
		manyCalls(t, ctx, ref)
	})
}

// callUntilTheEnd calls under a ctx that ends meanwhile.
func callUntilTheEnd(t *testing.T, p *actor.Proc, ref actor.Ref[*doer]) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx := p.Context(parent)
	var end sync.WaitGroup
	defer end.Wait()
	for n := range 30 {
		if n == 20 {
			end.Go(cancel)
		}
		got, err := doFunc.Call(ctx, ref, func(context.Context) (int, error) { return n, nil })
		if got != n && err == nil || err != nil && (n < 20 || !errors.Is(err, context.Canceled)) {
			t.Errorf("call %d got %d, %v", n, got, err)
		}
	}
}

// watchedCtx tells who begins to watch it, and who does no more.
type watchedCtx struct{ done, began, over chan struct{} }

func (c watchedCtx) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c watchedCtx) Done() <-chan struct{}       { return c.done }
func (c watchedCtx) Err() error                  { return nil }
func (c watchedCtx) Value(any) any               { return nil }

func (c watchedCtx) AfterFunc(func()) (stop func() bool) {
	c.began <- struct{}{}
	return func() bool { c.over <- struct{}{}; return true }
}

// A ctx that lives long is not watched for those that were derived from it and are
// not used any more.
func TestUnusedContextsAreForgotten(t *testing.T) {
	cfg := quiet()
	var err error
	if cfg.ID, err = id.NewProc("host", "proc"); err != nil {
		t.Fatal(err)
	}
	p, err := actor.NewProc(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(context.Background(), 0)
	long := watchedCtx{make(chan struct{}), make(chan struct{}, 1), make(chan struct{}, 1)}
	ref := newDoer(t, ctxOther(p), p, "d", &doer{})
	manyCalls(t, p.Context(long), ref)
	<-long.began
	runtime.GC()
	runtime.GC()
	<-long.over
}
