package actor

import (
	"context"
	"fmt"
	"slices"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Type says how actors of type A are made from parameters P, and which
// methods they have. It never changes and may be used from any goroutine.
type Type[A, P any] struct {
	kind kind
	make func(context.Context, P) (A, error)
}

// Define describes an actor type. The name is what crosses the wire when an
// actor is spawned in another proc. Define panics if the name is not one or
// two methods share a name: it runs when the program starts.
//
// A is what make returns: a pointer to a struct, or an interface whose methods
// are the protocol. make gets the ctx of the new actor, which ends with it.
func Define[A, P any](name string, make func(context.Context, P) (A, error), methods ...MethodOf[A]) *Type[A, P] {
	mustName(name)
	t := &Type[A, P]{kind: kind{name: name, byName: map[string]entry{}}, make: make}
	var a A
	_, hears := any(a).(Watcher)
	t.kind.deaf = !hears && any(a) != nil // the zero value of an interface says nothing
	for _, m := range methods {
		e := m.entryOf(a)
		l := e.labelled()
		if t.kind.byName[l.name] != nil {
			panic(fmt.Sprintf("actor type %q: method %q is there twice", name, l.name))
		}
		t.kind.byName[l.name] = e
		t.kind.methods = append(t.kind.methods, l)
	}
	return t
}

// WithMailbox returns a Type like t whose actors have this mailbox.
func (t *Type[A, P]) WithMailbox(m Mailbox) *Type[A, P] {
	c := *t
	c.kind.mailbox = m
	return &c
}

// Name returns the name on the wire.
func (t *Type[A, P]) Name() string { return t.kind.name }

// Spawn starts an actor of this type, called name, in the proc p, and returns
// once it was made. If name is empty the proc makes one up. An error means that
// there is no such actor: the proc has no such type (ErrNoType), a living actor
// has the name (ErrNameTaken), make failed, or ctx ended first. In another proc
// make goes on then, and the actor is stopped when it was made; its name is taken
// until that. Only an error that is ErrInDoubt, because the way to the proc was
// lost, leaves it open whether there is an actor.
//
// A proc of a host can be reached once it is ready; the error is ErrNoRoute
// before. One that was restarted has another id and no actors.
//
// With the ctx of a handler and p its own proc, the new actor is that actor's
// child: it ends before its parent, and its failure is its parent's affair.
// Otherwise it belongs to the agent of p.
func (t *Type[A, P]) Spawn(ctx context.Context, p id.Proc, name string, params P) (Ref[A], error) {
	a, err := t.spawn(ctx, p, name, params)
	if err != nil {
		return Ref[A]{}, fmt.Errorf("spawn %s %q in %s: %w", t.kind.name, name, p, err)
	}
	return Ref[A]{a}, nil
}

func (t *Type[A, P]) spawn(ctx context.Context, p id.Proc, name string, params P) (id.Actor, error) {
	s, trace := originOf(ctx)
	if s == nil {
		return id.Actor{}, errNoSender
	}
	if p == s.proc.id {
		b := &birthOf[A, P]{typ: t, params: params}
		b.maker, b.trace = b, trace
		if err := s.proc.start(s.cell, name, &t.kind, &b.birth); err != nil {
			return id.Actor{}, err
		}
		return b.cell.id(), b.made(ctx)
	}
	body, err := wire.Marshal(params)
	if err != nil {
		return id.Actor{}, err
	}
	d, to := SpawnActor.def, AgentOf(p).id
	req := SpawnRequest{Type: t.kind.name, Name: name, Params: body}
	return d.callOut(ctx, s, s.span(trace, to, d.name, true), to, req, stopLate)
}

// AnyType is a Type of any kind of actor. A proc is given those that can be
// spawned in it from elsewhere.
type AnyType interface {
	erased() *kind
	decode(params []byte) (func(context.Context) (any, error), error)
}

func (t *Type[A, P]) erased() *kind { return &t.kind }

func (t *Type[A, P]) decode(body []byte) (func(context.Context) (any, error), error) {
	var params P
	if err := wire.Unmarshal(body, &params); err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", t.kind.name, err)
	}
	return func(ctx context.Context) (any, error) { return t.make(ctx, params) }, nil
}

// kind is a Type without its type parameters.
type kind struct {
	name    string
	methods []*label
	byName  map[string]entry
	mailbox Mailbox

	restarts *restarts // how it restarts its children; nil if it does not
	part     bool      // its actors are a part of their parents, and are not restarted apart from them
	deaf     bool      // it is certain that its actors are no Watchers
}

// has reports whether l is that of one of the methods. There are few: a scan is
// faster than a look-up.
func (k *kind) has(l *label) bool { return slices.Contains(k.methods, l) }

func mustName(name string) {
	if err := id.CheckName(name); err != nil {
		panic("actor: " + err.Error())
	}
}
