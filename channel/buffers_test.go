package channel

import "testing"

func TestBufferClasses(t *testing.T) {
	before, last := -1, 0
	for n := range maxBuffer/97 + 1 {
		n = min(97*n, maxBuffer)
		class, size := classOf(n)
		if size < n || n > largeBody && size > n+n/4+1 || class < 0 || class >= bufferSizes {
			t.Fatalf("%d bytes are in class %d, of %d bytes", n, class, size)
		}
		if class < before || (class == before) != (size == last) {
			t.Fatalf("class %d of %d bytes comes after class %d of %d", class, size, before, last)
		}
		before, last = class, size
	}
	if class, size := classOf(maxBuffer); class != bufferSizes-1 || size != maxBuffer {
		t.Errorf("the last class is %d, of %d bytes", class, size)
	}
	var p buffers
	b := p.get(20000)
	if len(b.b) != 20000 {
		t.Errorf("%d bytes", len(b.b))
	}
	p.put(b)
	if c := p.get(17000); len(c.b) != 17000 {
		t.Errorf("%d bytes", len(c.b))
	}
	if huge := p.get(maxBuffer + 1); huge.class >= 0 {
		t.Error("a huge buffer is used again")
	}
}
