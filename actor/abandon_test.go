package actor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// preempted is a message whose actor's goroutine comes to a stop between the
// decision to handle it and its handler.
type preempted struct {
	message
	goOn <-chan struct{}
}

func (m preempted) run(c *cell) error {
	<-m.goOn
	return m.message.run(c)
}

// listener is a proc that writes down what it is sent.
type listener chan wire.Envelope

func (l listener) Deliver(e *wire.Envelope) { l <- *e }
func (listener) Gone(id.Proc, error)        {}
func (listener) Cut(id.Proc, error)         {}

// AC-3, MS-4: a call that is just being taken up when its actor is abandoned gets
// its outcome, and its handler is not run: it might never return.
func TestAC3AbandonedBeforeTheHandler(t *testing.T) {
	here, there := id.Proc{Host: "h", Name: "here", UID: 1}, id.Proc{Host: "h", Name: "there", UID: 2}
	for _, where := range []string{"here", "there"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold := make(chan struct{})
				defer close(hold)
				hang := On("hang", func(*int, context.Context, None) (None, error) { <-hold; return None{}, nil })
				typ := Define("hanger", func(context.Context, None) (*int, error) { return new(int), nil }, hang)
				g := gateway.New(gateway.Config{Self: here})
				defer g.Close(context.Background())
				heard := make(listener, 10)
				if err := g.Bind(there, heard); err != nil {
					t.Fatal(err)
				}
				p, err := NewProc(Config{ID: here, Gateway: g, OnFailure: func(*Failure) {}})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Stop(context.Background(), time.Second)
				ctx := p.Context(context.Background())
				ref, err := typ.Spawn(ctx, here, "h", None{})
				if err != nil {
					t.Fatal(err)
				}
				c := p.cell("h")
				local := hang.def.newCall(&sender{proc: p}, nil)
				var m message = local
				if where == "there" {
					body, err := wire.Marshal(None{})
					if err != nil {
						t.Fatal(err)
					}
					e := wire.Envelope{Kind: wire.Call, Call: 1, To: ref.ID(), From: there.Actor("x"), Method: "hang", Body: body}
					m = p.newIncoming(&e, hang.def)
				}
				goOn := make(chan struct{})
				c.note(preempted{m, goOn})
				synctest.Wait()
				if err := ref.Stop(ctx, time.Second); err != nil {
					t.Fatal(err)
				}
				close(goOn)
				synctest.Wait()
				if where == "there" {
					select {
					case e := <-heard:
						err = returned(&e).Err()
					default:
					}
				} else {
					select {
					case <-local.done:
						err = local.err
					default:
					}
				}
				if u, ok := errors.AsType[*UndeliverableError](err); !ok || u.Reason != ErrFailed && u.Reason != ErrStopped || u.InDoubt {
					t.Errorf("the call ended with %v; want that it was not handled", err)
				}
			})
		})
	}
}
