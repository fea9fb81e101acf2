// Package id names hosts, procs, actors and ports.
//
// An id is plain data: comparable with ==, usable as a map key, printable,
// and equal to what Parse makes of its text. The text forms nest:
//
//	alpha                                     a host
//	alpha/worker~4f2a91c03b7d55e1             a proc: its host, its name, its incarnation
//	alpha/worker~4f2a91c03b7d55e1/c1          an actor in that proc
//	alpha/worker~4f2a91c03b7d55e1/c1#counter.add   a port: one method of that actor
//
// A proc's name can be used again after it has ended; its UID never is, so
// an id never comes to mean another proc. An actor's name is unique among the
// living actors of its proc.
//
// This package is a leaf: it imports nothing of the project.
package id

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// MaxName is the longest name of a host, proc, actor or method, in bytes.
const MaxName = 128

// Proc names one incarnation of a proc. The zero Proc names nothing.
type Proc struct {
	Host string // the host that spawned it
	Name string // unique among the living procs of the host
	UID  uint64 // never used twice
}

// NewProc returns the id of a new incarnation of the proc called name on host.
// It fails if a name is not valid (see CheckName).
func NewProc(host, name string) (Proc, error) {
	if err := CheckName(host); err != nil {
		return Proc{}, fmt.Errorf("host: %w", err)
	}
	if err := CheckName(name); err != nil {
		return Proc{}, fmt.Errorf("proc: %w", err)
	}
	return Proc{Host: host, Name: name, UID: NewUID()}, nil
}

// NewUID returns a random number that is not zero.
func NewUID() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails: crypto/rand.Read
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// Actor returns the id of the actor called name in p.
func (p Proc) Actor(name string) Actor { return Actor{Proc: p, Name: name} }

// IsZero reports whether p names nothing.
func (p Proc) IsZero() bool { return p == Proc{} }

// Actor names an actor: the proc it lives in and its name there. An Actor
// without a name stands for the proc's own callers, those outside any actor.
type Actor struct {
	Proc Proc
	Name string
}

// Port returns the id of the port that leads to one method of a.
func (a Actor) Port(method string) Port { return Port{Actor: a, Method: method} }

// IsZero reports whether a names nothing.
func (a Actor) IsZero() bool { return a == Actor{} }

// Port names one method of one actor.
type Port struct {
	Actor  Actor
	Method string
}

// IsZero reports whether p names nothing.
func (p Port) IsZero() bool { return p == Port{} }
