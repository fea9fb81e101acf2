package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

// inBubble runs f with a proc of its own, in virtual time.
func inBubble(t *testing.T, cfg actor.Config, f func(t *testing.T, ctx context.Context, p *actor.Proc)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if cfg.ID, err = id.NewProc("host", "proc"); err != nil {
			t.Fatal(err)
		}
		p, err := actor.NewProc(cfg)
		if err != nil {
			t.Fatal(err)
		}
		f(t, p.Context(t.Context()), p)
		if err := p.Stop(context.Background(), 10*time.Second); err != nil {
			t.Error(err)
		}
	})
}

func spawn(t *testing.T, ctx context.Context, p *actor.Proc, name string) actor.Ref[*counter] {
	t.Helper()
	ref, err := counterType.Spawn(ctx, p.ID(), name, counterParams{Start: 40})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestCallAndSend(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "c1")
		if err := add.Send(ctx, ref, 1); err != nil {
			t.Fatal(err)
		}
		if n, err := add.Call(ctx, ref, 1); n != 42 || err != nil {
			t.Fatalf("got %d, %v; want 42", n, err)
		}
		if got, want := ref.ID(), p.ID().Actor("c1"); got != want {
			t.Errorf("ref is %v, want %v", got, want)
		}
	})
}

func TestPortAndInbox(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "")
		port, in, err := actor.NewPort[int](ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Send(ctx, ref, port); err != nil {
			t.Fatal(err)
		}
		if n, err := in.Recv(ctx); n != 40 || err != nil {
			t.Fatalf("got %d, %v; want 40", n, err)
		}
		if err := add.Port(ref).Send(ctx, 2); err != nil { // the port of a method
			t.Fatal(err)
		}
		if n, err := add.Call(ctx, ref, 0); n != 42 || err != nil {
			t.Fatalf("got %d, %v; want 42", n, err)
		}
		in.Close()
		if _, err := in.Recv(ctx); !errors.Is(err, actor.ErrClosed) {
			t.Errorf("Recv on a closed inbox: %v", err)
		}
	})
}

