package actor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/restart"
)

// Divider divides 100, and fails when it cannot.
type Divider struct{ done int }

func (d *Divider) By(ctx context.Context, n int) error {
	self, err := actor.SelfOf(ctx)
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("division by zero")
	}
	d.done++
	fmt.Printf("run %d: 100/%d = %d, number %d\n", self.Incarnation, n, 100/n, d.done)
	return nil
}

// Office has a Divider. It has no ChildEnded: what fails is restarted.
type Office struct{}

func (*Office) Hire(ctx context.Context, name string) (actor.Ref[*Divider], error) {
	here, err := actor.ProcOf(ctx)
	if err != nil {
		return actor.Ref[*Divider]{}, err
	}
	return DividerType.Spawn(ctx, here, name, actor.None{})
}

var (
	By          = actor.OnSend("divider.by", (*Divider).By)
	DividerType = actor.Define("divider", func(context.Context, actor.None) (*Divider, error) { return &Divider{}, nil }, By)

	Hire       = actor.On("office.hire", (*Office).Hire)
	OfficeType = actor.Define("office", func(context.Context, actor.None) (*Office, error) { return &Office{}, nil }, Hire).
			WithRestarts(actor.Restarts{Limits: restart.Limits{Backoff: restart.Backoff{Min: 10 * time.Millisecond}}})
)

// exampleProc starts a proc and returns a ctx that sends from it.
func exampleProc() (*actor.Proc, context.Context, error) {
	name, err := id.NewProc("host", "example")
	if err != nil {
		return nil, nil, err
	}
	p, err := actor.NewProc(actor.Config{ID: name})
	if err != nil {
		return nil, nil, err
	}
	return p, p.Context(context.Background()), nil
}

// A supervisor whose type has Restarts makes a child again that failed. What
// waited for the child is handled by its next run: whoever sends sees nothing but
// a delay.
func ExampleType_WithRestarts() {
	p, ctx, err := exampleProc()
	if err != nil {
		fmt.Println(err)
		return
	}
	office, err := OfficeType.Spawn(ctx, p.ID(), "office", actor.None{})
	if err != nil {
		fmt.Println(err)
		return
	}
	divider, err := Hire.Call(ctx, office, "divider")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range []int{5, 4, 0, 2} {
		if err := By.Send(ctx, divider, n); err != nil {
			fmt.Println(err)
		}
	}
	if _, err := By.Call(ctx, divider, 1); err != nil { // comes after those before it
		fmt.Println(err)
	}
	if err := p.Stop(ctx, time.Second); err != nil {
		fmt.Println(err)
	}
	// Output:
	// run 1: 100/5 = 20, number 1
	// run 1: 100/4 = 25, number 2
	// run 2: 100/2 = 50, number 1
	// run 2: 100/1 = 100, number 2
}

// Guard watches others, in whatever proc they are.
type Guard struct{ rang chan string }

func (g *Guard) Watch(ctx context.Context, who actor.Ref[*Divider]) error {
	_, err := actor.Watch(ctx, who)
	return err
}

// Down is called when one of them has ended.
func (g *Guard) Down(_ context.Context, d actor.Down) error {
	g.rang <- fmt.Sprintf("%s: %v, clean: %v", d.Actor.Name, d.Reason, d.Clean())
	return nil
}

var (
	GuardWatch = actor.OnSend("guard.watch", (*Guard).Watch)
	GuardType  = actor.Define("guard", func(_ context.Context, rang chan string) (*Guard, error) { return &Guard{rang}, nil }, GuardWatch)
)

// An actor with a method Down watches others, and is told of each end once.
func ExampleWatch() {
	p, ctx, err := exampleProc()
	if err != nil {
		fmt.Println(err)
		return
	}
	rang := make(chan string, 2)
	guard, err := GuardType.Spawn(ctx, p.ID(), "guard", rang)
	if err != nil {
		fmt.Println(err)
		return
	}
	divider, err := DividerType.Spawn(ctx, p.ID(), "divider", actor.None{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := GuardWatch.Call(ctx, guard, divider); err != nil {
		fmt.Println(err)
	}
	if err := divider.Stop(ctx, time.Second); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-rang)
	if _, err := GuardWatch.Call(ctx, guard, divider); err != nil { // it is gone
		fmt.Println(err)
	}
	fmt.Println(<-rang)
	if err := p.Stop(ctx, time.Second); err != nil {
		fmt.Println(err)
	}
	// Output:
	// divider: actor stopped, clean: true
	// divider: no such actor, clean: false
}
