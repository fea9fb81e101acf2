package actor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
	"github.com/hyperactor/hyperactor/id"
)

// chained is an actor that links itself to another one when it is made, and on
// demand.
type chained struct{}

type chainParams struct {
	To   actor.Ref[*chained]
	Link bool
}

var (
	chainFail   = actor.OnSend("chain.fail", func(_ *chained, _ context.Context, why string) error { return errors.New(why) })
	chainPing   = actor.On("chain.ping", func(_ *chained, _ context.Context, n int) (int, error) { return n, nil })
	chainLink   = actor.OnSend("chain.link", func(_ *chained, ctx context.Context, to actor.Ref[*chained]) error { return actor.Link(ctx, to) })
	chainUnlink = actor.OnSend("chain.unlink", func(_ *chained, ctx context.Context, to actor.Ref[*chained]) error { return actor.Unlink(ctx, to) })
	chainType   = actor.Define("chained", func(ctx context.Context, p chainParams) (*chained, error) {
		if p.Link {
			return &chained{}, actor.Link(ctx, p.To)
		}
		return &chained{}, nil
	}, chainFail, chainPing, chainLink, chainUnlink)
)

// trap is an actor that is told of the failures of those it is linked to.
type trap struct{ heard *downs }

func (r *trap) LinkDown(_ context.Context, d actor.Down) error {
	r.heard.mu.Lock()
	defer r.heard.mu.Unlock()
	r.heard.list = append(r.heard.list, d)
	return nil
}

// downs are what traps were told.
type downs struct {
	mu   sync.Mutex // guards the following
	list []actor.Down
}

func (d *downs) all() []actor.Down {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

var (
	trapLink = actor.OnSend("trap.link", func(_ *trap, ctx context.Context, to actor.Ref[*chained]) error { return actor.Link(ctx, to) })
	trapType = actor.Define("trap", func(_ context.Context, heard *downs) (*trap, error) { return &trap{heard}, nil }, trapLink)
)

// failures collects what reaches the agents of the procs of a test.
type failures struct {
	mu   sync.Mutex // guards the following
	list []*actor.Failure
}

func (f *failures) config() actor.Config {
	return actor.Config{Types: []actor.AnyType{chainType}, OnFailure: f.add}
}

func (f *failures) add(x *actor.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, x)
}

func (f *failures) all() []*actor.Failure {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *failures) of(a id.Actor) *actor.Failure {
	all := f.all()
	i := slices.IndexFunc(all, func(x *actor.Failure) bool { return x.Actor == a })
	if i < 0 {
		return nil
	}
	return all[i]
}

// linkNet runs f with actors a, b and c, each in a proc of its own.
func linkNet(t *testing.T, f func(t *testing.T, n *actortest.Net, ctx context.Context, fs *failures, nodes []*actortest.Node, refs []actor.Ref[*chained])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		n.SetDelay(time.Millisecond)
		fs := &failures{}
		var nodes []*actortest.Node
		var refs []actor.Ref[*chained]
		_, ctx := n.Add("main", fs.config())
		for i := range 3 {
			p, _ := n.Add(fmt.Sprint("p", i), fs.config())
			ref, err := chainType.Spawn(ctx, p.ID(), string(rune('a'+i)), chainParams{})
			if err != nil {
				t.Fatal(err)
			}
			nodes, refs = append(nodes, p), append(refs, ref)
		}
		f(t, n, ctx, fs, nodes, refs)
	})
}

func lives(ctx context.Context, ref actor.Ref[*chained]) bool {
	_, err := chainPing.Call(ctx, ref, 1)
	return err == nil
}

// AC-10: when one fails, all that are linked to it do, whichever end made the
// link, and say why.
func TestAC10LinkFailsBoth(t *testing.T) {
	for first := range 3 {
		t.Run(string(rune('a'+first)), func(t *testing.T) {
			linkNet(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, fs *failures, _ []*actortest.Node, refs []actor.Ref[*chained]) {
				for range 2 { // linking twice is linking once
					if err := second(chainLink.Call(ctx, refs[0], refs[1])); err != nil {
						t.Fatal(err)
					}
				}
				if err := second(chainLink.Call(ctx, refs[1], refs[2])); err != nil {
					t.Fatal(err)
				}
				if err := chainFail.Send(ctx, refs[first], "as the test wants"); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				if len(fs.all()) != 3 {
					t.Fatalf("failures %v, want one of each", fs.all())
				}
				for _, ref := range refs {
					f := fs.of(ref.ID())
					if f == nil || !strings.Contains(f.Error(), "as the test wants") || !strings.Contains(f.Error(), refs[first].String()) {
						t.Errorf("%v failed with %v, want the cause and the name of %v", ref, f, refs[first])
					}
				}
			})
		})
	}
}

