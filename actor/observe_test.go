package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
)

// events are what an Observer was told.
type events struct {
	mu  sync.Mutex // guards the following
	all []string
}

func (e *events) add(what string, m actor.MessageInfo, more ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := m.From.Name
	if from == "" {
		from = m.From.Proc.Name
	}
	e.all = append(e.all, strings.TrimSpace(fmt.Sprintln(append([]any{what, m.Method, from, m.To.Name}, more...)...)))
}

// take returns what there is, in order of the alphabet: hooks are concurrent.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	slices.Sort(all)
	return all
}

func (e *events) observer() *actor.Observer {
	return &actor.Observer{
		Send: func(ctx context.Context, m actor.MessageInfo) context.Context {
			e.add("send", m, m.Size)
			return ctx
		},
		Deliver: func(m actor.MessageInfo) { e.add("deliver", m, m.Size) },
		Handle: func(ctx context.Context, m actor.MessageInfo) context.Context {
			e.add("handle", m, m.Waited)
			return ctx
		},
		Handled: func(_ context.Context, m actor.MessageInfo, took time.Duration, err error) {
			e.add("handled", m, took, err)
		},
		Return: func(m actor.MessageInfo, err error) {
			var u *actor.UndeliverableError
			errors.As(err, &u)
			e.add("return", m, u.Reason)
		},
		Fail: func(f *actor.Failure) { e.add("fail", actor.MessageInfo{To: f.Actor}, f.Err) },
	}
}

func (e *events) want(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	slices.Sort(want)
	if got := e.take(); !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %s\nwant %s", when, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func TestObserveWithinAProc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		p, ctx := actortest.NewProc(t, actor.Config{Observe: e.observer(), OnFailure: func(*actor.Failure) {}})
		ref, err := counterType.WithMailbox(actor.Mailbox{Limit: 1, Full: actor.Refuse}).Spawn(ctx, p.ID(), "c", counterParams{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := slow.Call(ctx, ref, time.Second); err != nil {
			t.Fatal(err)
		}
		e.want(t, "a call", "send counter.slow proc c 0", "deliver counter.slow proc c 0", "handle counter.slow proc c 0s", "handled counter.slow proc c 1s <nil>")

		var wg sync.WaitGroup
		wg.Go(func() { slow.Call(ctx, ref, time.Second) })
		synctest.Wait()
		if err := add.Send(ctx, ref, 1); !errors.Is(err, actor.ErrMailboxFull) {
			t.Fatal(err)
		}
		wg.Wait()
		e.want(t, "a full mailbox", "send counter.slow proc c 0", "deliver counter.slow proc c 0", "handle counter.slow proc c 0s", "handled counter.slow proc c 1s <nil>",
			"send counter.add proc c 0", "return counter.add proc c mailbox full")

		add.Call(ctx, actor.RefOf[*counter](p.ID().Actor("nobody")), 1)
		e.want(t, "nobody", "return counter.add proc nobody no such actor")

		fail.Send(ctx, ref, "x")
		e.want(t, "a handler fails", "send counter.fail proc c 0", "deliver counter.fail proc c 0", "handle counter.fail proc c 0s",
			"handled counter.fail proc c 0s as the test wants", "fail   c as the test wants")

		ref = spawnCounter(t, ctx, p)
		boom.Call(ctx, ref, "x")
		e.want(t, "a handler panics", "send counter.boom proc "+ref.ID().Name+" 0", "deliver counter.boom proc "+ref.ID().Name+" 0", "handle counter.boom proc "+ref.ID().Name+" 0s",
			"handled counter.boom proc "+ref.ID().Name+" 0s actor failed: the handler panicked", "return counter.boom proc "+ref.ID().Name+" actor failed", "fail   "+ref.ID().Name+" panic: boom")
	})
}

// What waits in a mailbox goes back: each message is returned once.
func TestObserveWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		p, ctx := actortest.NewProc(t, actor.Config{Observe: e.observer(), OnUndeliverable: func(actor.Undelivered) {}})
		ref, err := counterType.Spawn(ctx, p.ID(), "c", counterParams{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { slow.Call(ctx, ref, time.Hour) })
		synctest.Wait()
		add.Send(ctx, ref, 1)
		wg.Go(func() { add.Call(ctx, ref, 1) })
		synctest.Wait()
		e.take()
		ref.Stop(ctx, time.Minute)
		wg.Wait()
		stop := func(what string) string { return what + " proc.stop proc agent 0" }
		e.want(t, "stop", stop("send"), stop("deliver"), stop("handle")+"s", stop("handled")+"s <nil>",
			"return counter.add proc c actor stopped", "return counter.add proc c actor stopped", "handled counter.slow proc c 0s context canceled")
	})
}

