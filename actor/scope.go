package actor

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

// sender is who sends: an actor, or a proc's callers outside any actor. A ctx
// carries it. Order is kept by sender (MS-2).
type sender struct {
	proc *Proc
	name string // of the actor; "" outside any actor
	cell *cell  // nil outside any actor

	last  atomic.Pointer[cell]   // whom it sent to last: saves the look-up
	spare atomic.Pointer[ticket] // a call that is done, for the next one
}

type senderKey struct{}

// senderOf returns who sends with ctx.
func senderOf(ctx context.Context) (*sender, error) {
	if s, _ := originOf(ctx); s != nil {
		return s, nil
	}
	return nil, errNoSender
}

var errNoSender = fmt.Errorf("%w: pass the ctx of a handler, or proc.Context(ctx)", ErrNoProc)

func (s *sender) id() id.Actor { return s.proc.id.Actor(s.name) }

// find returns the living actor called name in the sender's own proc, or nil.
func (s *sender) find(name string) *cell {
	if c := s.last.Load(); c != nil && c.name == name && c.bond.Load() != over {
		return c
	}
	c := s.proc.cell(name)
	if c != nil {
		s.last.Store(c)
	}
	return c
}

// outside is the context of callers outside any actor. Each is a sender with a
// memory of its own: callers that have one each share nothing that they write.
type outside struct {
	context.Context
	sender sender
	endWatch
}

// Value also returns the sender.
func (o *outside) Value(key any) any {
	if _, ok := key.(senderKey); ok {
		return &o.sender
	}
	return o.Context.Value(key)
}

// scope is the context of an actor's handlers: it carries the sender and ends
// with the actor.
type scope struct {
	sender

	mu    sync.Mutex // guards the following
	cause error      // not nil once it has ended
	told  *told      // nil until somebody wants to be told of that: an idle actor has none
	end   *ending    // not nil once it has to end
	rare  *rare      // set by the actor's goroutine alone, which need not lock to read it
}

// told is who is told of the end of a scope.
type told struct {
	done  chan struct{} // nil until somebody asks for it
	after map[*func()]struct{}
	waits waits
}

func (s *scope) toldLocked() *told {
	if s.told == nil {
		s.told = &told{}
	}
	return s.told
}

// Deadline reports that there is none.
func (s *scope) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns a channel that is closed when the actor has to end.
func (s *scope) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.toldLocked()
	if t.done == nil {
		t.done = make(chan struct{})
		if s.cause != nil {
			close(t.done)
		}
	}
	return t.done
}

// Err returns context.Canceled once the actor has to end.
func (s *scope) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return context.Canceled
	}
	return nil
}

// Value returns the sender, which is all that a scope carries.
func (s *scope) Value(key any) any {
	if _, ok := key.(senderKey); ok {
		return &s.sender
	}
	return nil
}

// AfterFunc is what package context looks for, to watch a context of another
// package without a goroutine.
func (s *scope) AfterFunc(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		go f() // as context.AfterFunc does
		return func() bool { return false }
	}
	s.addAfter(&f)
	return func() bool { return s.removeAfter(&f) }
}

func (s *scope) enter(w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return false
	}
	s.toldLocked().waits.add(w)
	return true
}

func (s *scope) leave(w *waiter) (answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told.waits.remove(w)
}

// timer calls f after d, unless the scope ends first. Nothing remains of it then.
func (s *scope) timer(d time.Duration, f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return func() bool { return false }
	}
	var t *time.Timer
	end := func() {
		t.Stop()
		f = nil // a timer that was stopped may stay in its heap for long
	}
	t = time.AfterFunc(d, func() {
		if s.removeAfter(&end) { // whoever removes it decides, and has f
			f()
		}
	})
	s.addAfter(&end)
	return func() bool {
		inTime := s.removeAfter(&end)
		if inTime {
			end()
		}
		return inTime
	}
}

// addAfter has f called when the scope ends. Its caller has the lock.
func (s *scope) addAfter(f *func()) {
	t := s.toldLocked()
	if t.after == nil {
		t.after = make(map[*func()]struct{})
	}
	t.after[f] = struct{}{}
}

// removeAfter undoes addAfter. It reports whether that is in time.
func (s *scope) removeAfter(f *func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		return false
	}
	_, waits := s.told.after[f]
	delete(s.told.after, f)
	return waits
}

// cancel ends the scope; the first cause stays.
func (s *scope) cancel(cause error) {
	s.mu.Lock()
	if s.cause != nil {
		s.mu.Unlock()
		return
	}
	s.cause = cause
	var after map[*func()]struct{}
	if t := s.told; t != nil {
		if t.done != nil {
			close(t.done)
		}
		after, t.after = t.after, nil
		t.waits.end()
	}
	s.mu.Unlock()
	for f := range after {
		go (*f)() // as context.AfterFunc does
	}
}
