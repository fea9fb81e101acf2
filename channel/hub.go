package channel

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

// Hub is what the sessions of one process share: who is known on the accepting
// side, one timer for the deadlines of all, and the buffers that they read
// into and write from. So an idle session costs one goroutine and little
// memory, and ten thousand of them one timer.
//
// The zero Hub is ready. It must not be copied. All its methods may be called
// at any time by anyone.
type Hub struct {
	blocks  [2]sync.Pool // of *block: small ones and large ones
	buffers buffers
	shared  atomic.Int64 // bytes of the memory that we share with peers

	mu       sync.Mutex // guards the following
	sessions map[sessionKey]*Session
	with     map[id.Proc][]*Session // those that run, by peer
	alarms   alarms
	timer    *time.Timer // for the first of alarms
	timerFor time.Time   // when it fires; zero if it does not
}

// enlist notes that s runs.
func (h *Hub) enlist(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.with == nil {
		h.with = make(map[id.Proc][]*Session)
	}
	h.with[s.peer.Peer] = append(h.with[s.peer.Peer], s)
}

// strike ends what enlist began.
func (h *Hub) strike(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := slices.DeleteFunc(h.with[s.peer.Peer], func(other *Session) bool { return other == s })
	if h.with[s.peer.Peer] = rest; len(rest) == 0 {
		delete(h.with, s.peer.Peer)
	}
}

// answered is told of an answer that went over s, or came, while the call did so
// over another session with the same peer, which waits for it: each of the two may
// have dialed (MS-11).
func (h *Hub) answered(s *Session, out bool) {
	h.mu.Lock()
	var others []*Session
	for _, o := range h.with[s.peer.Peer] {
		if o != s && o.peer.Epoch == s.peer.Epoch {
			others = append(others, o)
		}
	}
	h.mu.Unlock()
	for _, o := range others {
		o.mu.Lock()
		found := o.vigil.answered(out)
		o.mu.Unlock()
		if found {
			return
		}
	}
}

// alarm is a deadline of one session. Hub.mu guards it.
type alarm struct {
	due   time.Time
	index int                 // in the heap, from 1; 0 if it is not there
	ring  func(now time.Time) // called without a lock; must not block
}

// set makes a ring at due, instead of when it was to ring before.
func (h *Hub) set(a *alarm, due time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.due = due
	if a.index == 0 {
		heap.Push(&h.alarms, a)
	} else {
		heap.Fix(&h.alarms, a.index-1)
	}
	h.setTimerLocked()
}

// cancel makes a ring no more; it may be ringing now.
func (h *Hub) cancel(a *alarm) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.index != 0 {
		heap.Remove(&h.alarms, a.index-1)
		h.setTimerLocked()
	}
}

// setTimerLocked makes the timer fire when the first alarm is due.
func (h *Hub) setTimerLocked() {
	if len(h.alarms) == 0 {
		if h.timer != nil {
			h.timer.Stop()
		}
		h.timerFor = time.Time{}
		return
	}
	first := h.alarms[0].due
	switch {
	case h.timer == nil:
		h.timer = time.AfterFunc(time.Until(first), h.ring)
	case first.Equal(h.timerFor):
	default:
		h.timer.Reset(time.Until(first))
	}
	h.timerFor = first
}

// ring rings what is due.
func (h *Hub) ring() {
	now := time.Now()
	h.mu.Lock()
	h.timerFor = time.Time{}
	for len(h.alarms) > 0 && !h.alarms[0].due.After(now) {
		a := heap.Pop(&h.alarms).(*alarm)
		h.mu.Unlock()
		a.ring(now)
		h.mu.Lock()
	}
	h.setTimerLocked()
	h.mu.Unlock()
}

// alarms is a heap, the first one on top.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *alarms) Push(x any) {
	a := x.(*alarm)
	*h = append(*h, a)
	a.index = len(*h)
}

func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.index = 0
	return a
}

// block is a buffer of one of two sizes.
type block struct {
	b    []byte // all of it
	used int    // how much has been given out, when frames are written into it
	refs int    // segments that are in it, and one while more may come
}

const (
	smallBlock = 4 << 10  // where the first frames of a burst go: many sessions may have one at a time
	largeBlock = 64 << 10 // what one read can bring, and where a flood goes
)

// block returns a buffer of largeBlock or smallBlock bytes.
func (h *Hub) block(large bool) *block {
	pool, size := &h.blocks[0], smallBlock
	if large {
		pool, size = &h.blocks[1], largeBlock
	}
	if b, ok := pool.Get().(*block); ok {
		return b
	}
	return &block{b: make([]byte, size)}
}

// free takes a block back.
func (h *Hub) free(b *block) {
	b.used, b.refs = 0, 0
	if len(b.b) == largeBlock {
		h.blocks[1].Put(b)
	} else {
		h.blocks[0].Put(b)
	}
}

// sessionKey names an accepted session: the number alone does not, so that
// nobody can come near the session of another peer.
type sessionKey struct {
	peer   id.Proc
	number uint64
}