func TestErrors(t *testing.T) {
	inBubble(t, actor.Config{OnFailure: func(*actor.Failure) {}}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "c1")
		missing := actor.RefOf[*counter](p.ID().Actor("missing"))
		far := actor.RefOf[*counter](id.Proc{Host: "else", Name: "where", UID: 1}.Actor("c"))
		unlisted := actor.On("counter.unlisted", (*counter).Add)
		for _, tt := range []struct {
			name string
			err  error
			want error
		}{
			{"no actor", add.Send(ctx, missing, 1), actor.ErrNoActor},
			{"no actor, call", second(add.Call(ctx, missing, 1)), actor.ErrNoActor},
			{"no route", add.Send(ctx, far, 1), actor.ErrNoRoute},
			{"no route, call", second(add.Call(ctx, far, 1)), actor.ErrNoRoute},
			{"not in the type's list", unlisted.Send(ctx, ref, 1), actor.ErrNoMethod},
			{"port of another type", actor.PortOf[string](ref.ID().Port("counter.add")).Send(ctx, "x"), actor.ErrNoMethod},
			{"no proc in ctx", add.Send(t.Context(), ref, 1), actor.ErrNoProc},
			{"name taken", second(counterType.Spawn(ctx, p.ID(), "c1", counterParams{})), actor.ErrNameTaken},
			{"name of ours", second(counterType.Spawn(ctx, p.ID(), "_1", counterParams{})), actor.ErrNameTaken},
			{"bad name", second(counterType.Spawn(ctx, p.ID(), "a/b", counterParams{})), id.ErrSyntax},
			{"make fails", second(counterType.Spawn(ctx, p.ID(), "c2", counterParams{Start: -1})), errTest},
			{"panic", second(boom.Call(ctx, ref, "")), actor.ErrFailed},
		} {
			if !errors.Is(tt.err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// AC-1: one handler at a time, in the order sent; MS-1.
func TestAC1OneAtATimeInOrder(t *testing.T) {
	var order []int
	var busy bool
	put := actor.OnSend("log.put", func(_ *struct{}, _ context.Context, n int) error {
		if busy {
			return errors.New("two handlers at once")
		}
		busy = true
		runtime.Gosched()
		busy = false
		order = append(order, n)
		return nil
	})
	logType := actor.Define("log", func(context.Context, actor.None) (*struct{}, error) { return &struct{}{}, nil }, put)
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref, err := logType.Spawn(ctx, p.ID(), "log", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		const n = 5000
		for i := range n {
			if err := put.Send(ctx, ref, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := ref.Drain(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if len(order) != n || !slices.IsSorted(order) {
			t.Errorf("%d of %d messages, sorted: %v", len(order), n, slices.IsSorted(order))
		}
	})
}

// MS-4, PH-13 for actors: ctx bounds the caller's wait.
func TestMS4CallEndsWithCtx(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "c1")
		short, cancel := context.WithTimeoutCause(ctx, time.Second, errTest)
		defer cancel()
		start := time.Now()
		if _, err := slow.Call(short, ref, time.Hour); !errors.Is(err, errTest) {
			t.Errorf("got %v, want the cause of ctx", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v, want 1s", d)
		}
	})
}

// AC-2: Stop returns what waits to its senders; Drain handles it.
func TestAC2StopAndDrain(t *testing.T) {
	var returned []actor.Undelivered
	var mu sync.Mutex
	cfg := actor.Config{OnUndeliverable: func(u actor.Undelivered) {
		mu.Lock()
		defer mu.Unlock()
		returned = append(returned, u)
	}}
	inBubble(t, cfg, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "c1")
		slow.Send(ctx, ref, time.Second)
		synctest.Wait() // the handler runs
		for range 10 {
			add.Send(ctx, ref, 1)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := add.Call(ctx, ref, 1); !errors.Is(err, actor.ErrStopped) {
				t.Errorf("a call in the queue of a stopped actor: %v", err)
			}
		})
		synctest.Wait()
		if err := ref.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if len(returned) != 10 || returned[0].Reason != actor.ErrStopped || returned[0].To != ref.ID() || returned[0].Method != "counter.add" {
			t.Errorf("returned %v, want 10 times counter.add", returned)
		}

		ref = spawn(t, ctx, p, "c1") // the name is free again
		slow.Send(ctx, ref, time.Second)
		port, in, err := actor.NewPort[int](ctx)
		if err != nil {
			t.Fatal(err)
		}
		add.Send(ctx, ref, 2)
		watch.Send(ctx, ref, port)
		wg.Go(func() {
			if n, err := in.Recv(ctx); n != 42 || err != nil {
				t.Errorf("after the drain: %d, %v; want 42", n, err)
			}
		})
		if err := ref.Drain(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if len(returned) != 10 {
			t.Errorf("a drain returned %v", returned[10:])
		}
	})
}

// AC-3: a handler that ignores its ctx is abandoned at the bound and reported
// with its stack.
func TestAC3Abandon(t *testing.T) {
	let := make(chan struct{}) // closed by the test at its end
	stubborn := actor.OnSend("stubborn.ignore", func(_ *struct{}, _ context.Context, c chan struct{}) error {
		<-c
		return nil
	})
	noop := actor.On("stubborn.noop", func(*struct{}, context.Context, int) (int, error) { return 0, nil })
	typ := actor.Define("stubborn", func(context.Context, actor.None) (*struct{}, error) { return &struct{}{}, nil }, stubborn, noop)
	var got *actor.Failure
	inBubble(t, actor.Config{OnFailure: func(f *actor.Failure) { got = f }}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		let = make(chan struct{})
		ref, err := typ.Spawn(ctx, p.ID(), "s", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		stubborn.Send(ctx, ref, let)
		var wg sync.WaitGroup
		for range 3 { // taken with the first, or waiting
			wg.Go(func() {
				if _, err := noop.Call(ctx, ref, 1); !errors.Is(err, actor.ErrStopped) && !errors.Is(err, actor.ErrFailed) {
					t.Errorf("a call behind the stuck handler: %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := ref.Stop(ctx, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("took %v, want the whole budget of 3s", d)
		}
		synctest.Wait()
		if got == nil || !errors.Is(got, actor.ErrAbandoned) || !strings.Contains(got.Stack, "TestAC3Abandon") {
			t.Errorf("failure %+v, want ErrAbandoned with the handler's stack", got)
		}
		if a := p.Abandoned(); len(a) != 1 || a[0] != ref.ID() {
			t.Errorf("abandoned %v, want %v", a, ref)
		}
		if err := add.Send(ctx, actor.RefOf[*counter](ref.ID()), 1); !errors.Is(err, actor.ErrNoActor) {
			t.Errorf("send to an abandoned actor: %v", err)
		}
		close(let)
	})
}

func TestGoexitFailsTheActor(t *testing.T) {
	leave := actor.On("leaver.leave", func(*struct{}, context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	typ := actor.Define("leaver", func(context.Context, actor.None) (*struct{}, error) { return &struct{}{}, nil }, leave)
	inBubble(t, actor.Config{OnFailure: func(*actor.Failure) {}}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref, err := typ.Spawn(ctx, p.ID(), "l", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leave.Call(ctx, ref, 0); !errors.Is(err, actor.ErrFailed) {
			t.Errorf("got %v, want ErrFailed", err)
		}
	})
}

// AC-11: the agent answers while an actor is stuck.
func TestAC11AgentAnswers(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "c1")
		slow.Send(ctx, ref, time.Hour)
		synctest.Wait()
		s, err := actor.StatusOf.Call(ctx, p.Agent(), actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		want := []actor.ActorStatus{{Name: "agent", Type: "agent", Busy: true, Incarnation: 1}, {Name: "c1", Type: "counter", Parent: "agent", Busy: true, Incarnation: 1}}
		if !slices.Equal(s.Actors, want) {
			t.Errorf("status %+v, want %+v", s.Actors, want)
		}
	})
}

// stuck returns an actor with room for three messages that is busy for a second
// and has two more waiting.
func stuck(t *testing.T, ctx context.Context, p *actor.Proc, full actor.Full) actor.Ref[*counter] {
	t.Helper()
	ref, err := counterType.WithMailbox(actor.Mailbox{Limit: 3, Full: full}).Spawn(ctx, p.ID(), "", counterParams{})
	if err != nil {
		t.Fatal(err)
	}
	slow.Send(ctx, ref, time.Second)
	synctest.Wait()
	for i := range 2 {
		if err := add.Send(ctx, ref, 1+i); err != nil {
			t.Fatal(err)
		}
	}
	return ref
}

// MS-7: a full mailbox makes the sender wait, bounded by its ctx.
func TestMS7Wait(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := stuck(t, ctx, p, actor.Wait)
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if err := add.Send(short, ref, 4); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of ctx", err)
		}
		start := time.Now()
		if err := add.Send(ctx, ref, 4); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second-time.Millisecond {
			t.Errorf("waited %v, want until the handler returned", d)
		}
		if n, err := add.Call(ctx, ref, 0); n != 7 || err != nil {
			t.Errorf("got %d, %v; want 7", n, err)
		}
	})
}

// MS-7: or refuses.
func TestMS7Refuse(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := stuck(t, ctx, p, actor.Refuse)
		if err := add.Send(ctx, ref, 4); !errors.Is(err, actor.ErrMailboxFull) {
			t.Errorf("got %v, want ErrMailboxFull", err)
		}
	})
}

