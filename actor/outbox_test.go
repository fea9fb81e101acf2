package actor

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// correspondents returns a proc, and one to which it sends and what that one has heard.
func correspondents(t *testing.T) (p *Proc, there id.Proc, heard listener) {
	t.Helper()
	here, there := id.Proc{Host: "h", Name: "here", UID: 1}, id.Proc{Host: "h", Name: "there", UID: 2}
	g := gateway.New(gateway.Config{Self: here})
	t.Cleanup(func() { g.Close(context.Background()) })
	heard = make(listener)
	if err := g.Bind(there, heard); err != nil {
		t.Fatal(err)
	}
	p, err := NewProc(Config{ID: here, Gateway: g})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background(), 0) })
	return p, there, heard
}

// MS-7: who is owed very much, and takes nothing, still learns that there is
// room again. A pause that finds no room is owed no end.
func TestMS7ResumeIsNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, there, heard := correspondents(t)
		p.post(wire.Envelope{Kind: wire.Return, To: there.Actor("x")})
		synctest.Wait() // it is being delivered
		for range maxOutbox {
			if !p.post(wire.Envelope{Kind: wire.Return, To: there.Actor("x")}) {
				t.Fatal("dropped, and there is room")
			}
		}
		if p.post(wire.Envelope{Kind: wire.Return, To: there.Actor("x")}) || p.Lost() != 1 {
			t.Errorf("%d were dropped, want 1", p.Lost())
		}
		f := p.agent.queue.flows()
		f.holdBack(p.agent, there)
		if x := f.excess[there]; x == nil || x.asked {
			t.Errorf("a pause that was dropped is owed an end: %+v", x)
		}
		p.resume(p.agent, there)
		last := wire.Kind(0)
		for range maxOutbox + 2 {
			last = (<-heard).Kind
		}
		if last != wire.Resume {
			t.Errorf("the last one is of kind %v, want a Resume", last)
		}
	})
}

// The replies in an outbox are bounded by their bytes, and what was sent counts
// no more.
func TestOutboxBoundsReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, there, heard := correspondents(t)
		half := make([]byte, maxAnswers/2)
		taken := func(size int) bool {
			return p.postReply(wire.Envelope{Kind: wire.Reply, To: there.Actor("x"), Body: half[:size]})
		}
		for round := range 2 {
			for i, want := range []bool{true, true, false} {
				if got := taken(len(half)); got != want {
					t.Errorf("round %d, half %d: taken: %v, want %v", round, i, got, want)
				}
			}
			<-heard
			synctest.Wait()
			<-heard
			synctest.Wait()
		}
		if n := p.outboxes.len(); n != 0 {
			t.Errorf("%d outboxes, want none", n)
		}
	})
}

// MS-7: a proc is asked to hold back before anything else happens, and again if it
// goes on as if it had not heard.
func TestMS7AskedAtOnceAndAgain(t *testing.T) {
	p, there, _ := correspondents(t)
	other := id.Proc{Host: there.Host, Name: "other", UID: 3}
	heard := make(listener, 100)
	if err := p.cfg.Gateway.Bind(other, heard); err != nil {
		t.Fatal(err)
	}
	f := new(queue).flows()
	for n := 1; n <= 2*askAgain; n++ {
		if !f.holdBack(p.agent, other) {
			t.Fatalf("message %d is refused", n)
		}
		if asked := len(heard); asked != 1+(n-1)/askAgain {
			t.Fatalf("after %d messages the proc was asked %d times", n, asked)
		}
	}
	for range maxExcess - 2*askAgain {
		f.holdBack(p.agent, other)
	}
	if f.holdBack(p.agent, other) {
		t.Error("more is kept than a queue can hold")
	}
}
