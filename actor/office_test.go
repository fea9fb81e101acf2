package actor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/restart"
)

// journal is what the actors of one test say that happened.
type journal struct {
	mu     sync.Mutex // guards the following
	began  time.Time
	lines  []string
	broken int // so many constructions fail
}

func newJournal() *journal { return &journal{began: time.Now()} }

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%v ", time.Since(j.began))+fmt.Sprintf(format, args...))
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("journal:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// take waits until nothing happens any more, and returns what has happened
// since it was called last.
func (j *journal) take() []string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// breaks has the next n constructions fail.
func (j *journal) breaks(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = n
}

// isBroken reports whether a construction is to fail.
func (j *journal) isBroken() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken--
	return j.broken >= 0
}

// clerk is a child that keeps a journal.
type clerk struct {
	*journal
	name string
}

type clerkParams struct {
	Journal *journal
	Name    string
}

var (
	clerkDo = actor.On("clerk.do", func(c *clerk, ctx context.Context, f func(context.Context, *clerk) error) (int, error) {
		return 0, f(ctx, c)
	})
	clerkNote = actor.OnSend("clerk.note", func(c *clerk, ctx context.Context, what string) error {
		self, err := actor.SelfOf(ctx)
		if err != nil {
			return err
		}
		c.add("%s.%d notes %s", c.name, self.Incarnation, what)
		if what == "fail" {
			return errTest
		}
		return nil
	})
	clerkBoom = actor.On("clerk.boom", func(c *clerk, _ context.Context, _ int) (int, error) { panic("boom") })
	clerkType = actor.Define("clerk", func(ctx context.Context, p clerkParams) (*clerk, error) {
		self, err := actor.SelfOf(ctx)
		if err != nil {
			return nil, err
		}
		if self.Incarnation > 1 && p.Journal.isBroken() {
			p.Journal.add("%s.%d cannot be made", p.Name, self.Incarnation)
			return nil, errTest
		}
		p.Journal.add("%s.%d made", p.Name, self.Incarnation)
		return &clerk{p.Journal, p.Name}, nil
	}, clerkDo, clerkNote, clerkBoom)
)

func (c *clerk) Stop(ctx context.Context) error {
	c.add("%s cleans up", c.name)
	return nil
}

// boss is the supervisor of clerks. Its verdict is that of verdict, or Restart.
type boss struct {
	*journal
	verdict func(actor.End) actor.Verdict
}

func (b *boss) ChildEnded(_ context.Context, e actor.End) actor.Verdict {
	b.add("%s.%d ended, failed: %v", e.Actor.Name, e.Incarnation, e.Failure != nil)
	if b.verdict != nil {
		return b.verdict(e)
	}
	return actor.Restart
}

var (
	bossHire = actor.On("boss.hire", func(b *boss, ctx context.Context, name string) (actor.Ref[*clerk], error) {
		proc, err := actor.ProcOf(ctx)
		if err != nil {
			return actor.Ref[*clerk]{}, err
		}
		return clerkType.Spawn(ctx, proc, name, clerkParams{b.journal, name})
	})
	bossType = actor.Define("boss", func(_ context.Context, b *boss) (*boss, error) { return b, nil }, bossHire)
)

// steady is a policy without dice.
func steady(s actor.Strategy) actor.Restarts {
	return actor.Restarts{Strategy: s, Limits: restart.Limits{Backoff: restart.Backoff{Min: time.Second, Jitter: -1}}}
}

// office runs f with a boss and its clerks.
func office(t *testing.T, r actor.Restarts, b *boss, clerks []string, f func(t *testing.T, ctx context.Context, p *actor.Proc, up actor.Ref[*boss], refs []actor.Ref[*clerk])) {
	t.Helper()
	cfg := quiet()
	cfg.OnFailure = func(f *actor.Failure) { b.add("unhandled: %v", f) }
	inBubble(t, cfg, func(t *testing.T, ctx context.Context, p *actor.Proc) {
		b.journal = newJournal()
		up, err := bossType.WithRestarts(r).Spawn(ctx, p.ID(), "boss", b)
		if err != nil {
			t.Fatal(err)
		}
		var refs []actor.Ref[*clerk]
		for _, name := range clerks {
			ref, err := bossHire.Call(ctx, up, name)
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		b.take()
		f(t, ctx, p, up, refs)
	})
}

func notes(t *testing.T, ctx context.Context, ref actor.Ref[*clerk], what ...string) {
	t.Helper()
	for _, w := range what {
		if err := clerkNote.Send(ctx, ref, w); err != nil {
			t.Fatal(err)
		}
	}
}
