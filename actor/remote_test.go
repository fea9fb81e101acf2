package actor_test

import (
	"context"
	"errors"
	"fmt"
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

// codedError keeps its identity on the wire.
type codedError string

func (e codedError) Error() string     { return "coded: " + string(e) }
func (e codedError) ErrorCode() string { return string(e) }

// far is the actor that others call from another proc.
type far struct{ got []int }

var (
	farPut   = actor.OnSend("far.put", func(f *far, _ context.Context, n int) error { f.got = append(f.got, n); return nil })
	farAll   = actor.On("far.all", func(f *far, _ context.Context, _ actor.None) ([]int, error) { return f.got, nil })
	farFail  = actor.On("far.fail", func(_ *far, _ context.Context, code string) (int, error) { return 0, codedError(code) })
	farPanic = actor.On("far.panic", func(*far, context.Context, int) (int, error) { panic("far away") })
	farHang  = actor.On("far.hang", func(_ *far, ctx context.Context, d time.Duration) (int, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return 1, nil
	})
	farLater = actor.OnDefer("far.later", func(_ *far, ctx context.Context, n int, r actor.Reply[int]) error {
		go r.Send(n + 1)
		return nil
	})
	farStream = actor.OnSend("far.stream", func(_ *far, ctx context.Context, p actor.Port[int]) error {
		for i := range 3 {
			if err := p.Send(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
	farType = actor.Define("far", func(_ context.Context, start []int) (*far, error) {
		if start == nil {
			return nil, codedError("no-start")
		}
		return &far{got: start}, nil
	}, farPut, farAll, farFail, farPanic, farHang, farLater, farStream)
)

// twoProcs runs f with a proc that calls and one that is called.
func twoProcs(t *testing.T, f func(t *testing.T, n *actortest.Net, ctx context.Context, here, there *actortest.Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		n.SetDelay(time.Millisecond)
		quiet := func(*actor.Failure) {}
		there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{farType, counterType}, OnFailure: quiet})
		here, ctx := n.Add("here", actor.Config{OnFailure: quiet})
		f(t, n, ctx, here, there)
	})
}

func spawnFar(t *testing.T, ctx context.Context, p *actortest.Node) actor.Ref[*far] {
	t.Helper()
	ref, err := farType.Spawn(ctx, p.ID(), "far", []int{})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestRemoteSpawnAndCall(t *testing.T) {
	twoProcs(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnFar(t, ctx, there)
		if got, want := ref.ID(), there.ID().Actor("far"); got != want {
			t.Errorf("ref is %v, want %v", got, want)
		}
		if n, err := farLater.Call(ctx, ref, 41); n != 42 || err != nil {
			t.Errorf("deferred: %d, %v", n, err)
		}
		port, in, err := actor.NewPort[int](ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := farStream.Send(ctx, ref, port); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if n, err := in.Recv(ctx); n != i || err != nil {
				t.Errorf("stream: got %d, %v; want %d", n, err, i)
			}
		}
	})
}

// MS-3, MS-4: what comes back when a message is not handled.
func TestMS4RemoteErrors(t *testing.T) {
	twoProcs(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnFar(t, ctx, there)
		nobody := actor.RefOf[*far](there.ID().Actor("nobody"))
		elsewhere := actor.RefOf[*far](here.ID().Actor("far"))
		for _, tt := range []struct {
			name string
			err  error
			want error
		}{
			{"handler's error", second(farFail.Call(ctx, ref, "x1")), codedError("x1")},
			{"no actor", second(farAll.Call(ctx, nobody, actor.None{})), actor.ErrNoActor},
			{"no actor here", second(farAll.Call(ctx, elsewhere, actor.None{})), actor.ErrNoActor},
			{"no method", second(add.Call(ctx, actor.RefOf[*counter](ref.ID()), 1)), actor.ErrNoMethod},
			{"malformed", second(actor.On("far.later", func(*far, context.Context, string) (int, error) { return 0, nil }).Call(ctx, ref, "x")), actor.ErrMalformed},
			{"panic", second(farPanic.Call(ctx, ref, 1)), actor.ErrFailed},
			{"spawn: no type", second(parentType.Spawn(ctx, there.ID(), "p", &parent{})), actor.ErrNoType},
			{"spawn: make fails", second(farType.Spawn(ctx, there.ID(), "f", nil)), codedError("no-start")},
			{"spawn: name taken", second(farType.Spawn(ctx, there.ID(), "agent", []int{})), actor.ErrNameTaken},
		} {
			if !errors.Is(tt.err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
			}
		}
		ref = spawnFar(t, ctx, there) // the first one has panicked
		_, err := farFail.Call(ctx, ref, strings.Repeat("x", 300))
		if r, ok := errors.AsType[*actor.RemoteError](err); !ok || r.Code != "error" {
			t.Errorf("an error with a code that is too long for the wire: %v", err)
		}
		_, err = farFail.Call(ctx, ref, "x1")
		if r, ok := errors.AsType[*actor.RemoteError](err); !ok || r.Text != "coded: x1" || !strings.Contains(err.Error(), "remote") || errors.Is(err, codedError("x2")) {
			t.Errorf("a remote error is %#v", err)
		}
	})
}

// MS-3: a Send that is not handled comes back to its sender: an actor with a
// method for it, or the proc's hook.
func TestMS3RemoteUndeliverable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{farType}})
		var hook []actor.Undelivered
		here, ctx := n.Add("here", actor.Config{OnUndeliverable: func(u actor.Undelivered) { hook = append(hook, u) }})
		nobody := there.ID().Actor("nobody")
		if err := farPut.Send(ctx, actor.RefOf[*far](nobody), 1); err != nil {
			t.Fatal(err)
		}
		var got []actor.Undelivered
		ref, err := mailerType.Spawn(ctx, here.ID(), "mailer", &got)
		if err != nil {
			t.Fatal(err)
		}
		if err := mail.Send(ctx, ref, actor.RefOf[*far](nobody)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := []actor.Undelivered{{To: nobody, Method: "far.put", Reason: actor.ErrNoActor}}
		if !slices.Equal(hook, want) || !slices.Equal(got, want) {
			t.Errorf("the hook has %v, the actor %v; want both %v", hook, got, want)
		}
	})
}

