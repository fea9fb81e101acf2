package channel

import (
	"math/bits"
	"slices"
	"sync"
)

// buffers are where large messages are read into. One that is used again need
// not be cleared, and the one that came back last is still in the cache of a
// CPU: to read into it costs half of what it costs to read into another one.
// So a few are kept in order, and what is more in pools.
type buffers struct {
	pools [bufferSizes]sync.Pool // of *buffer, by class

	mu    sync.Mutex // guards the following
	warm  []*buffer  // the last ones that came back, oldest first
	bytes int        // of warm
}

const (
	bufferSizes = 4*12 + 1        // four to each power of two, from largeBody to maxBuffer
	maxBuffer   = largeBody << 12 // a larger one is not used again
	maxWarm     = 4 << 20         // bytes of all that are kept in order
)

// buffer is one of them. It has room for overread bytes more.
type buffer struct {
	b     []byte
	class int // -1 if it is not to be used again
}

// overread is how much is read at most after what belongs into a buffer: the
// beginning of the next frames, so that it does not cost a system call of its own.
const overread = 256

// classOf returns the class of the smallest size for n bytes, and that size: at
// most a quarter more.
func classOf(n int) (class, size int) {
	n = max(n, largeBody)
	power := bits.Len(uint(n-1)) - 1 // 1<<power < n, or n is largeBody
	step := 1 << (power - 2)
	size = (n + step - 1) / step * step
	return 4*(power-(bits.Len(largeBody)-2)) + size/step - 8, size
}

// get returns a buffer of n bytes. What is in it is not defined.
func (p *buffers) get(n int) *buffer {
	if n > maxBuffer {
		return &buffer{b: make([]byte, n, n+overread), class: -1}
	}
	class, size := classOf(n)
	b := p.latest(class)
	if b == nil {
		b, _ = p.pools[class].Get().(*buffer)
	}
	if b == nil {
		b = &buffer{b: make([]byte, size+overread), class: class}
	}
	b.b = b.b[:n]
	return b
}

// latest returns the warm buffer of a class that came back last, or nil.
func (p *buffers) latest(class int) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.warm) - 1; i >= 0; i-- {
		if b := p.warm[i]; b.class == class {
			p.warm = slices.Delete(p.warm, i, i+1)
			p.bytes -= cap(b.b)
			return b
		}
	}
	return nil
}

// put takes a buffer back, which nobody uses any more.
func (p *buffers) put(b *buffer) {
	switch {
	case b.class < 0:
		return
	case cap(b.b) > maxWarm:
		p.pools[b.class].Put(b)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warm = append(p.warm, b)
	p.bytes += cap(b.b)
	for p.bytes > maxWarm {
		cold := p.warm[0]
		p.warm = slices.Delete(p.warm, 0, 1)
		p.bytes -= cap(cold.b)
		p.pools[cold.class].Put(cold)
	}
}
