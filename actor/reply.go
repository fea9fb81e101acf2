package actor

import "errors"

// ErrAnswered says that a deferred reply was given before, or that nobody
// waits for it.
var ErrAnswered = errors.New("reply was given already, or nobody waits for it")

// Reply answers one call later. It may be used from any goroutine, once. If
// the actor ends before it was used, the caller gets ErrStopped or ErrFailed.
type Reply[T any] struct {
	to     answerer[T] // nil if the message was a Send: nobody waits
	ticket *ticket
	cell   *cell
}

// answerer is a call, local or not, that takes one answer.
type answerer[T any] interface {
	answer(number uint64, v T, err error) bool
}

// Send gives v as the answer.
func (r Reply[T]) Send(v T) error { return r.give(v, nil) }

// Fail gives err as the answer.
func (r Reply[T]) Fail(err error) error {
	var none T
	return r.give(none, err)
}

// end is the end of the handler that got r. It returns err if that is no answer,
// since there is one already: nobody waits for it then.
func (r Reply[T]) end(err error) error {
	if err == nil || r.Fail(err) == nil || r.cell.gone.Load() { // abandoned: the call was failed
		return nil
	}
	return err
}

func (r Reply[T]) give(v T, err error) error {
	if r.to == nil {
		return ErrAnswered
	}
	r.cell.paid(r.ticket)
	if !r.to.answer(r.ticket.number(), v, err) { // a call with a Reply has one number
		return ErrAnswered
	}
	return nil
}
