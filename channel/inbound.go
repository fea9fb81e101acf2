package channel

import (
	"fmt"

	"github.com/hyperactor/hyperactor/wire"
)

// inbound is the receiving half of a session: it judges the numbers of frames.
// It does no I/O and knows no time, nor what has been received: that is told,
// so that there is one place where it is. The reader owns it.
type inbound struct {
	last  uint64 // the last frame of this connection; 0 if none came
	flows flowsIn
}

// resume begins a new connection.
func (in *inbound) resume() { in.last = 0 }

// judge reports whether the frame with number seq is new to who has all up to
// received, or one that he has. The peer may begin a connection with frames
// that we have, because it did not know that; from there on it counts.
func (in *inbound) judge(seq, received uint64) (fresh bool, err error) {
	if fresh, err = in.check(seq, received); err == nil {
		in.last = seq
	}
	return fresh, err
}

// check is judge for a frame that is not whole yet: it does not count.
func (in *inbound) check(seq, received uint64) (fresh bool, err error) {
	switch {
	case in.last == 0 && (seq == 0 || seq > received+1):
		return false, fmt.Errorf("%w: frame %d came, want 1 to %d", wire.ErrFraming, seq, received+1)
	case in.last != 0 && seq != in.last+1:
		return false, fmt.Errorf("%w: frame %d came, want %d", wire.ErrFraming, seq, in.last+1)
	}
	return seq > received, nil
}
