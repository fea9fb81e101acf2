package actor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/restart"
)

// AC-7: a restarted actor keeps its ref and what waits for it, in order; the
// message that it failed with is not handled again.
func TestAC7KeepsRefAndMessages(t *testing.T) {
	var b boss
	office(t, steady(actor.OneForOne), &b, []string{"a"}, func(t *testing.T, ctx context.Context, p *actor.Proc, _ actor.Ref[*boss], refs []actor.Ref[*clerk]) {
		notes(t, ctx, refs[0], "1", "fail", "2", "3")
		synctest.Wait()
		if s := p.Status(); !slices.ContainsFunc(s.Actors, func(a actor.ActorStatus) bool {
			return a.Name == "a" && a.Restarting && !a.Ending && a.Waiting == 2 && a.Incarnation == 1
		}) {
			t.Errorf("status %+v", s)
		}
		notes(t, ctx, refs[0], "4")
		if err := second(clerkDo.Call(ctx, refs[0], func(ctx context.Context, c *clerk) error { c.add("called"); return nil })); err != nil {
			t.Errorf("a call during the restart: %v", err)
		}
		if err := second(clerkBoom.Call(ctx, refs[0], 1)); !errors.Is(err, actor.ErrFailed) {
			t.Errorf("the call that it failed with: %v", err)
		}
		notes(t, ctx, refs[0], "5")
		<-time.After(time.Minute)
		b.expect(t,
			"0s a.1 notes 1", "0s a.1 notes fail", "0s a cleans up", "0s a.1 ended, failed: true",
			"1s a.2 made", "1s a.2 notes 2", "1s a.2 notes 3", "1s a.2 notes 4", "1s called", "1s a.2 ended, failed: true",
			"3s a.3 made", "3s a.3 notes 5")
	})
}

// AC-7: with DropMessages what waits goes back to its senders.
func TestAC7DropMessages(t *testing.T) {
	var b boss
	r := steady(actor.OneForOne)
	r.DropMessages = true
	office(t, r, &b, []string{"a"}, func(t *testing.T, ctx context.Context, p *actor.Proc, _ actor.Ref[*boss], refs []actor.Ref[*clerk]) {
		notes(t, ctx, refs[0], "fail")
		block := make(chan struct{})
		err := clerkDo.Send(ctx, refs[0], func(context.Context, *clerk) error { <-block; return errTest })
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		err = clerkDo.Send(ctx, refs[0], func(context.Context, *clerk) error { <-block; return errTest })
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		errs := make(chan error, 1)
		go func() {
			errs <- second(clerkDo.Call(ctx, refs[0], func(context.Context, *clerk) error { return nil }))
		}()
		synctest.Wait()
		close(block)
		if err := <-errs; !errors.Is(err, actor.ErrFailed) {
			t.Errorf("a call that waited: %v", err)
		}
		if err := second(clerkDo.Call(ctx, refs[0], func(context.Context, *clerk) error { return nil })); err != nil {
			t.Errorf("a call that came after the failure: %v", err)
		}
	})
}

// AC-6: backoff doubles; after too many runs in a row that were not healthy, or
// were never made, the supervisor fails with the failure of the child.
func TestAC6GivesUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		broken int
		runs   int
		after  time.Duration
		why    string
	}{
		{"unhealthy", 0, 10, (1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60) * time.Second, "not healthy 10 times"},
		{"never made", 100, 4, (1 + 2 + 4) * time.Second, "3 times in a row before it was ready"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b boss
			office(t, steady(actor.OneForOne), &b, []string{"a"}, func(t *testing.T, ctx context.Context, p *actor.Proc, up actor.Ref[*boss], refs []actor.Ref[*clerk]) {
				b.breaks(test.broken)
				downs := make(chan actor.Down, 1)
				go func() {
					d, err := actor.WaitFor(ctx, refs[0])
					if err != nil {
						t.Error(err)
					}
					downs <- d
				}()
				synctest.Wait()
				began := time.Now()
				runs := 0
				for clerkNote.Send(ctx, refs[0], "fail") == nil && runs < 1000 {
					runs++
					synctest.Wait()
					if runs == 1 && len(downs) > 0 {
						t.Error("a restart is told as an end")
					}
					if test.broken > 0 {
						<-time.After(time.Hour)
						break
					}
					for s := p.Status(); slices.ContainsFunc(s.Actors, func(a actor.ActorStatus) bool { return a.Restarting }); s = p.Status() {
						<-time.After(time.Second)
						synctest.Wait()
					}
				}
				synctest.Wait()
				if test.broken == 0 && (runs != test.runs || time.Since(began) != test.after) {
					t.Errorf("gave up after %d runs and %v, want %d and %v", runs, time.Since(began), test.runs, test.after)
				}
				lines := b.take()
				last := lines[len(lines)-1]
				if !strings.HasPrefix(last, test.after.String()+" unhandled") || !strings.Contains(last, test.why) || !strings.Contains(last, errTest.Error()) {
					t.Errorf("the last line is %q", last)
				}
				down := <-downs
				if !errors.Is(down.Err, actor.ErrFailed) || !errors.Is(down.Err, errTest) {
					t.Errorf("a watcher was told %+v", down)
				}
				if err := clerkNote.Send(ctx, refs[0], "late"); !errors.Is(err, actor.ErrNoActor) {
					t.Errorf("send to one that was given up: %v", err)
				}
				if ended := strings.Count(strings.Join(lines, "\n"), "a."); test.broken > 0 && ended != 3+1+4 {
					t.Errorf("want 4 ends and 3 attempts in vain:\n%s", strings.Join(lines, "\n"))
				}
			})
		})
	}
}

