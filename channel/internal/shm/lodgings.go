package shm

import "fmt"

// Lodgings keeps the books of the segments that one process reads: which it
// has, and which of them hold something that is in use. It does no I/O. What
// the writer says is checked; an error means that it lies, or errs.
type Lodgings struct {
	Limit int // bytes of all segments together

	bytes int
	rooms map[uint32]*room
}

type room struct {
	size    int
	memory  []byte // nil until it is mapped
	let     bool   // what it holds is in use
	dropped bool   // the writer has given it up
}

// Announce notes that the writer offers a segment. It reports false for one
// that is too much: it is refused, which is no lie.
func (l *Lodgings) Announce(number uint32, size uint64) (ok bool, err error) {
	if l.rooms[number] != nil {
		return false, fmt.Errorf("segment %d is offered twice", number)
	}
	if size < MinSize {
		return false, fmt.Errorf("segment %d has %d bytes, want %d at least", number, size, MinSize)
	}
	if size > uint64(l.Limit) || l.bytes+int(size) > l.Limit {
		return false, nil
	}
	if l.rooms == nil {
		l.rooms = make(map[uint32]*room)
	}
	l.rooms[number] = &room{size: int(size)}
	l.bytes += int(size)
	return true, nil
}

// Mapped notes that a segment that was announced is mapped.
func (l *Lodgings) Mapped(number uint32, memory []byte) { l.rooms[number].memory = memory }

// Refused notes that a segment that was announced could not be mapped.
func (l *Lodgings) Refused(number uint32) { l.forget(number) }

// Let hands out the first n bytes of a segment, until Return.
func (l *Lodgings) Let(number uint32, n int) ([]byte, error) {
	r := l.rooms[number]
	switch {
	case r == nil || r.memory == nil || r.dropped:
		return nil, fmt.Errorf("segment %d is not there", number)
	case r.let:
		return nil, fmt.Errorf("segment %d is in use", number)
	case n > len(r.memory):
		return nil, fmt.Errorf("%d bytes in segment %d, which has %d", n, number, len(r.memory))
	}
	r.let = true
	return r.memory[:n:n], nil
}

// Return notes that what a segment holds is not in use any more. It returns
// the memory if that is to be closed; otherwise the writer is to be told.
func (l *Lodgings) Return(number uint32) (unmap []byte) {
	r := l.rooms[number]
	if r.let = false; r.dropped {
		return l.forget(number)
	}
	return nil
}

// Drop notes that the writer has given a segment up, which it does only with
// one that it knows to be mapped. It returns the memory if that is to be closed
// now: if it is in use, Return does.
func (l *Lodgings) Drop(number uint32) (unmap []byte, err error) {
	r := l.rooms[number]
	if r == nil || r.memory == nil || r.dropped {
		return nil, fmt.Errorf("segment %d is given up and is not there", number)
	}
	if r.let {
		r.dropped = true
		return nil, nil
	}
	return l.forget(number), nil
}

// DropAll is Drop for all segments, at the end: none is being mapped any more.
func (l *Lodgings) DropAll() (unmap [][]byte) {
	for n, r := range l.rooms {
		if r.dropped = true; !r.let {
			unmap = append(unmap, l.forget(n))
		}
	}
	return unmap
}

func (l *Lodgings) forget(number uint32) []byte {
	r := l.rooms[number]
	l.bytes -= r.size
	delete(l.rooms, number)
	return r.memory
}
