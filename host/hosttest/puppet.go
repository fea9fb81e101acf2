package hosttest

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/hyperactor/hyperactor/actor"
)

// Puppet is the actor that the suite moves in the procs.
type Puppet struct {
	kept  []actor.Reply[actor.None] // answers that are owed for good
	await int                       // how many of them somebody waits for
	there actor.Reply[actor.None]   // who that is
}

// What a Puppet understands.
var (
	Echo   = actor.On("hosttest.echo", (*Puppet).Echo)
	Tell   = actor.OnSend("hosttest.tell", (*Puppet).Tell)
	Fail   = actor.OnSend("hosttest.fail", (*Puppet).Fail)
	Keep   = actor.OnDefer("hosttest.keep", (*Puppet).Keep)
	Await  = actor.OnDefer("hosttest.await", (*Puppet).Await)
	Linger = actor.OnDefer("hosttest.linger", (*Puppet).Linger)
	Deafen = actor.OnDefer("hosttest.deafen", (*Puppet).Deafen)

	Type = actor.Define("hosttest.puppet", newPuppet, Echo, Tell, Fail, Keep, Await, Linger, Deafen)
)

// Types are the actors that the suite spawns in the procs of a manager.
func Types() []actor.AnyType { return []actor.AnyType{Type} }

// Told is what Tell has to send, and where.
type Told struct {
	Port  actor.Port[int]
	Value int
}

func newPuppet(context.Context, actor.None) (*Puppet, error) { return &Puppet{}, nil }

// Echo returns n.
func (p *Puppet) Echo(_ context.Context, n int) (int, error) { return n, nil }

// Tell sends a value to a port.
func (p *Puppet) Tell(ctx context.Context, t Told) error { return t.Port.Send(ctx, t.Value) }

// Fail fails. If it was sent and not called, that fails the actor.
func (p *Puppet) Fail(_ context.Context, text string) error { return errors.New(text) }

// Keep never answers.
func (p *Puppet) Keep(_ context.Context, _ actor.None, reply actor.Reply[actor.None]) error {
	p.kept = append(p.kept, reply)
	if len(p.kept) == p.await {
		return p.there.Send(actor.None{})
	}
	return nil
}

// Await answers when Keep keeps n answers.
func (p *Puppet) Await(_ context.Context, n int, reply actor.Reply[actor.None]) error {
	if len(p.kept) >= n {
		return reply.Send(actor.None{})
	}
	p.await, p.there = n, reply
	return nil
}

// Linger answers and then works until its ctx ends: it cannot be drained, but
// it can be stopped.
func (p *Puppet) Linger(ctx context.Context, _ actor.None, reply actor.Reply[actor.None]) error {
	if err := reply.Send(actor.None{}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// Deafen answers and then works, whatever its ctx says, until the file at path
// ends.
func (p *Puppet) Deafen(_ context.Context, path string, reply actor.Reply[actor.None]) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := reply.Send(actor.None{}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return err
}
