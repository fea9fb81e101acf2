package channel

import (
	"fmt"

	"github.com/hyperactor/hyperactor/wire"
)

// arrivals are the transfers that are coming in, each into one buffer of its
// final size. It does no I/O; the reader owns it. A peer keeps within the limit
// for all of them together; one that does not is refused before anything is
// allocated.
type arrivals struct {
	limit int // bytes of all transfers together
	from  *buffers
	under map[uint32]*arrival
	bytes int // of all buffers
}

type arrival struct {
	*buffer // of the whole size
	got     int
}

// begin returns where the n bytes of a chunk go. A chunk that does not arrive
// whole may come again.
func (a *arrivals) begin(c wire.Chunk, n int) ([]byte, error) {
	t := a.under[c.Transfer]
	switch {
	case t != nil && c.Size != uint64(len(t.b)):
		return nil, fmt.Errorf("%w: transfer %d of %d bytes has %d now", wire.ErrFraming, c.Transfer, len(t.b), c.Size)
	case t == nil && (c.Transfer == 0 || c.Size == 0 || c.Size > uint64(a.limit-a.bytes)):
		return nil, fmt.Errorf("%w: transfer %d of %d bytes, %d of %d are taken", wire.ErrFraming, c.Transfer, c.Size, a.bytes, a.limit)
	}
	left := c.Size
	if t != nil {
		left -= uint64(t.got)
	}
	if want := min(left, wire.ChunkSize); n == 0 || uint64(n) != want {
		return nil, fmt.Errorf("%w: chunk of %d bytes in transfer %d, want %d", wire.ErrFraming, n, c.Transfer, want)
	}
	if t == nil {
		t = &arrival{buffer: a.from.get(int(c.Size))}
		if a.under == nil {
			a.under = make(map[uint32]*arrival)
		}
		a.under[c.Transfer] = t
		a.bytes += len(t.b)
	}
	return t.b[t.got : t.got+n], nil
}

// end notes that the n bytes for which begin has found a place are there.
func (a *arrivals) end(transfer uint32, n int) { a.under[transfer].got += n }

// take returns what came in a transfer, which is over with that, whole or not.
func (a *arrivals) take(transfer uint32) (*buffer, error) {
	t := a.under[transfer]
	if t == nil {
		return nil, fmt.Errorf("%w: transfer %d is not there", wire.Malformed, transfer)
	}
	delete(a.under, transfer)
	a.bytes -= len(t.b)
	if t.got < len(t.b) {
		a.from.put(t.buffer)
		return nil, fmt.Errorf("%w: %d of %d bytes of transfer %d are there", wire.Malformed, t.got, len(t.b), transfer)
	}
	return t.buffer, nil
}