func TestObserveBetweenProcs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var here, there events
		n := actortest.NewNet(t)
		quiet := func(*actor.Failure) {}
		b, _ := n.Add("there", actor.Config{Types: []actor.AnyType{farType}, Observe: there.observer(), OnFailure: quiet})
		_, ctx := n.Add("here", actor.Config{Observe: here.observer(), OnUndeliverable: func(actor.Undelivered) {}})
		ref := spawnFar(t, ctx, b)
		synctest.Wait()
		here.take()
		there.take()
		farPut.Send(ctx, ref, 1)
		here.want(t, "send", "send far.put here far 1")
		there.want(t, "sent", "deliver far.put here far 1", "handle far.put here far 0s", "handled far.put here far 0s <nil>")

		farLater.Call(ctx, ref, 1)
		here.want(t, "call", "send far.later here far 1")
		there.want(t, "called", "deliver far.later here far 1", "handle far.later here far 0s", "handled far.later here far 0s <nil>")

		nobody := actor.RefOf[*far](b.ID().Actor("nobody"))
		farPut.Send(ctx, nobody, 1)
		farAll.Call(ctx, nobody, actor.None{})
		here.want(t, "nobody", "send far.put here nobody 1", "return far.put here nobody no such actor", "send far.all here nobody 1", "return far.all here nobody no such actor")
		there.want(t, "nobody", "return far.put here nobody no such actor", "return far.all here nobody no such actor")

		farPanic.Call(ctx, ref, 1)
		here.want(t, "panic", "send far.panic here far 1", "return far.panic here far actor failed")
		there.want(t, "panic", "deliver far.panic here far 1", "handle far.panic here far 0s", "handled far.panic here far 0s actor failed: the handler panicked",
			"return far.panic here far actor failed", "fail   far panic: far away")

		ref = spawnFar(t, ctx, b)
		here.take()
		var wg sync.WaitGroup
		wg.Go(func() { farHang.Call(ctx, ref, time.Hour) })
		synctest.Wait()
		n.Cut(b)
		wg.Wait()
		here.want(t, "cut", "send far.hang here far 9", "return far.hang here far peer gone")
	})
}

// A hook may give a message another trace, and a handler another ctx.
func TestObserverChangesContexts(t *testing.T) {
	type key struct{}
	var handled atomic.Value // what Handled has found in the handler's ctx
	o := &actor.Observer{
		Send: func(ctx context.Context, m actor.MessageInfo) context.Context {
			return actor.ContextWithTrace(ctx, someTrace)
		},
		Handle: func(ctx context.Context, m actor.MessageInfo) context.Context {
			if *m.Trace != someTrace {
				t.Errorf("the message has %v", m.Trace)
			}
			return context.WithValue(ctx, key{}, "x")
		},
		Handled: func(ctx context.Context, m actor.MessageInfo, _ time.Duration, _ error) {
			if m.Method == follow.Name() {
				handled.Store(ctx.Value(key{}))
			}
		},
	}
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{hopType}, Observe: o})
		here, ctx := n.Add("here", actor.Config{Observe: o})
		for _, p := range []*actortest.Node{here, there} {
			ref, err := hopType.Spawn(ctx, p.ID(), "hop", actor.None{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := follow.Call(ctx, ref, nil)
			if err != nil || got[1].ID != someTrace.ID {
				t.Errorf("the handler has %v, %v", got, err)
			}
			synctest.Wait()
			if got := handled.Swap(""); got != "x" {
				t.Errorf("Handled has %v of the handler's ctx", got)
			}
		}
	})
}

// A hook that panics, or returns nonsense, loses no message.
func TestObserverThatPanics(t *testing.T) {
	for name, o := range map[string]*actor.Observer{
		"panics": {
			Send:    func(context.Context, actor.MessageInfo) context.Context { panic("send") },
			Deliver: func(actor.MessageInfo) { panic("deliver") },
			Handle:  func(context.Context, actor.MessageInfo) context.Context { panic("handle") },
			Handled: func(context.Context, actor.MessageInfo, time.Duration, error) { panic("handled") },
			Return:  func(actor.MessageInfo, error) { panic("return") },
			Fail:    func(*actor.Failure) { panic("fail") },
		},
		"nil": {
			Send:   func(context.Context, actor.MessageInfo) context.Context { return nil },
			Handle: func(context.Context, actor.MessageInfo) context.Context { return nil },
		},
		"foreign": {
			Send:   func(context.Context, actor.MessageInfo) context.Context { return context.Background() },
			Handle: func(context.Context, actor.MessageInfo) context.Context { return context.Background() },
		},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				n := actortest.NewNet(t)
				failed := 0
				cfg := actor.Config{Types: []actor.AnyType{hopType, farType}, Observe: o, Log: slog.New(slog.NewTextHandler(&out, nil)), OnFailure: func(*actor.Failure) { failed++ }}
				there, _ := n.Add("there", cfg)
				cfg.Log = nil
				_, ctx := n.Add("here", cfg)
				var path hops
				for range 2 {
					ref, err := hopType.Spawn(ctx, there.ID(), "", actor.None{})
					if err != nil {
						t.Fatal(err)
					}
					path = append(path, ref)
				}
				if got, err := follow.Call(actor.ContextWithTrace(ctx, someTrace), path[0], path[1:]); err != nil || len(got) != 4 {
					t.Errorf("call: %v, %v", got, err)
				}
				if _, err := farAll.Call(ctx, actor.RefOf[*far](there.ID().Actor("nobody")), actor.None{}); !errors.Is(err, actor.ErrNoActor) {
					t.Errorf("call of nobody: %v", err)
				}
				if _, err := farPanic.Call(ctx, spawnFar(t, ctx, there), 1); !errors.Is(err, actor.ErrFailed) {
					t.Errorf("a handler that panics: %v", err)
				}
				synctest.Wait()
				if failed != 1 {
					t.Errorf("%d failures, want 1", failed)
				}
				if said := strings.Count(out.String(), "hook panicked"); (said > 0) != (name == "panics" || name == "foreign") {
					t.Errorf("%d panics are logged:\n%s", said, out.String())
				}
			})
		})
	}
}
