package actor

// ring is a queue in a circular buffer that grows by doubling. The zero ring
// is empty. A slot that was popped keeps its value until settle gives it free;
// push then offers the value for reuse.
type ring[T any] struct {
	slots []T    // the length is a power of two
	done  uint32 // slots from here to head are popped and still in use
	head  uint32 // next to pop
	tail  uint32 // next to push
}

const minRing = 8

func (r *ring[T]) len() int { return int(r.tail - r.head) }

// push adds a slot to the queue and returns it, with what it held before.
func (r *ring[T]) push() *T {
	if int(r.tail-r.done) == len(r.slots) {
		r.grow()
	}
	slot := r.at(r.tail)
	r.tail++
	return slot
}

// pop removes the first slot.
func (r *ring[T]) pop() *T {
	slot := r.at(r.head)
	r.head++
	return slot
}

// unpop makes the slot before the first one the first. There must be one that was
// popped and is still in use.
func (r *ring[T]) unpop() *T {
	r.head--
	return r.at(r.head)
}

// settle gives the popped slots free.
func (r *ring[T]) settle() { r.done = r.head }

func (r *ring[T]) at(i uint32) *T { return &r.slots[i&uint32(len(r.slots)-1)] }

func (r *ring[T]) grow() {
	larger := ring[T]{slots: make([]T, max(minRing, 2*len(r.slots)))}
	for i := r.done; i != r.tail; i++ {
		*larger.at(i) = *r.at(i)
	}
	r.slots = larger.slots
}
