package channel

import (
	"math/bits"
	"sync"
)

// buffers are where large messages are read into. One that is used again is
// warm, and need not be cleared: that is most of what receiving costs.
type buffers struct{ pools [bufferSizes]sync.Pool } // of *buffer, by class

const (
	bufferSizes = 4*12 + 1        // four to each power of two, from largeBody to maxBuffer
	maxBuffer   = largeBody << 12 // a larger one is not used again
)

// buffer is one of them.
type buffer struct {
	b     []byte
	class int // -1 if it is not to be used again
}

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
		return &buffer{b: make([]byte, n), class: -1}
	}
	class, size := classOf(n)
	if b, ok := p.pools[class].Get().(*buffer); ok {
		b.b = b.b[:n]
		return b
	}
	return &buffer{b: make([]byte, n, size), class: class}
}

// put takes a buffer back, which nobody uses any more.
func (p *buffers) put(b *buffer) {
	if b.class >= 0 {
		p.pools[b.class].Put(b)
	}
}