// AC-6: a healthy time begins the count and the backoff anew.
func TestAC6HealthyResets(t *testing.T) {
	var b boss
	office(t, steady(actor.OneForOne), &b, []string{"a"}, func(t *testing.T, ctx context.Context, p *actor.Proc, _ actor.Ref[*boss], refs []actor.Ref[*clerk]) {
		for range 50 {
			<-time.After(time.Minute)
			began := time.Since(b.began)
			notes(t, ctx, refs[0], "fail")
			<-time.After(2 * time.Second)
			lines := b.take()
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, (began+time.Second).String()+" a.") {
				t.Fatalf("the last line is %q, want a restart after 1s", last)
			}
		}
	})
}

// AC-6: the order in which siblings stop and are made again.
func TestAC6Strategies(t *testing.T) {
	for _, test := range []struct {
		strategy actor.Strategy
		want     []string
	}{
		{actor.OneForOne, []string{"0s b.1 notes fail", "0s b cleans up", "0s b.1 ended, failed: true", "1s b.2 made"}},
		{actor.AllForOne, []string{"0s b.1 notes fail", "0s b cleans up", "0s b.1 ended, failed: true",
			"0s d cleans up", "0s d.1 ended, failed: false", "0s c cleans up", "0s c.1 ended, failed: false", "0s a cleans up", "0s a.1 ended, failed: false",
			"1s a.2 made", "1s b.2 made", "1s c.2 made", "1s d.2 made"}},
		{actor.RestForOne, []string{"0s b.1 notes fail", "0s b cleans up", "0s b.1 ended, failed: true",
			"0s d cleans up", "0s d.1 ended, failed: false", "0s c cleans up", "0s c.1 ended, failed: false",
			"1s b.2 made", "1s c.2 made", "1s d.2 made"}},
	} {
		var b boss
		office(t, steady(test.strategy), &b, []string{"a", "b", "c", "d"}, func(t *testing.T, ctx context.Context, p *actor.Proc, _ actor.Ref[*boss], refs []actor.Ref[*clerk]) {
			notes(t, ctx, refs[1], "fail")
			<-time.After(time.Minute)
			b.expect(t, test.want...)
			for _, ref := range refs {
				notes(t, ctx, ref, "hello")
			}
			if lines := b.take(); len(lines) != len(refs) {
				t.Errorf("after the restart: %q", lines)
			}
		})
	}
}

// AC-6: a failure while others restart takes in all that either binds.
func TestAC6RestForOneGrows(t *testing.T) {
	var b boss
	office(t, steady(actor.RestForOne), &b, []string{"a", "b", "c"}, func(t *testing.T, ctx context.Context, p *actor.Proc, _ actor.Ref[*boss], refs []actor.Ref[*clerk]) {
		notes(t, ctx, refs[2], "fail")
		<-time.After(time.Second / 2)
		notes(t, ctx, refs[0], "fail")
		<-time.After(time.Minute)
		b.expect(t, "0s c.1 notes fail", "0s c cleans up", "0s c.1 ended, failed: true",
			"500ms a.1 notes fail", "500ms a cleans up", "500ms a.1 ended, failed: true", "500ms b cleans up", "500ms b.1 ended, failed: false",
			"2.5s a.2 made", "2.5s b.2 made", "2.5s c.2 made")
	})
}

