package actor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
)

// sentry watches actors, and notes what it is told. It lives in the proc of its
// sender.
type sentry struct {
	mu    sync.Mutex // guards the following
	heard []string
	downs []actor.Down
}

func (s *sentry) Down(_ context.Context, d actor.Down) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, fmt.Sprintf("%s: %s", d.Actor.Name, d.Reason.Error()))
	s.downs = append(s.downs, d)
	return nil
}

func (s *sentry) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, what)
}

// told waits until nothing happens any more, and returns what was noted.
func (s *sentry) told() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

type sentryTask func(ctx context.Context, s *sentry) error

var (
	sentryDo   = actor.OnSend("sentry.do", func(s *sentry, ctx context.Context, f sentryTask) error { return f(ctx, s) })
	sentryPut  = actor.OnSend("sentry.put", func(s *sentry, _ context.Context, n int) error { s.note(fmt.Sprint(n)); return nil })
	sentryType = actor.Define("sentry", func(_ context.Context, s *sentry) (*sentry, error) { return s, nil }, sentryDo, sentryPut)
)

// newSentry starts a sentry, and returns what has it do something.
func newSentry(t *testing.T, ctx context.Context, p *actor.Proc, name string) (*sentry, actor.Ref[*sentry], func(sentryTask) error) {
	t.Helper()
	s := &sentry{}
	ref, err := sentryType.Spawn(ctx, p.ID(), name, s)
	if err != nil {
		t.Fatal(err)
	}
	return s, ref, func(f sentryTask) error { return second(sentryDo.Call(ctx, ref, f)) }
}

func watching[A any](ref actor.Ref[A]) sentryTask {
	return func(ctx context.Context, _ *sentry) error { return second(actor.Watch(ctx, ref)) }
}

func expect(t *testing.T, s *sentry, want ...string) {
	t.Helper()
	if got := s.told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// inEach runs f with a target's proc that is the watcher's own, and with one
// elsewhere.
func inEach(t *testing.T, f func(t *testing.T, n *actortest.Net, ctx context.Context, here, there *actortest.Node)) {
	t.Helper()
	for _, where := range []string{"here", "there"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := actortest.NewNet(t)
				n.SetDelay(time.Millisecond)
				here, ctx := n.Add("here", quietWith(counterType, farType, chainType))
				there := here
				if where == "there" {
					there, _ = n.Add("there", quietWith(counterType, farType, chainType))
				}
				f(t, n, ctx, here, there)
			})
		})
	}
}

// AC-10: each end is told once, with its reason, also when there is nobody.
func TestAC10Watch(t *testing.T) {
	inEach(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		s, _, do := newSentry(t, ctx, here.Proc, "s")
		clean, failing := spawnIn(t, ctx, there, "clean"), spawnIn(t, ctx, there, "failing")
		nobody := actor.RefOf[*counter](there.ID().Actor("nobody"))
		for _, ref := range []actor.Ref[*counter]{clean, failing} {
			if err := do(watching(ref)); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, s)
		if err := clean.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		expectSoon(t, s, "clean: actor stopped")
		if err := fail.Send(ctx, failing, ""); err != nil {
			t.Fatal(err)
		}
		expectSoon(t, s, "clean: actor stopped", "failing: actor failed")
		if err := do(watching(nobody)); err != nil {
			t.Fatal(err)
		}
		expectSoon(t, s, "clean: actor stopped", "failing: actor failed", "nobody: no such actor")
		d := s.downs[1]
		if d.Clean() || !errors.Is(d.Err, actor.ErrFailed) || d.Monitor.Actor() != failing.ID() || d.Monitor.Stop() {
			t.Errorf("down %+v", d)
		}
		if f, ok := errors.AsType[*actor.Failure](d.Err); ok != (here == there) || ok && !errors.Is(f, errTest) {
			t.Errorf("the failure is %v", f)
		}
		if r, ok := errors.AsType[*actor.RemoteError](d.Err); ok != (here != there) {
			t.Errorf("the remote error is %v", r)
		}
		if first := s.downs[0]; !first.Clean() || first.Err != nil {
			t.Errorf("down %+v, want a clean one", first)
		}
	})
}

