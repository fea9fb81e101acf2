package shm

import (
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Arena keeps the books of the segments that one process writes for another
// one. It does no I/O and knows no time but what it is told. A segment holds
// one message part at a time; it is used again when the reader is done with
// it, so that its pages stay where they are.
//
// A reader that keeps what it gets makes the arena full, nothing else.
type Arena struct {
	Limit int // bytes of all segments together

	slots   map[uint32]*slot
	bytes   int // of all slots
	last    uint32
	opening bool
}

type slot struct {
	size  int
	state slotState
	used  time.Time // when it was last given back
}

type slotState uint8

const (
	opening slotState = iota // the reader has not answered yet
	free
	taken // somebody writes into it
	busy  // holds a part that the reader has, or will get
)

// SizeFor returns the size of a segment for parts of n bytes: sizes are few, so
// that segments fit again, and at most a quarter is wasted.
func SizeFor(n int) int {
	n = max(n, MinSize)
	step := 1 << max(bits.Len(uint(n-1))-3, 0)
	return (n + step - 1) / step * step
}

// Take takes a segment to write n bytes into, until Sent or Untake: nothing that
// the reader says takes it away. Without one that is free it reports false: the
// part goes another way, and Grow may help the next one.
func (a *Arena) Take(n int) (number uint32, ok bool) {
	for i, s := range a.slots {
		if s.state == free && s.size >= n && s.size/4 <= n && (!ok || s.size < a.slots[number].size) {
			number, ok = i, true
		}
	}
	if ok {
		a.slots[number].state = taken
	}
	return number, ok
}

// Sent notes that a segment that was taken is written, and goes to the reader.
func (a *Arena) Sent(number uint32) { a.slots[number].state = busy }

// Untake notes that the reader gets nothing in a segment that was taken.
func (a *Arena) Untake(number uint32, now time.Time) {
	s := a.slots[number]
	s.state, s.used = free, now
}

// Growth is what Grow wants done.
type Growth struct {
	Number uint32   // the segment to make and to tell the reader of
	Size   int      // its size; 0 if none is to be made
	Drop   []uint32 // those that are given up for it: they are off the books
}

// Grow says how there will be a segment for n bytes: one is made at a time,
// and free ones are given up for it if the limit is near.
func (a *Arena) Grow(n int) Growth {
	size := SizeFor(n)
	if a.opening || size > a.Limit || size > MaxSize {
		return Growth{}
	}
	g := Growth{Size: size}
	if over := a.bytes + size - a.Limit; over > 0 {
		if g.Drop = a.oldest(over); g.Drop == nil {
			return Growth{}
		}
		a.drop(g.Drop)
	}
	a.last++
	g.Number = a.last
	if a.slots == nil {
		a.slots = make(map[uint32]*slot)
	}
	a.slots[g.Number] = &slot{size: size}
	a.bytes += size
	a.opening = true
	return g
}

// oldest returns free segments that have over bytes together, those first that
// were not used for the longest time, or nil.
func (a *Arena) oldest(over int) []uint32 {
	all := a.idle(func(*slot) bool { return true })
	for i, n := range all {
		if over -= a.slots[n].size; over <= 0 {
			return all[:i+1]
		}
	}
	return nil
}

// idle returns the free segments that which picks, the oldest first.
func (a *Arena) idle(which func(*slot) bool) []uint32 {
	var all []uint32
	for n, s := range a.slots {
		if s.state == free && which(s) {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(x, y uint32) int {
		if c := a.slots[x].used.Compare(a.slots[y].used); c != 0 {
			return c
		}
		return int(int64(x) - int64(y))
	})
	return all
}

func (a *Arena) drop(numbers []uint32) {
	for _, n := range numbers {
		a.bytes -= a.slots[n].size
		delete(a.slots, n)
	}
}

// Opened notes the reader's answer: it has the segment, or cannot have it. One
// that it cannot have is off the books.
func (a *Arena) Opened(number uint32, ok bool, now time.Time) error {
	s := a.slots[number]
	if s == nil || s.state != opening {
		return fmt.Errorf("segment %d is not being opened", number)
	}
	a.opening = false
	if ok {
		s.state, s.used = free, now
	} else {
		a.drop([]uint32{number})
	}
	return nil
}

// Return notes that the reader is done with what a segment holds.
func (a *Arena) Return(number uint32, now time.Time) error {
	s := a.slots[number]
	if s == nil || s.state != busy {
		return fmt.Errorf("segment %d is not in use", number)
	}
	s.state, s.used = free, now
	return nil
}

// Expire returns the segments that nobody has used since before, which are off
// the books then, and when the next one may be that old: zero if there is none.
func (a *Arena) Expire(before time.Time) (dropped []uint32, next time.Time) {
	dropped = a.idle(func(s *slot) bool { return !s.used.After(before) })
	a.drop(dropped)
	for _, s := range a.slots {
		if s.state == free && (next.IsZero() || s.used.Before(next)) {
			next = s.used
		}
	}
	return dropped, next
}

// Bytes returns the size of all segments together.
func (a *Arena) Bytes() int { return a.bytes }