// MS-7: or drops the oldest, whose sender is told.
func TestMS7DropOldest(t *testing.T) {
	var returned []actor.Undelivered
	cfg := actor.Config{OnUndeliverable: func(u actor.Undelivered) { returned = append(returned, u) }}
	inBubble(t, cfg, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := stuck(t, ctx, p, actor.DropOldest)
		if err := add.Send(ctx, ref, 4); err != nil {
			t.Fatal(err)
		}
		if len(returned) != 1 || returned[0].Reason != actor.ErrMailboxFull {
			t.Errorf("returned %v, want one", returned)
		}
		<-time.After(2 * time.Second)                              // until there is room
		if n, err := add.Call(ctx, ref, 0); n != 6 || err != nil { // 1 was dropped
			t.Errorf("got %d, %v; want 6", n, err)
		}
	})
}

// AC-1: timers come before the messages of users.
func TestTimer(t *testing.T) {
	var order []string
	type ticker struct{}
	note := actor.OnSend("ticker.note", func(_ *ticker, _ context.Context, s string) error { order = append(order, s); return nil })
	begin := actor.OnSend("ticker.begin", func(_ *ticker, ctx context.Context, d time.Duration) error {
		if _, err := note.After(ctx, d, "timer"); err != nil {
			return err
		}
		stop, err := note.After(ctx, d, "stopped timer")
		stop()
		<-time.After(2 * d) // messages queue up behind this handler
		return err
	})
	typ := actor.Define("ticker", func(context.Context, actor.None) (*ticker, error) { return &ticker{}, nil }, note, begin)
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref, err := typ.Spawn(ctx, p.ID(), "t", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		begin.Send(ctx, ref, time.Second)
		note.Send(ctx, ref, "user")
		if err := ref.Drain(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		if want := []string{"timer", "user"}; !slices.Equal(order, want) {
			t.Errorf("order %q, want %q", order, want)
		}
		if _, err := note.After(ctx, time.Second, "x"); err == nil {
			t.Error("a timer outside any actor was accepted")
		}
	})
}