func spawnIn(t *testing.T, ctx context.Context, p *actortest.Node, name string) actor.Ref[*counter] {
	t.Helper()
	ref, err := counterType.Spawn(ctx, p.ID(), name, counterParams{})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// expectSoon is expect after the time that messages take.
func expectSoon(t *testing.T, s *sentry, want ...string) {
	t.Helper()
	<-time.After(time.Second)
	expect(t, s, want...)
}

// AC-10: who stops watching is not told, even if the actor has ended already;
// who watches twice is told twice.
func TestAC10Stop(t *testing.T) {
	inEach(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		s, _, do := newSentry(t, ctx, here.Proc, "s")
		ref := spawnIn(t, ctx, there, "c")
		err := do(func(ctx context.Context, s *sentry) error {
			var all [4]actor.Monitor
			for i := range all {
				var err error
				if all[i], err = actor.Watch(ctx, ref); err != nil {
					return err
				}
			}
			if all[0] == all[1] || !all[0].Stop() || all[0].Stop() {
				t.Error("the first monitor was not stopped, once")
			}
			if err := ref.Stop(ctx, time.Second); err != nil {
				return err
			}
			<-time.After(time.Second) // both have been told: it waits until this handler returns
			if !all[1].Stop() {
				t.Error("the second one was not stopped in time")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		expectSoon(t, s, "c: actor stopped", "c: actor stopped")
	})
}

// AC-10: what the watched actor sent is handled before the news of its end, also
// when it found no room.
func TestAC10DownComesLast(t *testing.T) {
	inEach(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		s, ref, do := newSentry(t, ctx, here.Proc, "s")
		talker, err := farType.Spawn(ctx, there.ID(), "talker", []int{})
		if err != nil {
			t.Fatal(err)
		}
		port := sentryPut.Port(ref)
		err = do(func(ctx context.Context, _ *sentry) error {
			if _, err := actor.Watch(ctx, talker); err != nil {
				return err
			}
			if err := farStream.Send(ctx, talker, port); err != nil {
				return err
			}
			<-time.After(time.Second)
			if err := talker.Stop(ctx, time.Second); err != nil {
				return err
			}
			<-time.After(time.Second)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		expectSoon(t, s, "0", "1", "2", "talker: actor stopped")
	})
}

// AC-10: the end of a proc is told to those who watch its actors or its agent,
// with the cause, and so is a proc that cannot be found.
func TestAC10Gone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", quietWith(counterType))
		here, ctx := n.Add("here", quiet())
		s, _, do := newSentry(t, ctx, here.Proc, "s")
		ref := spawnIn(t, ctx, there, "c")
		for _, f := range []sentryTask{watching(ref), watching(there.Agent())} {
			if err := do(f); err != nil {
				t.Fatal(err)
			}
		}
		cause := errors.New("killed, says the host")
		here.Gateway.Unroute(there.ID(), cause)
		got := s.told()
		slices.Sort(got)
		if want := []string{"agent: peer gone", "c: peer gone"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		if err := do(watching(ref)); err != nil {
			t.Fatal(err)
		}
		if got := s.told(); len(got) != 3 || got[2] != "c: no route" {
			t.Errorf("told %q, want that c cannot be reached", got)
		}
		for _, d := range s.downs {
			if !errors.Is(d.Err, cause) || d.Clean() {
				t.Errorf("down %v, want one of the cause", d)
			}
		}
		<-time.After(time.Minute) // what there says of its own end comes too late, if at all
		there.Stop(context.Background(), time.Second)
		<-time.After(time.Minute)
		if got := s.told(); len(got) != 3 {
			t.Errorf("told more: %q", got)
		}
	})
}

// AC-10: the agent of a proc says how that has ended.
func TestAC10ProcSaysHow(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(ctx context.Context, p *actortest.Node) error
		want string
	}{
		{"drained", func(_ context.Context, p *actortest.Node) error { return p.Drain(context.Background(), time.Second) }, "agent: actor stopped"},
		{"failed", func(ctx context.Context, p *actortest.Node) error {
			return fail.Send(ctx, actor.RefOf[*counter](p.ID().Actor("c")), "")
		}, "agent: actor failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := actortest.NewNet(t)
				there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{counterType}})
				here, ctx := n.Add("here", quiet())
				s, _, do := newSentry(t, ctx, here.Proc, "s")
				spawnIn(t, ctx, there, "c")
				if err := do(watching(there.Agent())); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				if err := test.end(ctx, there); err != nil {
					t.Fatal(err)
				}
				expectSoon(t, s, test.want)
			})
		})
	}
}

// AC-10: a proc that was cut off is told of once, and who watches again once it
// is back is told of the next end.
func TestAC10ProcReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", quietWith(counterType))
		here, ctx := n.Add("here", quiet())
		s, _, do := newSentry(t, ctx, here.Proc, "s")
		ref := spawnIn(t, ctx, there, "c")
		if err := do(watching(ref)); err != nil {
			t.Fatal(err)
		}
		n.Cut(there)
		<-time.After(time.Minute)
		n.Heal(there)
		expectSoon(t, s, "c: peer gone")
		if err := do(watching(ref)); err != nil {
			t.Fatal(err)
		}
		if err := ref.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		expectSoon(t, s, "c: peer gone", "c: actor stopped")
	})
}