// mailer sends a message and keeps what comes back.
type mailer struct{ got *[]actor.Undelivered }

func (m *mailer) Undeliverable(_ context.Context, u actor.Undelivered) { *m.got = append(*m.got, u) }

var (
	mail = actor.OnSend("mailer.mail", func(_ *mailer, ctx context.Context, to actor.Ref[*far]) error {
		return farPut.Send(ctx, to, 1)
	})
	mailerType = actor.Define("mailer", func(_ context.Context, got *[]actor.Undelivered) (*mailer, error) { return &mailer{got}, nil }, mail)
)

// MS-1: the messages of one sender arrive in order, each once; MS-7: also when
// the receiver is slow and its mailbox small.
func TestMS1RemoteOrder(t *testing.T) {
	for _, box := range []actor.Mailbox{{}, {Limit: 4}} {
		t.Run(fmt.Sprint("limit ", box.Limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := actortest.NewNet(t)
				there, _ := net.Add("there", actor.Config{Types: []actor.AnyType{farType.WithMailbox(box)}})
				_, ctx := net.Add("here", actor.Config{})
				ref := spawnFar(t, ctx, there)
				const senders, each = 5, 400
				var wg sync.WaitGroup
				for s := range senders {
					sctx := context.WithoutCancel(ctx)
					wg.Go(func() {
						for i := range each {
							if err := farPut.Send(sctx, ref, s*each+i); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				got, err := farAll.Call(ctx, ref, actor.None{})
				if err != nil || len(got) != senders*each {
					t.Fatalf("%d messages, %v; want %d", len(got), err, senders*each)
				}
				last := map[int]int{}
				for _, n := range got {
					if n%each < last[n/each] {
						t.Fatalf("sender %d: %d after %d", n/each, n%each, last[n/each])
					}
					last[n/each] = n % each
				}
			})
		})
	}
}

// MS-7: a full mailbox in another proc holds its senders back, and nobody else.
func TestMS7RemoteBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := actortest.NewNet(t)
		there, _ := net.Add("there", actor.Config{Types: []actor.AnyType{farType.WithMailbox(actor.Mailbox{Limit: 10}), counterType}})
		_, ctx := net.Add("here", actor.Config{})
		ref := spawnFar(t, ctx, there)
		other, err := counterType.Spawn(ctx, there.ID(), "other", counterParams{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { farHang.Call(ctx, ref, time.Minute) })
		synctest.Wait()
		start := time.Now()
		var sent atomic.Int64
		wg.Go(func() {
			for range 1000 {
				if err := farPut.Send(ctx, ref, int(sent.Load())); err != nil {
					t.Error(err)
				}
				sent.Add(1)
				synctest.Wait() // let the answer to this one arrive
			}
		})
		if n, err := add.Call(ctx, other, 1); n != 1 || err != nil || time.Since(start) > time.Second {
			t.Errorf("another actor of the proc: %d, %v after %v", n, err, time.Since(start))
		}
		<-time.After(30 * time.Second)
		if n := sent.Load(); n < 9 || n > 20 {
			t.Errorf("%d messages were taken for a mailbox of 10", n)
		}
		wg.Wait()
		got, err := farAll.Call(ctx, ref, actor.None{})
		if len(got) != 1000 || !slices.IsSorted(got) || err != nil {
			t.Errorf("%d messages arrived, sorted: %v, %v", len(got), slices.IsSorted(got), err)
		}
	})
}

