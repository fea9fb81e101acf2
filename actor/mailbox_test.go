package actor_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
)

// gate is an actor that writes down its messages, and is at each one until it is
// let go on.
type gate struct {
	seen  []int
	ended func() // when a child has ended
	goOn  chan struct{}
}

func (g *gate) pass(ctx context.Context, n int) error {
	g.seen = append(g.seen, n)
	select {
	case <-g.goOn:
	case <-ctx.Done():
	}
	return nil
}

func (g *gate) ChildEnded(context.Context, actor.End) actor.Verdict { g.ended(); return actor.Handled }

var (
	gatePass = actor.OnSend("gate.pass", (*gate).pass)
	// gateSlow is gatePass for messages that take the long way into a mailbox.
	gateSlow = actor.OnSend("gate.slow", func(g *gate, ctx context.Context, n map[string]int) error {
		return g.pass(ctx, n["n"])
	})
	gateKid = actor.On("gate.kid", func(g *gate, ctx context.Context, _ actor.None) (actor.Ref[*doer], error) {
		p, err := actor.ProcOf(ctx)
		if err != nil {
			return actor.Ref[*doer]{}, err
		}
		return doerType.Spawn(ctx, p, "kid", &doer{})
	})
)

// lossy returns the type of a gate with a mailbox that drops the oldest.
func lossy(g *gate, limit int) *actor.Type[*gate, actor.None] {
	g.goOn = make(chan struct{})
	return actor.Define("gate", func(context.Context, actor.None) (*gate, error) { return g, nil }, gatePass, gateSlow, gateKid).
		WithMailbox(actor.Mailbox{Limit: limit, Full: actor.DropOldest})
}

// MS-7: of all messages that are not begun the oldest goes, also if the actor has
// taken it already, and no sender waits.
func TestMS7DropsTheOldestOfAll(t *testing.T) {
	for _, limit := range []int{1, 2, 4} { // with the one in hand
		for _, how := range []string{"local", "remote", "remote, the long way"} {
			t.Run(fmt.Sprint(how, ", limit ", limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var g gate
					typ := lossy(&g, limit)
					room := max(1, limit-1)
					var back atomic.Int64
					cfg := quietWith(typ)
					cfg.OnUndeliverable = func(u actor.Undelivered) {
						if u.Reason != actor.ErrMailboxFull {
							t.Errorf("came back: %+v", u)
						}
						back.Add(1)
					}
					n := actortest.NewNet(t)
					there, ctx := n.Add("there", cfg)
					_, far := n.Add("here", cfg)
					ref, err := typ.Spawn(ctx, there.ID(), "g", actor.None{})
					if err != nil {
						t.Fatal(err)
					}
					if how != "local" {
						ctx = far
					}
					send := func(i int) {
						var err error
						begin := time.Now()
						ctx, cancel := context.WithTimeout(ctx, time.Second)
						defer cancel()
						if how == "remote, the long way" {
							err = gateSlow.Send(ctx, ref, map[string]int{"n": i})
						} else {
							err = gatePass.Send(ctx, ref, i)
						}
						synctest.Wait()
						if err != nil || time.Since(begin) > 0 {
							t.Fatalf("message %d: %v after %v", i, err, time.Since(begin))
						}
					}
					send(0)
					for i := range room + 1 { // 0 is in hand, 1 goes
						send(1 + i)
					}
					if n := back.Load(); n != 1 {
						t.Fatalf("%d came back, want 1", n)
					}
					g.goOn <- struct{}{} // 2 is in hand, and the others are taken
					synctest.Wait()
					for i := range room + 1 { // all of them go, and 100
						send(100 + i)
					}
					if got, want := back.Load(), int64(room+1); got != want {
						t.Errorf("%d came back, want %d", got, want)
					}
					close(g.goOn)
					synctest.Wait()
					want := []int{0, 2}
					for i := range room {
						want = append(want, 101+i)
					}
					if !slices.Equal(g.seen, want) {
						t.Errorf("handled %v, want %v", g.seen, want)
					}
				})
			})
		}
	}
}