// AC-6: the other verdicts.
func TestAC6Verdicts(t *testing.T) {
	for _, test := range []struct {
		verdict actor.Verdict
		left    string
	}{
		{actor.Handled, "a c boss"}, {actor.Stop, "a boss"}, {actor.Escalate, ""}, {actor.Restart, "a b c boss"},
	} {
		b := boss{verdict: func(actor.End) actor.Verdict { return test.verdict }}
		office(t, steady(actor.RestForOne), &b, []string{"a", "b", "c"}, func(t *testing.T, ctx context.Context, p *actor.Proc, up actor.Ref[*boss], refs []actor.Ref[*clerk]) {
			notes(t, ctx, refs[1], "fail")
			<-time.After(time.Minute)
			synctest.Wait()
			var left []string
			for _, name := range []string{"a", "b", "c", "boss"} {
				if slices.ContainsFunc(p.Status().Actors, func(a actor.ActorStatus) bool { return a.Name == name }) {
					left = append(left, name)
				}
			}
			if got := strings.Join(left, " "); got != test.left {
				t.Errorf("verdict %d: %q are left, want %q", test.verdict, got, test.left)
			}
		})
	}
}

// AC-6: Restart without Restarts escalates, and says so.
func TestAC6RestartNeedsRestarts(t *testing.T) {
	var got *actor.Failure
	inBubble(t, actor.Config{OnFailure: func(f *actor.Failure) { got = f }}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		var events []string
		_, kid := family(t, ctx, p, actor.Restart, &events)
		if err := fail.Send(ctx, kid, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got == nil || !errors.Is(got, errTest) || !strings.Contains(got.Error(), "has no Restarts") {
			t.Errorf("failure %v", got)
		}
	})
}

// An actor whose type has Restarts and no ChildEnded restarts its children.
func TestAC6WithoutChildEnded(t *testing.T) {
	type plain struct{}
	hire := actor.On("plain.hire", func(_ *plain, ctx context.Context, j *journal) (actor.Ref[*clerk], error) {
		proc, err := actor.ProcOf(ctx)
		if err != nil {
			return actor.Ref[*clerk]{}, err
		}
		return clerkType.Spawn(ctx, proc, "a", clerkParams{j, "a"})
	})
	plainType := actor.Define("plain", func(context.Context, int) (*plain, error) { return &plain{}, nil }, hire).WithRestarts(steady(actor.OneForOne))
	inBubble(t, actor.Config{}, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		j := newJournal()
		up, err := plainType.Spawn(ctx, p.ID(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := hire.Call(ctx, up, j)
		if err != nil {
			t.Fatal(err)
		}
		notes(t, ctx, ref, "fail")
		<-time.After(time.Minute)
		j.expect(t, "0s a.1 made", "0s a.1 notes fail", "0s a cleans up", "1s a.2 made")
	})
}

// AC-4, AC-6: the children of what restarts end first, timers and monitors of
// its run with it, and links fail the other end, which restarts as well.
func TestAC6RunEndsWithWhatIsItsOwn(t *testing.T) {
	var b boss
	office(t, steady(actor.OneForOne), &b, []string{"a", "b"}, func(t *testing.T, ctx context.Context, p *actor.Proc, _ actor.Ref[*boss], refs []actor.Ref[*clerk]) {
		var old context.Context
		err := second(clerkDo.Call(ctx, refs[0], func(ctx context.Context, c *clerk) error {
			old = ctx
			if _, err := clerkNote.After(ctx, time.Minute, "an old timer"); err != nil {
				return err
			}
			_, err := clerkType.Spawn(ctx, p.ID(), "kid", clerkParams{c.journal, "kid"})
			return errors.Join(err, actor.Link(ctx, refs[1]))
		}))
		if err != nil {
			t.Fatal(err)
		}
		notes(t, ctx, refs[0], "fail")
		<-time.After(time.Hour)
		all := strings.Join(b.take(), "\n")
		for _, line := range []string{"0s kid cleans up\n0s a cleans up", "1s a.2 made", "1s b.2 made", "b.1 ended, failed: true"} {
			if !strings.Contains(all, line) {
				t.Errorf("no %q in:\n%s", line, all)
			}
		}
		if strings.Contains(all, "old timer") || old.Err() == nil {
			t.Errorf("something of the old run is left; its ctx: %v\n%s", old.Err(), all)
		}
		if old, err := actor.SelfOf(old); err != nil || old != (actor.Self{Actor: refs[0].ID(), Incarnation: 1}) {
			t.Errorf("the old ctx is that of %+v, %v", old, err)
		}
		notes(t, ctx, refs[0], "fail") // its new run is linked to nobody
		<-time.After(time.Minute)
		if all := strings.Join(b.take(), "\n"); strings.Contains(all, "b.2 ended") {
			t.Errorf("a link of the old run is left:\n%s", all)
		}
	})
}

// What ends an actor while it waits to be restarted ends it for good, and it is
// told of once.
func TestAC6StoppedWhileItRests(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(ctx context.Context, p *actor.Proc, up actor.Ref[*boss], a actor.Ref[*clerk]) error
	}{
		{"itself", func(ctx context.Context, _ *actor.Proc, _ actor.Ref[*boss], a actor.Ref[*clerk]) error {
			return a.Stop(ctx, time.Second)
		}},
		{"drained", func(ctx context.Context, _ *actor.Proc, _ actor.Ref[*boss], a actor.Ref[*clerk]) error {
			return a.Drain(ctx, time.Second)
		}},
		{"its supervisor", func(ctx context.Context, _ *actor.Proc, up actor.Ref[*boss], _ actor.Ref[*clerk]) error {
			return up.Drain(ctx, time.Second)
		}},
		{"the proc", func(_ context.Context, p *actor.Proc, _ actor.Ref[*boss], _ actor.Ref[*clerk]) error {
			return p.Stop(context.Background(), time.Second)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b boss
			office(t, steady(actor.OneForOne), &b, []string{"a"}, func(t *testing.T, ctx context.Context, p *actor.Proc, up actor.Ref[*boss], refs []actor.Ref[*clerk]) {
				notes(t, ctx, refs[0], "fail")
				errs := make(chan error, 1)
				go func() { errs <- second(clerkBoom.Call(ctx, refs[0], 1)) }()
				synctest.Wait()
				began := time.Now()
				if err := test.stop(ctx, p, up, refs[0]); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("the stop took %v", took)
				}
				if err := <-errs; !errors.Is(err, actor.ErrStopped) && !errors.Is(err, actor.ErrFailed) {
					t.Errorf("a call that waited: %v", err)
				}
				<-time.After(time.Minute)
				b.expect(t, "0s a.1 notes fail", "0s a cleans up", "0s a.1 ended, failed: true")
			})
		})
	}
}

