package channel

import (
	"testing"

	"github.com/hyperactor/hyperactor/wire"
)

// The names that the reader has at hand are those of a flow until its number
// comes to stand for another one, in whatever kind of frame.
func TestKnownFlowEndsWithItsNumber(t *testing.T) {
	var in flowsIn
	define := func(n wire.Flow, method string) {
		t.Helper()
		if !in.resolve(n|wire.FlowDefine, &wire.Envelope{Method: method}) {
			t.Fatal("refused")
		}
	}
	define(1, "m.one")
	in.known = 1
	define(2, "m.two")
	if in.known != 1 {
		t.Error("another flow ended it")
	}
	define(1, "m.three")
	if in.known != 0 {
		t.Error("it stands for what the flow was before")
	}
}
