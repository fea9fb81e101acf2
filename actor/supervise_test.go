package actor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

// parent spawns children and records how they end.
type parent struct {
	verdict actor.Verdict
	events  *[]string
}

func (p *parent) Spawn(ctx context.Context, name string) (actor.Ref[*counter], error) {
	proc, err := actor.ProcOf(ctx)
	if err != nil {
		return actor.Ref[*counter]{}, err
	}
	return counterType.Spawn(ctx, proc, name, counterParams{Start: 40})
}

func (p *parent) ChildEnded(_ context.Context, e actor.End) actor.Verdict {
	*p.events = append(*p.events, fmt.Sprintf("%s ended, failed: %v", e.Actor.Name, e.Failure != nil))
	return p.verdict
}

func (p *parent) Stop(context.Context) error {
	*p.events = append(*p.events, "parent cleans up")
	return nil
}

var (
	parentSpawn = actor.On("parent.spawn", (*parent).Spawn)
	parentType  = actor.Define("parent", func(_ context.Context, p *parent) (*parent, error) { return p, nil }, parentSpawn)
)

func family(t *testing.T, ctx context.Context, p *actor.Proc, v actor.Verdict, events *[]string) (actor.Ref[*parent], actor.Ref[*counter]) {
	t.Helper()
	up, err := parentType.Spawn(ctx, p.ID(), "parent", &parent{verdict: v, events: events})
	if err != nil {
		t.Fatal(err)
	}
	kid, err := parentSpawn.Call(ctx, up, "kid")
	if err != nil {
		t.Fatal(err)
	}
	return up, kid
}

// AC-4: children end before their parent's cleanup. AC-5: one notice each.
func TestAC4ChildrenEndFirst(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var events []string
		up, _ := family(t, ctx, p, actor.Escalate, &events)
		if err := up.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if want := []string{"kid ended, failed: false", "parent cleans up"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
	})
}

// AC-8, AC-9: a failure that nobody handles reaches the hook with its origin,
// its stack and the chain of those who did not handle it.
func TestAC8Escalate(t *testing.T) {
	var got *actor.Failure
	inBubble(t, actor.Config{OnFailure: func(f *actor.Failure) { got = f }}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var events []string
		up, kid := family(t, ctx, p, actor.Escalate, &events)
		if err := boom.Send(ctx, kid, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got == nil || got.Actor != kid.ID() || !got.Panicked || !slices.Equal(got.Chain, []id.Actor{up.ID()}) {
			t.Fatalf("failure %+v, want one of %v through %v", got, kid, up)
		}
		report := got.Report()
		if lines := strings.Count(report, "\n") + 1; lines > 10 || !strings.Contains(strings.SplitN(report, "\n", 2)[0], "boom") || !strings.Contains(report, "Boom") {
			t.Errorf("report of %d lines:\n%s", lines, report)
		}
		if err := add.Send(ctx, kid, 1); !errors.Is(err, actor.ErrNoActor) {
			t.Errorf("send to a failed actor: %v", err)
		}
	})
}

func TestAC6Handled(t *testing.T) {
	inBubble(t, actor.Config{OnFailure: func(f *actor.Failure) { panic(f) }}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var events []string
		up, kid := family(t, ctx, p, actor.Handled, &events)
		if err := fail.Send(ctx, kid, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := parentSpawn.Call(ctx, up, "kid"); err != nil { // the parent lives, the name is free
			t.Fatal(err)
		}
		if want := []string{"kid ended, failed: true"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
	})
}

// AC-9: without a hook the proc ends with the failure as its error.
func TestAC9DefaultEndsTheProc(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := spawn(t, ctx, p, "c1")
		fail.Send(ctx, ref, "")
		<-p.Done()
		f, ok := errors.AsType[*actor.Failure](p.Err())
		if !ok || f.Actor != ref.ID() || !errors.Is(p.Err(), errTest) {
			t.Errorf("proc ended with %v, want the failure of %v", p.Err(), ref)
		}
		if _, err := counterType.Spawn(ctx, p.ID(), "late", counterParams{}); !errors.Is(err, actor.ErrShuttingDown) {
			t.Errorf("spawn in a proc that has ended: %v", err)
		}
	})
}

// AC-4: what tightens the stop of a parent tightens that of its children.
func TestAC4TighterStopReachesChildren(t *testing.T) {
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var events []string
		up, kid := family(t, ctx, p, actor.Escalate, &events)
		if err := slow.Send(ctx, kid, time.Hour); err != nil { // it returns when its ctx ends
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := up.Drain(short, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("drain with a busy child: %v", err)
		}
		if err := up.Stop(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("the child ended %v after the drain began, want with the stop, after 1s", d)
		}
		if want := []string{"kid ended, failed: false", "parent cleans up"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
	})
}
