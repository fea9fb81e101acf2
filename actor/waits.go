package actor

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// waits are the calls that wait for an answer or for the end of one ctx: a pure
// list, whose owner locks it. A select over both costs a quarter of a call within
// a proc; here each call waits on one channel, and the end of the ctx is watched
// once for all.
type waits struct{ first *waiter }

// waiter is a call in waits. It belongs to the caller, except while it is there.
type waiter struct {
	next, prev *waiter
	wake       chan<- struct{} // has room for the answer and for the end of the ctx
	woken      bool            // by the end of the ctx
}

func (s *waits) add(w *waiter) {
	w.next = s.first
	if w.next != nil {
		w.next.prev = w
	}
	s.first = w
}

// remove takes w out. It reports whether nobody has told it of the end of the ctx.
func (s *waits) remove(w *waiter) (answered bool) {
	if w.woken {
		return false // end has taken it out
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		s.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
	return true
}

// end tells all of the end of the ctx.
func (s *waits) end() {
	for w := s.first; w != nil; w = w.next {
		w.woken = true
		w.wake <- struct{}{}
	}
	s.first = nil
}

// watched is a ctx whose end its own waits are told of.
type watched interface {
	// enter adds w. It reports false if the ctx has ended.
	enter(w *waiter) bool

	// leave takes w out, which was woken. It reports whether that is the answer.
	leave(w *waiter) (answered bool)
}

// watchedBy returns ctx as that, or nil if it is none.
func watchedBy(ctx context.Context) watched {
	switch c := ctx.(type) {
	case *scope:
		return c
	case *outside:
		if w := c.watch.Load(); w != nil {
			return w
		}
		if c.calls.Add(1) == often {
			c.watchEnd()
		}
	}
	return nil
}

// often is how many calls under one ctx are worth watching its end for all of them.
const often = 8

// watch is what outside adds to a ctx. It outlives the outside by what is still
// to be cleaned up, and so does not know it.
type watch struct {
	mu    sync.Mutex // guards the following
	waits waits
	over  bool
}

func (w *watch) enter(r *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.waits.add(r)
	return true
}

func (w *watch) leave(r *waiter) (answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waits.remove(r)
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.waits.end()
}

// watchEnd watches the end of o for those who call under it from now on, for as
// long as there is somebody who could.
func (o *outside) watchEnd() {
	w := &watch{}
	stop := context.AfterFunc(o.Context, w.end)
	runtime.AddCleanup(o, func(stop func() bool) { stop() }, stop)
	o.watch.Store(w)
}

// endWatch is what an outside has of a watch.
type endWatch struct {
	calls atomic.Uint32
	watch atomic.Pointer[watch]
}