// AC-10: WaitFor is for those outside any actor.
func TestAC10WaitFor(t *testing.T) {
	inEach(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		ref := spawnIn(t, ctx, there, "c")
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if d, err := actor.WaitFor(short, ref); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited for an actor that lives: %v, %v", d, err)
		}
		time.AfterFunc(time.Minute, func() { ref.Stop(ctx, time.Second) })
		for range 2 { // while it lives, and when it is gone
			d, err := actor.WaitFor(ctx, ref)
			if err != nil || d.Actor != ref.ID() {
				t.Fatalf("%+v, %v", d, err)
			}
			if d.Reason != actor.ErrStopped && d.Reason != actor.ErrNoActor {
				t.Errorf("%+v", d)
			}
		}
		time.AfterFunc(time.Minute, func() { here.Stop(context.Background(), time.Second) })
		if _, err := actor.WaitFor(ctx, actor.RefOf[actor.Agent](there.Agent().ID())); (err == nil) != (here == there) {
			t.Errorf("waited until the own proc had ended: %v", err)
		}
	})
}

// An actor that cannot be told may not watch.
func TestWatchNeedsDown(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := newDoer(t, ctx, p, "d", &doer{})
		if _, err := doFunc.Call(ctx, ref, func(ctx context.Context) (int, error) { return 0, second(actor.Watch(ctx, ref)) }); err == nil {
			t.Error("an actor without Down watches")
		}
		if _, err := actor.Watch(ctx, ref); !errors.Is(err, actor.ErrNoActor) {
			t.Errorf("watched by nobody: %v", err)
		}
		if (actor.Monitor{}).Stop() {
			t.Error("stopped nothing")
		}
	})
}

// AC-10: a watcher whose mailbox drops what is old is told all the same.
func TestAC10DropOldest(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		s := &sentry{}
		dropping := sentryType.WithMailbox(actor.Mailbox{Limit: 2, Full: actor.DropOldest})
		ref, err := dropping.Spawn(ctx, p.ID(), "s", s)
		if err != nil {
			t.Fatal(err)
		}
		c := spawn(t, ctx, p, "c")
		block := make(chan struct{})
		err = sentryDo.Send(ctx, ref, func(ctx context.Context, s *sentry) error {
			_, err := actor.Watch(ctx, c)
			<-block
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := c.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := sentryPut.Send(ctx, ref, i); err != nil && !errors.Is(err, actor.ErrMailboxFull) {
				t.Fatal(err)
			}
		}
		close(block)
		expect(t, s, "c: actor stopped", "2")
	})
}

// MS-4: the end of a proc ends all calls that wait for it, at once if somebody
// knows of it, and otherwise when it counts as lost.
func TestMS4GoneEndsCallsTogether(t *testing.T) {
	for _, test := range []struct {
		name  string
		end   func(n *actortest.Net, here, there *actortest.Node)
		bound time.Duration
	}{
		{"killed, says its host", func(_ *actortest.Net, here, there *actortest.Node) { here.Gateway.Unroute(there.ID(), errTest) }, 100 * time.Millisecond},
		{"cut off", func(n *actortest.Net, _, there *actortest.Node) { n.Cut(there) }, 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := actortest.NewNet(t)
				there, _ := n.Add("there", quietWith(farType))
				here, ctx := n.Add("here", quiet())
				ref, err := farType.Spawn(ctx, there.ID(), "far", []int{})
				if err != nil {
					t.Fatal(err)
				}
				const calls = 1000
				errs := make(chan error, calls)
				for range calls {
					go func() { errs <- second(farHang.Call(ctx, ref, time.Hour)) }()
				}
				synctest.Wait()
				began := time.Now()
				test.end(n, here, there)
				for range calls {
					if err := <-errs; !errors.Is(err, actor.ErrPeerGone) {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took > test.bound {
					t.Errorf("the calls ended after %v, want within %v", took, test.bound)
				}
			})
		})
	}
}

// LinkDown and WaitFor say nothing of a monitor: the zero one watches nobody.
func TestZeroMonitor(t *testing.T) {
	var m actor.Monitor
	if a := m.Actor(); !a.IsZero() || m.Stop() {
		t.Errorf("the zero Monitor watches %v", a)
	}
}
