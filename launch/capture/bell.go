package capture

import (
	"slices"
	"sync"
	"sync/atomic"
)

// bell tells one reader that there may be something new.
type bell struct {
	c     chan struct{} // has room for one ring
	files atomic.Bool   // files have come or gone since somebody looked
	deaf  atomic.Bool   // the directory was moved or removed: nothing more is heard of what has its name now
	stop  func()        // ends the ringing and waits for whoever rings
}

func newBell() *bell { return &bell{c: make(chan struct{}, 1)} }

func (b *bell) ring(files bool) {
	if files {
		b.files.Store(true)
	}
	select {
	case b.c <- struct{}{}:
	default:
	}
}

// bells are the bells of the readers in the writing process. Without any, a
// ring costs next to nothing.
type bells struct {
	some atomic.Bool

	mu  sync.Mutex // guards the following
	all []*bell
}

func (s *bells) add() *bell {
	b := newBell()
	b.stop = func() {
		s.change(func(all []*bell) []*bell { return slices.DeleteFunc(all, func(o *bell) bool { return o == b }) })
	}
	s.change(func(all []*bell) []*bell { return append(all, b) })
	return b
}

func (s *bells) change(f func([]*bell) []*bell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = f(s.all)
	s.some.Store(len(s.all) > 0)
}

func (s *bells) ring(files bool) {
	if !s.some.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.all {
		b.ring(files) // never waits
	}
}