// AC-6: restarts of a proc are bounded together.
func TestAC6RestartRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		cfg := quiet()
		cfg.RestartRate = restart.Rate{PerSecond: 1, Burst: 2}
		name, err := id.NewProc("host", "proc")
		if err != nil {
			t.Fatal(err)
		}
		cfg.ID = name
		p, err := actor.NewProc(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop(context.Background(), time.Second)
		ctx := p.Context(t.Context())
		up, err := bossType.WithRestarts(steady(actor.AllForOne)).Spawn(ctx, p.ID(), "boss", &boss{journal: j})
		if err != nil {
			t.Fatal(err)
		}
		var refs []actor.Ref[*clerk]
		for _, name := range []string{"a", "b", "c", "d"} {
			ref, err := bossHire.Call(ctx, up, name)
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		notes(t, ctx, refs[3], "fail")
		<-time.After(time.Second / 2)
		j.take()
		<-time.After(time.Minute)
		j.expect(t, "1s a.2 made", "1s b.2 made", "2s c.2 made", "3s d.2 made")
	})
}

// AC-7: a full mailbox of an actor that restarts makes its senders wait, and
// nothing is lost or handled twice.
func TestAC7FullMailbox(t *testing.T) {
	var b boss
	office(t, steady(actor.OneForOne), &b, nil, func(t *testing.T, ctx context.Context, p *actor.Proc, up actor.Ref[*boss], _ []actor.Ref[*clerk]) {
		type log struct{}
		var got []int
		put := actor.OnSend("log.put", func(_ *log, _ context.Context, n int) error {
			got = append(got, n)
			if n%7 == 3 {
				panic("as the test wants")
			}
			return nil
		})
		logType := actor.Define("log", func(context.Context, int) (*log, error) { return &log{}, nil }, put).WithMailbox(actor.Mailbox{Limit: 5})
		hire := actor.On("boss.log", func(_ *boss, ctx context.Context, _ int) (actor.Ref[*log], error) {
			return logType.Spawn(ctx, p.ID(), "log", 0)
		})
		free := steady(actor.OneForOne)
		free.Limits.MaxRestarts = -1
		bosses := actor.Define("boss2", func(context.Context, int) (*boss, error) { return &boss{journal: b.journal}, nil }, hire).WithRestarts(free)
		up2, err := bosses.Spawn(ctx, p.ID(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := hire.Call(ctx, up2, 0)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 200 {
			if err := put.Send(ctx, ref, n); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Hour)
		synctest.Wait()
		for i, n := range got {
			if i != n {
				t.Fatalf("got %v", got)
			}
		}
		if len(got) != 200 {
			t.Errorf("got %d messages, want 200", len(got))
		}
	})
}
