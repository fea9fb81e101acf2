package wire

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
)

// loan is one user's share in memory that will be used for something else: it
// is shared with another process, or a buffer. All copies of a Bulk have the
// same loan. Whatever happens, nobody is left with a slice of memory that was
// given back: bytes copies it or keeps it for good, and pin holds on.
type loan struct {
	size int

	mu       sync.Mutex // guards the following
	lease    *lease     // nil when the memory is not needed here any more
	b        []byte     // our part of it
	kept     []byte     // what bytes has returned
	pins     int
	released bool
	cleanup  runtime.Cleanup // gives the lease back if nobody else does
}

// lease is the memory, used by one loan or several.
type lease struct {
	buffer   bool   // the garbage collector owns it: it may be kept
	giveBack func() // called when nobody uses it any more, unless somebody keeps it
	users    atomic.Int64
	kept     atomic.Bool
}

// drop ends one use.
func (l *lease) drop() {
	if l.users.Add(-1) == 0 && !l.kept.Load() {
		l.giveBack()
	}
}

// newLoan takes over one use of l.
func newLoan(l *lease, b []byte) *loan {
	o := &loan{size: len(b), lease: l, b: b}
	if !l.buffer { // a buffer that is forgotten is garbage
		o.cleanup = runtime.AddCleanup(o, (*lease).drop, l)
	}
	return o
}

func (o *loan) bytes() []byte {
	o.mu.Lock()
	if o.kept == nil && o.lease != nil && !o.released {
		if o.kept = o.b; o.lease.buffer {
			o.lease.kept.Store(true)
		} else {
			o.kept = bytes.Clone(o.b)
		}
	}
	kept := o.kept
	o.settle()
	return kept
}

func (o *loan) pin() ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.released:
		return nil, ErrReleased
	case o.kept != nil:
		o.pins++
		return o.kept, nil
	}
	o.pins++
	return o.b, nil
}

func (o *loan) unpin() {
	o.mu.Lock()
	o.pins--
	o.settle()
}

func (o *loan) release() {
	o.mu.Lock()
	o.released, o.kept = true, nil
	o.settle()
}

// settle drops the lease if nobody needs it. It gives the lock up.
func (o *loan) settle() {
	lease := o.lease
	if o.pins > 0 || !o.released && o.kept == nil {
		lease = nil
	}
	if lease != nil {
		o.lease, o.b = nil, nil
		o.cleanup.Stop()
	}
	o.mu.Unlock()
	if lease != nil {
		lease.drop()
	}
}

func (o *loan) share() (Bulk, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.released:
		return Bulk{}, ErrReleased
	case o.kept != nil:
		return NewBulk(o.kept), nil
	}
	o.lease.users.Add(1)
	return Bulk{loan: newLoan(o.lease, o.b)}, nil
}