// MS-7: what has been taken is not begun while the actor is at what comes first.
func TestMS7DropsWhatWaitsForSystemWork(t *testing.T) {
	for _, taken := range []string{"with it", "before it"} {
		t.Run(taken, func(t *testing.T) {
			var back []string
			cfg := quiet()
			cfg.OnUndeliverable = func(u actor.Undelivered) { back = append(back, u.Reason.Error()) }
			inBubble(t, cfg, func(t *testing.T, ctx context.Context, p *actor.Proc) {
				var g gate
				limit := map[string]int{"with it": 1, "before it": 3}[taken]
				ref, err := lossy(&g, limit).Spawn(ctx, p.ID(), "g", actor.None{})
				if err != nil {
					t.Fatal(err)
				}
				g.ended = func() { <-g.goOn }
				kid, err := gateKid.Call(ctx, ref, actor.None{})
				if err != nil {
					t.Fatal(err)
				}
				gatePass.Send(ctx, ref, 1)
				synctest.Wait()
				want := []int{1, 4}
				if taken == "before it" {
					gatePass.Send(ctx, ref, 2)
					gatePass.Send(ctx, ref, 3)
					g.goOn <- struct{}{} // 2 is in hand, 3 is taken
					synctest.Wait()
					gatePass.Send(ctx, ref, 0) // and fills it
					want = []int{1, 2, 0, 4}
				} else {
					gatePass.Send(ctx, ref, 3)
				}
				if err := kid.Stop(ctx, time.Second); err != nil {
					t.Fatal(err)
				}
				g.goOn <- struct{}{}
				synctest.Wait() // it is at the end of its child, and 3 is taken
				gatePass.Send(ctx, ref, 4)
				close(g.goOn)
				synctest.Wait()
				if !slices.Equal(g.seen, want) || len(back) != 1 {
					t.Errorf("handled %v, came back %q; want %v, and 3 back", g.seen, back, want)
				}
			})
		})
	}
}

// MS-3, MS-7: however drops meet the actor at its work, each message has one
// outcome.
func TestMS7DropsAndWorkTogether(t *testing.T) {
	var back, handled atomic.Int64
	cfg := quiet()
	cfg.OnUndeliverable = func(actor.Undelivered) { back.Add(1) }
	p, ctx := actortest.NewProc(t, cfg)
	count := actor.OnSend("count", func(*doer, context.Context, int) error { handled.Add(1); return nil })
	typ := actor.Define("counts", func(_ context.Context, d *doer) (*doer, error) { return d, nil }, count, doFunc)
	const senders, each = 4, 5000
	for _, limit := range []int{1, 2, 40} {
		back.Store(0)
		handled.Store(0)
		ref, err := typ.WithMailbox(actor.Mailbox{Limit: limit, Full: actor.DropOldest}).Spawn(ctx, p.ID(), "", &doer{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for i := range each {
					if err := count.Send(ctx, ref, i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if err := ref.Drain(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		if h, b := handled.Load(), back.Load(); h+b != senders*each {
			t.Errorf("limit %d: %d handled and %d came back, of %d", limit, h, b, senders*each)
		}
	}
}

// AC-11: what an actor has taken and not begun waits too.
func TestAC11WaitingCountsWhatIsTaken(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var g gate
		ref, err := lossy(&g, 100).Spawn(ctx, p.ID(), "g", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 31 {
			gatePass.Send(ctx, ref, i)
			synctest.Wait() // the first one is taken alone
		}
		waiting := func() (waiting int, busy bool) {
			synctest.Wait()
			all := p.Status().Actors
			i := slices.IndexFunc(all, func(a actor.ActorStatus) bool { return a.Name == "g" })
			return all[i].Waiting, all[i].Busy
		}
		for _, want := range []int{30, 29, 28} { // the last two with those behind them
			if n, busy := waiting(); n != want || !busy {
				t.Errorf("%d wait, busy: %v; want %d and true", n, busy, want)
			}
			g.goOn <- struct{}{}
		}
		close(g.goOn)
		if n, busy := waiting(); n != 0 || busy {
			t.Errorf("%d wait, busy: %v; want none", n, busy)
		}
	})
}