// A deferred reply answers later; a caller is told when the actor ends first.
func TestDeferredReply(t *testing.T) {
	type desk struct{ open []actor.Reply[string] }
	ask := actor.OnDefer("desk.ask", func(d *desk, _ context.Context, _ string, r actor.Reply[string]) error {
		d.open = append(d.open, r)
		return nil
	})
	answer := actor.On("desk.answer", func(d *desk, _ context.Context, s string) (int, error) {
		n := len(d.open)
		for _, r := range d.open {
			if err := r.Send(s); err != nil {
				return 0, err
			}
			if err := r.Send(s); !errors.Is(err, actor.ErrAnswered) {
				return 0, fmt.Errorf("second answer: %v", err)
			}
		}
		d.open = nil
		return n, nil
	})
	typ := actor.Define("desk", func(context.Context, actor.None) (*desk, error) { return &desk{}, nil }, ask, answer)
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref, err := typ.Spawn(ctx, p.ID(), "d", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var got string
		wg.Go(func() { got, err = ask.Call(ctx, ref, "") })
		synctest.Wait()
		if n, err := answer.Call(ctx, ref, "later"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		wg.Wait()
		if got != "later" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		wg.Go(func() { got, err = ask.Call(ctx, ref, "") })
		synctest.Wait()
		if err := ref.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if !errors.Is(err, actor.ErrStopped) {
			t.Errorf("the actor ended without an answer: %v", err)
		}
	})
}

// Every message has exactly one outcome, whatever happens to the actor (MS-3).
func TestMS3OneOutcomeEach(t *testing.T) {
	var mu sync.Mutex
	outcomes := map[string]int{}
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		outcomes[what]++
	}
	type worker struct{}
	do := actor.OnSend("worker.do", func(_ *worker, _ context.Context, n int) error {
		count("handled")
		if n%97 == 0 {
			panic("as the test wants")
		}
		return nil
	})
	typ := actor.Define("worker", func(context.Context, actor.None) (*worker, error) { return &worker{}, nil }, do)
	cfg := actor.Config{OnFailure: func(*actor.Failure) {}, OnUndeliverable: func(actor.Undelivered) { count("returned") }}
	inBubble(t, cfg, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		const senders, each = 8, 500
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for n := range each {
					typ.Spawn(ctx, p.ID(), "w", actor.None{}) // again and again, under one name
					if err := do.Send(ctx, actor.RefOf[*worker](p.ID().Actor("w")), n); err != nil {
						count("refused")
					}
				}
			})
		}
		wg.Wait()
		if err := p.Drain(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		if total := outcomes["handled"] + outcomes["returned"] + outcomes["refused"]; total != senders*each {
			t.Errorf("%d messages, %d outcomes: %v", senders*each, total, outcomes)
		}
		t.Log(outcomes)
	})
}

func TestHandlerContext(t *testing.T) {
	type waiter struct{}
	wait := actor.On("waiter.wait", func(_ *waiter, ctx context.Context, _ int) (bool, error) {
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		stop := context.AfterFunc(derived, func() {})
		defer stop()
		<-derived.Done()
		return errors.Is(derived.Err(), context.Canceled), nil
	})
	typ := actor.Define("waiter", func(context.Context, actor.None) (*waiter, error) { return &waiter{}, nil }, wait)
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref, err := typ.Spawn(ctx, p.ID(), "w", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var cancelled bool
		wg.Go(func() { cancelled, err = wait.Call(ctx, ref, 0) })
		synctest.Wait()
		start := time.Now()
		if err := ref.Stop(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if !cancelled || err != nil || time.Since(start) != 0 {
			t.Errorf("a derived ctx ended: %v (%v) after %v; want at once, with the actor's stop", cancelled, err, time.Since(start))
		}
	})
}

// AC-12: an idle actor costs no goroutine and under 500 bytes.
func TestAC12IdleActor(t *testing.T) {
	name, err := id.NewProc("host", "proc")
	if err != nil {
		t.Fatal(err)
	}
	p, err := actor.NewProc(actor.Config{ID: name})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(context.Background(), time.Minute)
	ctx := p.Context(t.Context())
	const n = 20_000
	before, goroutines := heap(), runtime.NumGoroutine()
	for range n {
		spawn(t, ctx, p, "")
	}
	if bytes := (heap() - before) / n; bytes >= 500 {
		t.Errorf("an idle actor costs %d bytes", bytes)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 100 { // workers that wait for the next actor
		t.Errorf("%d idle actors have %d goroutines", n, more)
	}
}
