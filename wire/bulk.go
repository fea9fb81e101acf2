package wire

import (
	"errors"
	"fmt"
)

// Bulk is bytes that a message carries beside its body: as a field, at any
// depth, or as the whole message. They are not copied into the body, and cross
// to another process without a copy in user space beyond the socket's own, or
// through memory that the two share (MS-9). The zero Bulk is empty.
//
// A Bulk is a value; copies of it are the same bytes, which nobody changes
// once they are in a message. Within one proc it is passed as it is. All its
// methods may be called at any time by anyone.
//
// A Bulk that was received may lie in memory shared with the process that sent
// it. Bytes is the simple way to use it; View reads it where it is, without a
// copy, and Release gives the memory back, or the buffer that it came in, for
// the next message. Without either it goes back when the garbage collector
// finds that the Bulk is not in use. A receiver that keeps much of it for long
// makes its sender use the socket meanwhile.
type Bulk struct {
	b    []byte
	loan *loan // where the bytes are if not in b
	seat *seat // stands for the bytes while a message is encoded or decoded
}

// ErrReleased says that a Bulk's memory was given back.
var ErrReleased = errors.New("bulk was released")

// NewBulk returns a Bulk of b, which must not be changed afterwards.
func NewBulk(b []byte) Bulk { return Bulk{b: b} }

// Lend returns a Bulk of b, which is memory that the garbage collector does
// not own. giveBack is called once, by any goroutine, when nobody uses it any
// more; it must not block.
func Lend(b []byte, giveBack func()) Bulk {
	l := &lease{giveBack: giveBack}
	l.users.Store(1)
	return Bulk{loan: newLoan(l, b)}
}

// Len returns the number of bytes. Release does not change it.
func (b Bulk) Len() int {
	if b.loan != nil {
		return b.loan.size
	}
	return len(b.b)
}

// Bytes returns the bytes in memory of our own; they must not be changed and
// stay valid. Shared memory is copied by the first call, which gives it back.
// After Release Bytes returns nil.
func (b Bulk) Bytes() []byte {
	if b.loan != nil {
		return b.loan.bytes()
	}
	return b.b
}

// View calls read with the bytes where they are. They must not be changed, nor
// used after read has returned. View returns what read does, or ErrReleased
// without calling it.
func (b Bulk) View(read func(p []byte) error) error {
	p, err := b.Pin()
	if err != nil {
		return err
	}
	defer b.Unpin()
	return read(p)
}

// Pin is View for those who cannot wait inside a function: the bytes are there
// until Unpin, which is called once for each Pin that returned no error.
// Whoever uses them keeps b until then.
func (b Bulk) Pin() ([]byte, error) {
	if b.loan != nil {
		return b.loan.pin()
	}
	return b.b, nil
}

// Unpin ends what Pin began.
func (b Bulk) Unpin() {
	if b.loan != nil {
		b.loan.unpin()
	}
}

// Release gives the memory of a Bulk that was received back, after the Views
// that are under way. All copies of b are released with it, but not what was
// sent on before. It may be called again. To a Bulk that NewBulk made it does
// nothing.
func (b Bulk) Release() {
	if b.loan != nil {
		b.loan.release()
	}
}

// Share returns a Bulk of the same bytes that is released by itself: for
// somebody else to keep.
func (b Bulk) Share() (Bulk, error) {
	if b.loan != nil {
		return b.loan.share()
	}
	return b, nil
}

// String says how long it is: nobody wants the bytes in a log.
func (b Bulk) String() string { return fmt.Sprintf("bulk of %d bytes", b.Len()) }

// PartsLen returns the number of bytes in all parts together.
func PartsLen(parts []Bulk) int {
	n := 0
	for i := range parts {
		n += parts[i].Len()
	}
	return n
}

// InBuffer says that e.Body, and the parts that are not lent already, are in a
// buffer that will be used for other messages when all of them are released:
// giveBack is called then.
func (e *Envelope) InBuffer(giveBack func()) {
	l := &lease{buffer: true, giveBack: giveBack}
	l.users.Store(1)
	e.body = newLoan(l, e.Body)
	for i, p := range e.Parts {
		if p.loan == nil {
			l.users.Add(1)
			e.Parts[i] = Bulk{loan: newLoan(l, p.b)}
		}
	}
}

// ReleaseBody says that nobody will read e.Body any more, nor a copy of e that
// has the same one.
func (e *Envelope) ReleaseBody() {
	if e.body != nil {
		e.body.release()
	}
	e.Body = nil
}

// Release says that nobody will read the body or the parts of e any more.
func (e *Envelope) Release() {
	e.ReleaseBody()
	for i := range e.Parts {
		e.Parts[i].Release()
	}
}

// Forget removes the body and the parts from e, which others may have: it keeps
// them alive no longer.
func (e *Envelope) Forget() { e.Body, e.Parts, e.body, e.own, e.lent = nil, nil, nil, false, false }

func (b Bulk) appendTo(to []byte) []byte {
	b.View(func(p []byte) error {
		to = append(to, p...)
		return nil
	})
	return to
}
