package launch

import (
	"bytes"
	"sync"
)

// The bounds of a Tail.
const (
	// MaxLine is the longest line, in bytes. A longer one counts as several
	// lines of MaxLine bytes and a rest, so no byte is lost.
	MaxLine = 64 << 10

	// MaxTail is how many bytes a Tail keeps at most, whatever the number of
	// lines; lines that no longer fit are dropped whole, oldest first.
	MaxTail = 256 << 10
)

// Tail keeps the last lines of a stream (PS-8). One goroutine writes and
// flushes; any may read at the same time.
type Tail struct {
	each func(line []byte) // nil, or gets every line; called without the lock

	mu    sync.Mutex // guards the following
	ring  [][]byte   // the slots of the kept lines, up to limit; their memory is used again
	limit int        // never changes
	first int        // slot of the oldest line
	count int        // how many lines are kept
	bytes int        // how many bytes they have
	open  []byte     // the last line, not ended yet
}

// NewTail returns a Tail of at most n lines. each, if not nil, is called with
// every line in order, without its newline; it may not keep the slice.
func NewTail(n int, each func(line []byte)) *Tail {
	return &Tail{each: each, limit: max(n, 1)}
}

// Write takes the next bytes of the stream. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if t.each == nil {
		p = t.skip(p)
	}
	for len(p) > 0 {
		line, rest, ended := t.next(p)
		if ended && t.each != nil {
			t.each(line)
		}
		p = rest
	}
	return n, nil
}

// skip forgets what has come, and returns the end of p, if p alone has more
// lines than are kept: nobody asked for the others.
func (t *Tail) skip(p []byte) []byte {
	from := len(p)
	for range t.limit + 1 {
		if from = bytes.LastIndexByte(p[:from], '\n'); from < 0 {
			return p
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeLocked()
	t.count, t.bytes = 0, 0
	return p[from+1:]
}

// Flush ends the last line if it has no newline, at the end of the stream.
func (t *Tail) Flush() {
	t.mu.Lock()
	line := t.open
	if len(line) > 0 {
		t.keepLocked(line)
		t.open = nil
	}
	t.mu.Unlock()
	if len(line) > 0 && t.each != nil {
		t.each(line)
	}
}

// Lines returns a copy of the kept lines, oldest first. The last one may be a
// line that has not ended yet.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := make([]string, 0, t.count+1)
	for i := range t.count {
		lines = append(lines, string(t.ring[(t.first+i)%len(t.ring)]))
	}
	if len(t.open) > 0 {
		lines = append(lines, string(t.open))
	}
	return lines[max(0, len(lines)-t.limit):]
}

// next takes bytes from p up to the end of a line, or all of them. The line
// stays valid until the next call.
func (t *Tail) next(p []byte) (line, rest []byte, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	room := MaxLine - len(t.open)
	i := bytes.IndexByte(p[:min(len(p), room+1)], '\n')
	switch {
	case i < 0 && len(p) <= room:
		t.open = append(t.open, p...)
		return nil, nil, false
	case i < 0:
		line, rest = p[:room], p[room:]
	default:
		line, rest = p[:i], p[i+1:]
	}
	if len(t.open) > 0 {
		t.open = append(t.open, line...)
		line = t.open
		t.closeLocked()
	}
	t.keepLocked(line)
	return line, rest, true
}

// closeLocked makes room for the next line.
func (t *Tail) closeLocked() {
	t.open = t.open[:0]
	if cap(t.open) > 4096 {
		t.open = nil // one long line must not hold its memory for ever
	}
}

// growLocked makes the ring larger: a process that says nothing has none.
func (t *Tail) growLocked() {
	ring := make([][]byte, min(t.limit, max(4, 2*len(t.ring))))
	n := copy(ring, t.ring[t.first:])
	copy(ring[n:], t.ring[:t.first])
	t.ring, t.first = ring, 0
}

// keepLocked stores a copy of line, over the oldest one if need be.
func (t *Tail) keepLocked(line []byte) {
	for t.count > 0 && (t.count == t.limit || t.bytes+len(line) > MaxTail) {
		t.bytes -= len(t.ring[t.first])
		t.first = (t.first + 1) % len(t.ring)
		t.count--
	}
	if t.count == len(t.ring) {
		t.growLocked()
	}
	slot := &t.ring[(t.first+t.count)%len(t.ring)]
	if cap(*slot) > 1024 && cap(*slot)/4 > len(line) {
		*slot = nil // the same
	}
	*slot = append((*slot)[:0], line...)
	t.bytes += len(line)
	t.count++
}
