package actor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
)

// crowd counts what it gets, when it is let.
type crowd struct{ open <-chan time.Time }

var (
	crowdIn   = actor.OnSend("crowd.in", func(c *crowd, _ context.Context, _ actor.None) error { c.wait(); return nil })
	crowdHold = actor.OnSend("crowd.hold", func(c *crowd, _ context.Context, d time.Duration) error { c.open = time.After(d); return nil })
	crowdType = actor.Define("crowd", func(context.Context, actor.None) (*crowd, error) { return &crowd{}, nil }, crowdIn, crowdHold)
)

func (c *crowd) wait() {
	if c.open != nil {
		<-c.open
		c.open = nil
	}
}

// MS-7: however late procs hear that they are to hold back, and however many they
// are, what they send meanwhile waits beside the mailbox: nothing comes back.
func TestMS7LateToHoldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const procs, each = 3, 200_000 // of which a queue of 4 MiB holds 100,000
		net := actortest.NewNet(t)
		net.SetDelay(time.Second)
		there, ctx := net.Add("there", actor.Config{Types: []actor.AnyType{crowdType}})
		ref, err := crowdType.Spawn(ctx, there.ID(), "crowd", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		if err := crowdHold.Send(ctx, ref, time.Minute); err != nil {
			t.Fatal(err)
		}
		var senders sync.WaitGroup
		for i := range procs {
			_, ctx := net.Add(fmt.Sprint("from", i), actor.Config{
				OnUndeliverable: func(u actor.Undelivered) { t.Errorf("came back: %+v", u) },
			})
			senders.Go(func() {
				for n := range each {
					if err := crowdIn.Send(ctx, ref, actor.None{}); err != nil {
						t.Errorf("message %d of proc %d: %v", n, i, err)
						return
					}
				}
			})
		}
		start := time.Now()
		senders.Wait()
		if d := time.Since(start); d < 30*time.Second {
			t.Errorf("the senders were held back for %v only", d)
		}
	})
}
