package actor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Port is an address that takes values of type T: an Inbox, or one method of
// an actor. It is plain data: compare it, print it, send it to another proc.
type Port[T any] struct{ id id.Port }

// PortOf returns the port called p. The caller vouches for its type.
func PortOf[T any](p id.Port) Port[T] { return Port[T]{p} }

// ID returns the name of the port.
func (p Port[T]) ID() id.Port { return p.id }

// String returns the text form of the port's id.
func (p Port[T]) String() string { return p.id.String() }

// MarshalText returns String.
func (p Port[T]) MarshalText() ([]byte, error) { return p.id.MarshalText() }

// UnmarshalText reads the text form of a port's id.
func (p *Port[T]) UnmarshalText(b []byte) error { return p.id.UnmarshalText(b) }

// Send sends v to the port, with the promises of Method.Send.
func (p Port[T]) Send(ctx context.Context, v T) error {
	s, t := originOf(ctx)
	if s == nil {
		return errNoSender
	}
	a := p.id.Actor
	sp := s.span(t, a, p.id.Method, false)
	if a.Proc != s.proc.id {
		o := &outgoing[T, None]{req: v, span: sp}
		return o.send(ctx, s, a, p.id.Method)
	}
	c := s.find(a.Name)
	if c == nil {
		return sp.returned(&UndeliverableError{To: a, Method: p.id.Method, Reason: wire.NoActor})
	}
	to, ok := c.typ.byName[p.id.Method].(poster[T])
	if !ok {
		return sp.returned(&UndeliverableError{To: a, Method: p.id.Method, Reason: wire.NoMethod, Detail: fmt.Sprintf("type %s has none that takes %T", c.typ.name, v)})
	}
	return to.post(ctx, s, sp, a.Name, v)
}

// poster is a method that takes values of type T.
type poster[T any] interface {
	post(ctx context.Context, s *sender, sp *span, name string, v T) error
}

// Inbox is the receiving end of a Port. It holds up to 1,024 values; senders
// then wait. One goroutine at a time may call Recv.
type Inbox[T any] struct {
	cell   *cell
	values chan T
}

// NewPort opens a port in the proc of ctx and returns both ends. Close it when
// it is not needed any more; one that a handler opens ends with its actor.
func NewPort[T any](ctx context.Context) (Port[T], *Inbox[T], error) {
	s, err := senderOf(ctx)
	if err != nil {
		return Port[T]{}, nil, err
	}
	in := &Inbox[T]{values: make(chan T)}
	put := OnSend("put", (*Inbox[T]).put)
	inboxes := Define("port", func(context.Context, None) (*Inbox[T], error) { return in, nil }, put)
	inboxes.kind.part = true
	b := &birth{maker: makeFunc(func(context.Context) (any, error) { return in, nil })}
	err = s.proc.start(s.cell, "", &inboxes.kind, b)
	if err == nil {
		in.cell = b.cell
		err = b.made(ctx)
	}
	if err != nil {
		return Port[T]{}, nil, fmt.Errorf("open a port in %s: %w", s.proc.id, err)
	}
	return Port[T]{b.cell.id().Port("put")}, in, nil
}

// ErrClosed says that an inbox is closed.
var ErrClosed = errors.New("inbox is closed")

// Recv returns the next value. Its errors are ErrClosed and ctx's cause.
func (in *Inbox[T]) Recv(ctx context.Context) (v T, err error) {
	select {
	case v = <-in.values:
		return v, nil
	case <-in.cell.Done():
		return v, ErrClosed
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
}

// Close closes the port. What was not received goes back to its senders.
func (in *Inbox[T]) Close() { in.cell.stop(false, time.Now().Add(time.Minute), ErrClosed) }

// put hands a value over. Until somebody receives it the mailbox holds the
// values behind it, and does for ports what it does for actors.
func (in *Inbox[T]) put(ctx context.Context, v T) error {
	select {
	case in.values <- v:
		return nil
	case <-ctx.Done():
		return errNotTaken
	}
}

// errNotTaken is how a handler gives its message back.
var errNotTaken = errors.New("not taken")
