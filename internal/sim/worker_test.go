package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/actor"
)

// worker is an actor that notes what it handles.
type worker struct {
	node *node
	name string
}

// maxPuts is twice how many one-way messages the senders of a node may send to
// one actor: two lives may have one identity. Each takes a method of its own, because that is all by which a message
// that comes back is known.
const maxPuts = 240

// What a worker understands.
var (
	puts        [maxPuts]actor.Method[*worker, msg, actor.None]
	garbagePuts [maxPuts]actor.Method[*worker, string, actor.None]
	unknownPuts [maxPuts]actor.Method[*worker, msg, actor.None]

	askNow   = actor.On("ask", (*worker).answer)
	askLater = actor.OnDefer("later", (*worker).answerLater)

	workerType = actor.Define("worker", func(_ context.Context, k worker) (*worker, error) { return &k, nil }, workerMethods()...)
)

func workerMethods() []actor.MethodOf[*worker] {
	all := []actor.MethodOf[*worker]{askNow, askLater}
	for i := range maxPuts {
		puts[i] = actor.OnSend(fmt.Sprintf("put.%d", i), (*worker).put)
		garbagePuts[i] = actor.OnSend(fmt.Sprintf("put.%d", i), func(*worker, context.Context, string) error { return nil })
		unknownPuts[i] = actor.OnSend(fmt.Sprintf("unknown.%d", i), (*worker).put)
		all = append(all, puts[i])
	}
	return all
}

var errAsked = errors.New("the message asks for an error")

func (k *worker) put(ctx context.Context, m msg) error {
	k.node.w.history.handle(k, &m)
	switch m.What {
	case hold:
		k.take(ctx, m.Hold)
	case breakIt:
		return errAsked
	}
	return nil
}

func (k *worker) answer(ctx context.Context, m msg) (int, error) {
	k.node.w.history.handle(k, &m)
	switch m.What {
	case askLong:
		k.take(ctx, m.Hold)
	case askError:
		return 0, errAsked
	case panicIt:
		panic("asked for")
	}
	return m.ID, nil
}

func (k *worker) answerLater(_ context.Context, m msg, r actor.Reply[int]) error {
	k.node.w.history.handle(k, &m)
	time.AfterFunc(m.Hold, func() { r.Send(m.ID) })
	return nil
}

// take takes long.
func (k *worker) take(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// workerNames returns the workers of each node: plain, with a small mailbox,
// and with one that refuses or drops.
func workerNames() []string { return []string{"plain", "small", "refuse", "drop"} }

func mailboxOf(name string) actor.Mailbox {
	switch name {
	case "small":
		return actor.Mailbox{Limit: 3}
	case "refuse":
		return actor.Mailbox{Limit: 3, Full: actor.Refuse}
	case "drop":
		return actor.Mailbox{Limit: 3, Full: actor.DropOldest}
	}
	return actor.Mailbox{}
}

// driverNames returns the drivers of each node.
func driverNames() []string { return []string{"drv0", "drv1"} }

// driver is an actor that sends.
type driver struct {
	node *node
	name string
}

var drive = actor.OnSend("drive", func(d *driver, ctx context.Context, o op) error {
	d.node.do(ctx, d.name, o)
	return nil
})

var driverType = actor.Define("driver", func(_ context.Context, d driver) (*driver, error) { return &d, nil }, drive)

// Undeliverable is told what comes back.
func (d *driver) Undeliverable(_ context.Context, u actor.Undelivered) {
	d.node.w.history.returned(d.node, d.name, u)
}