// MS-4: a call to a proc that cannot be reached any more ends when it is certain
// that nobody listens there.
func TestMS4PeerGone(t *testing.T) {
	twoProcs(t, func(t *testing.T, net *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnFar(t, ctx, there)
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() {
			if _, err := farHang.Call(ctx, ref, time.Hour); !errors.Is(err, actor.ErrPeerGone) {
				t.Errorf("pending call: %v, want ErrPeerGone", err)
			}
			if d := time.Since(start); d > 7*time.Second {
				t.Errorf("took %v", d)
			}
		})
		synctest.Wait()
		net.Cut(there)
		wg.Wait()
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := farPut.Send(short, ref, 1); err == nil {
			t.Error("send over a cut network was accepted")
		}
		net.Heal(there)
		if _, err := farAll.Call(ctx, ref, actor.None{}); err != nil {
			t.Errorf("after the network healed: %v", err)
		}
	})
}

// PM-5 for procs: when a proc drains, calls that wait for its actors have an end.
func TestDrainThroughTheAgent(t *testing.T) {
	twoProcs(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnFar(t, ctx, there)
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := farHang.Call(ctx, ref, time.Second); n != 1 || err != nil {
				t.Errorf("a call that was being handled: %d, %v", n, err)
			}
		})
		synctest.Wait()
		d, err := actor.DrainProc.Call(ctx, there.Agent(), actor.DrainRequest{Budget: time.Minute, Reason: "test"})
		if err != nil || len(d.Abandoned) != 0 {
			t.Errorf("drain: %v, %v", d, err)
		}
		wg.Wait()
		<-there.Done()
		if err := there.Err(); err != nil {
			t.Errorf("a drained proc ended with %v", err)
		}
		if _, err := farAll.Call(ctx, ref, actor.None{}); err == nil {
			t.Error("a call to a proc that has ended succeeded")
		}
	})
}

// Who gives a Spawn in another proc up leaves no actor there: it is stopped when
// it was made, and its name is free again.
func TestSpawnGivenUp(t *testing.T) {
	slow := actor.Define("slow", func(context.Context, actor.None) (*far, error) {
		<-time.After(time.Second) // and does not look at its ctx
		return &far{}, nil
	}, farAll)
	for _, name := range []string{"named", ""} {
		t.Run(fmt.Sprintf("name %q", name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := actortest.NewNet(t)
				there, _ := n.Add("there", quietWith(slow))
				_, ctx := n.Add("here", quiet())
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				if _, err := slow.Spawn(short, there.ID(), name, actor.None{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the end of ctx", err)
				}
				<-time.After(5 * time.Second)
				for _, a := range there.Status().Actors {
					if a.Type == "slow" {
						t.Errorf("actor %q is still there", a.Name)
					}
				}
				if _, err := slow.Spawn(ctx, there.ID(), name, actor.None{}); err != nil {
					t.Errorf("the next one: %v", err)
				}
			})
		})
	}
}

// A caller whose process takes nothing holds up nobody but itself: the actor that
// has answered it goes on to others, and the answers wait for the caller.
func TestAnswersOfAStuckCaller(t *testing.T) {
	const calls, size = 20, 1 << 20
	large := actor.On("far.large", func(_ *far, _ context.Context, n int) ([]byte, error) { return make([]byte, n), nil })
	typ := actor.Define("large", func(context.Context, actor.None) (*far, error) { return &far{}, nil }, farHang, large)
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, tctx := n.Add("there", quietWith(typ))
		_, ctx := n.Add("here", quiet())
		ref, err := typ.Spawn(tctx, there.ID(), "far", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { farHang.Call(ctx, ref, time.Second) })
		synctest.Wait()
		for range calls {
			wg.Go(func() {
				if b, err := large.Call(ctx, ref, size); len(b) != size || err != nil {
					t.Errorf("an answer of %d bytes, %v; want %d", len(b), err, size)
				}
			})
		}
		synctest.Wait()
		n.Cut(there) // the session takes 4 MiB more, and waits
		begin := time.Now()
		if _, err := farHang.Call(tctx, ref, 0); err != nil || time.Since(begin) > time.Second {
			t.Errorf("another caller is answered after %v: %v", time.Since(begin), err)
		}
		if s := there.Status(); s.Posted != 1 || s.Lost != 0 {
			t.Errorf("answers wait for %d procs, %d are lost; want 1 and 0", s.Posted, s.Lost)
		}
		n.Heal(there)
		wg.Wait()
	})
}
