package actor

import "github.com/hyperactor/hyperactor/id"

// Ref is the address of an actor that has the methods of A. It is plain data:
// compare it, print it, store it, send it to another proc. A Ref does not keep
// its actor alive, and does not say whether it lives.
type Ref[A any] struct{ id id.Actor }

// RefOf returns the ref of the actor called a. The caller vouches for its type;
// a message that the actor does not understand comes back as ErrNoMethod.
func RefOf[A any](a id.Actor) Ref[A] { return Ref[A]{a} }

// ID returns the name of the actor.
func (r Ref[A]) ID() id.Actor { return r.id }

// String returns the text form of the actor's id.
func (r Ref[A]) String() string { return r.id.String() }

// MarshalText returns String.
func (r Ref[A]) MarshalText() ([]byte, error) { return r.id.MarshalText() }

// UnmarshalText reads the text form of an actor's id.
func (r *Ref[A]) UnmarshalText(b []byte) error { return r.id.UnmarshalText(b) }