// AC-10: a clean end fails nobody; nor does a failure after Unlink.
func TestAC10LinkEnds(t *testing.T) {
	linkNet(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, fs *failures, _ []*actortest.Node, refs []actor.Ref[*chained]) {
		a, b, c := refs[0], refs[1], refs[2]
		for _, pair := range [][2]actor.Ref[*chained]{{a, b}, {b, c}, {b, b}} {
			if err := second(chainLink.Call(ctx, pair[0], pair[1])); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Second)
		if err := second(chainUnlink.Call(ctx, c, b)); err != nil { // not the end that made it
			t.Fatal(err)
		}
		if err := a.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if !lives(ctx, b) {
			t.Errorf("b ended with a, which stopped: %v", fs.all())
		}
		if err := chainFail.Send(ctx, b, ""); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if !lives(ctx, c) || lives(ctx, b) || len(fs.all()) != 1 {
			t.Errorf("failures %v, want that of b alone", fs.all())
		}
	})
}

// AC-10: a lost proc, and an actor that is not there, are failures.
func TestAC10LinkLost(t *testing.T) {
	linkNet(t, func(t *testing.T, n *actortest.Net, ctx context.Context, fs *failures, nodes []*actortest.Node, refs []actor.Ref[*chained]) {
		a, b, c := refs[0], refs[1], refs[2]
		if err := second(chainLink.Call(ctx, a, b)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		n.Cut(nodes[1])
		n.Cut(nodes[0])
		<-time.After(10 * time.Minute) // the end that did not dial keeps its session for longer
		n.Heal(nodes[1])
		n.Heal(nodes[0])
		for _, ref := range []actor.Ref[*chained]{a, b} {
			if f := fs.of(ref.ID()); f == nil || !errors.Is(f, actor.ErrPeerGone) {
				t.Errorf("%v failed with %v, want %v", ref, f, actor.ErrPeerGone)
			}
		}
		if err := second(chainLink.Call(ctx, c, a)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if f := fs.of(c.ID()); f == nil || !errors.Is(f, actor.ErrNoActor) {
			t.Errorf("c failed with %v, want %v", f, actor.ErrNoActor)
		}
	})
}

// An actor with LinkDown is told, once, and lives on.
func TestAC10LinkDown(t *testing.T) {
	inEach(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, here, there *actortest.Node) {
		var told downs
		tr, err := trapType.Spawn(ctx, here.ID(), "trap", &told)
		if err != nil {
			t.Fatal(err)
		}
		other, err := chainType.Spawn(ctx, there.ID(), "other", chainParams{To: actor.RefOf[*chained](tr.ID()), Link: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := second(trapLink.Call(ctx, tr, other)); err != nil { // linked already
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if err := chainFail.Send(ctx, other, "far away"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		heard := told.all()
		if len(heard) != 1 || heard[0].Actor != other.ID() || !strings.Contains(heard[0].Err.Error(), "far away") {
			t.Errorf("heard %v, want the failure of %v, once", heard, other)
		}
	})
}

// AC-10: two that link each other at the same moment are linked, whichever
// fails, and whichever name comes first.
func TestAC10LinkCrossing(t *testing.T) {
	for first := range 2 {
		linkNet(t, func(t *testing.T, _ *actortest.Net, ctx context.Context, fs *failures, _ []*actortest.Node, refs []actor.Ref[*chained]) {
			for i := range 2 {
				if err := chainLink.Send(ctx, refs[i], refs[1-i]); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(time.Minute)
			if err := chainFail.Send(ctx, refs[first], "as the test wants"); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
			if all := fs.all(); len(all) != 2 || fs.of(refs[0].ID()) == nil || fs.of(refs[1].ID()) == nil {
				t.Errorf("failures %v, want one of each", all)
			}
		})
	}
}
