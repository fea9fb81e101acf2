package actor_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
)

// What a cause says once more, the text of an error leaves out.
func TestErrorsDoNotRepeatThemselves(t *testing.T) {
	w, other := id.Proc{Host: "h", Name: "w", UID: 1}, id.Proc{Host: "h", Name: "other", UID: 2}
	exit := errors.New("exit 3 after 4s")
	a := w.Actor("tally")
	for _, tt := range []struct {
		cause error
		want  string // behind what both begin with
	}{
		{nil, ""},
		{exit, ": exit 3 after 4s"},
		{actor.ErrPeerGone, ""},
		{&gateway.SendError{To: w, Reason: actor.ErrPeerGone}, ""},
		{&gateway.SendError{To: w, Reason: actor.ErrPeerGone, Err: exit}, ": exit 3 after 4s"},
		{&gateway.SendError{To: w, Reason: actor.ErrPeerGone, Err: fmt.Errorf("%w: %w", actor.ErrPeerGone, exit)}, ": exit 3 after 4s"},
		{&gateway.SendError{To: w, Reason: actor.ErrNoRoute, Err: exit}, fmt.Sprintf(": %v: no route: exit 3 after 4s", w)},
		{&gateway.SendError{To: other, Reason: actor.ErrPeerGone}, fmt.Sprintf(": %v: peer gone", other)},
	} {
		call := &actor.UndeliverableError{To: a, Method: "tally.crash", Reason: actor.ErrPeerGone, InDoubt: true, Cause: tt.cause}
		if got, want := call.Error(), fmt.Sprintf("tally.crash of %v: peer gone: perhaps handled%s", a, tt.want); got != want {
			t.Errorf("a call says\n\t%s, want\n\t%s", got, want)
		}
		down := &actor.DownError{Actor: a, Reason: actor.ErrPeerGone, Cause: tt.cause}
		if got, want := down.Error(), fmt.Sprintf("actor %v has ended: peer gone%s", a, tt.want); got != want {
			t.Errorf("a Down says\n\t%s, want\n\t%s", got, want)
		}
		if tt.cause != nil && !errors.Is(call, tt.cause) {
			t.Errorf("%v has lost its cause", call)
		}
	}
}
