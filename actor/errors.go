package actor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Why a message was not handled, for errors.Is. An *UndeliverableError
// carries one of them.
const (
	ErrNoActor      = wire.NoActor
	ErrStopped      = wire.ActorStopped
	ErrFailed       = wire.ActorFailed
	ErrNoMethod     = wire.NoMethod
	ErrMalformed    = wire.Malformed
	ErrTooLarge     = wire.TooLarge
	ErrMailboxFull  = wire.MailboxFull
	ErrNoRoute      = wire.NoRoute
	ErrPeerGone     = wire.PeerGone
	ErrExpired      = wire.Expired
	ErrShuttingDown = wire.ShuttingDown
)

var (
	// ErrInDoubt says that a message was perhaps handled (MS-5). Without it, an
	// UndeliverableError says that it was not.
	ErrInDoubt = errors.New("perhaps handled")
	// ErrNoProc says that a ctx carries no sender.
	ErrNoProc = errors.New("ctx does not belong to a proc")
	// ErrSelfCall says that an actor has called itself, and would wait for itself.
	ErrSelfCall = errors.New("an actor cannot call itself")
	// ErrNameTaken says that a living actor has the name already.
	ErrNameTaken = errors.New("actor name is taken")
	// ErrNoType says that a proc was not given the actor type that it should spawn.
	ErrNoType = errors.New("no such actor type")
)

// UndeliverableError says that a message has no answer, and why (MS-3): it was
// not handled, or, if it is in doubt, nobody can say whether it was. errors.Is
// finds its Reason (ErrNoActor, ErrStopped, …), its Cause, and ErrInDoubt.
type UndeliverableError struct {
	To      id.Actor
	Method  string
	Reason  wire.Reason
	InDoubt bool   // it was perhaps handled, or is being handled
	Detail  string // more about it, for people
	Cause   error  // what made it so, if known: the exit of the target's proc
}

func (e *UndeliverableError) Error() string {
	s := fmt.Sprintf("%s of %s: %s", e.Method, e.To, e.Reason.Error())
	if e.InDoubt {
		s += ": " + ErrInDoubt.Error()
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s + addedBy(e.Cause, e.To.Proc, e.Reason)
}

// addedBy returns what cause adds to the text of an error that names proc and
// reason already.
func addedBy(cause error, proc id.Proc, reason wire.Reason) string {
	if e, ok := cause.(*gateway.SendError); ok && e.To == proc && e.Reason == reason {
		cause = e.Err
	}
	if cause == nil || cause.Error() == reason.Error() {
		return ""
	}
	return ": " + strings.TrimPrefix(cause.Error(), reason.Error()+": ")
}

// Unwrap returns the reason, the cause if there is one, and ErrInDoubt if that
// is so.
func (e *UndeliverableError) Unwrap() []error {
	all := []error{e.Reason}
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	if e.InDoubt {
		all = append(all, ErrInDoubt)
	}
	return all
}

// RemoteError is an error that a handler in another proc returned (MS-4).
// errors.Is compares it with the errors of this package and with any error
// that has the same ErrorCode.
type RemoteError struct {
	From   id.Actor // the actor whose handler returned it, or that failed
	Method string   // "" if it is why the actor ended
	Code   string   // the error's ErrorCode; "error" if it has none
	Text   string
}

func (e *RemoteError) Error() string {
	if e.Method == "" {
		return "remote: " + e.Text
	}
	return fmt.Sprintf("remote: %s of %s: %s", e.Method, e.From, e.Text)
}

// ErrorCode returns the code.
func (e *RemoteError) ErrorCode() string { return e.Code }

// Is reports whether target is an error with the same code.
func (e *RemoteError) Is(target error) bool {
	code := codeOf(target)
	return code != plainCode && code == e.Code
}

// coder is an error that keeps its identity when it crosses to another proc.
type coder interface {
	error
	ErrorCode() string
}

const plainCode = "error"

// codeOf returns the code that err has on the wire.
func codeOf(err error) string {
	if r, ok := errors.AsType[wire.Reason](err); ok {
		return r.Error()
	}
	if c, ok := errors.AsType[coder](err); ok {
		return c.ErrorCode()
	}
	switch {
	case errors.Is(err, ErrNameTaken):
		return "name_taken"
	case errors.Is(err, ErrNoType):
		return "no_type"
	}
	return plainCode
}
