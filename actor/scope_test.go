package actor

import (
	"context"
	"testing"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// A ctx of Proc.Context is a sender of its own, and its parent in all the rest,
// however it is wrapped.
func TestContextOfAProc(t *testing.T) {
	p := &Proc{id: id.Proc{Host: "h", Name: "p", UID: 1}}
	type key struct{}
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "kept"))
	trace := wire.Trace{ID: [16]byte{1}, Span: [8]byte{2}}
	traced := p.Context(ContextWithTrace(parent, trace))
	ctx := p.Context(parent)
	derived, stop := context.WithCancel(ctx)
	defer stop()
	if s, u := mustSender(t, ctx), mustSender(t, derived); s != u {
		t.Error("a ctx and one derived from it are different senders")
	}
	if mustSender(t, ctx) == mustSender(t, p.Context(parent)) || mustSender(t, ctx) == mustSender(t, traced) {
		t.Error("two ctxs share a sender")
	}
	if got, ok := TraceFrom(traced); !ok || got != trace {
		t.Errorf("the trace of the parent became %v", got)
	}
	if _, ok := TraceFrom(ctx); ok {
		t.Error("there is a trace from nowhere")
	}
	cancel(errEnded)
	for _, c := range []context.Context{ctx, derived, traced} {
		if s := mustSender(t, c); s.proc != p || s.cell != nil {
			t.Errorf("the sender is %+v", s)
		}
		if c.Value(key{}) != "kept" || context.Cause(c) != errEnded {
			t.Errorf("value %v and cause %v of the parent", c.Value(key{}), context.Cause(c))
		}
	}
}

func mustSender(t *testing.T, ctx context.Context) *sender {
	t.Helper()
	s, err := senderOf(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A call is told of the end of its ctx beside its answer: nobody waits for it to
// take both, and it is not used again.
func TestEndBesideAnAnswer(t *testing.T) {
	r := new(method[*agent, int, int]).makeCall()
	var w watch
	if !w.enter(&r.waiter) {
		t.Fatal("the ctx has ended")
	}
	r.done <- struct{}{}
	w.end()
	<-r.done
	if w.leave(&r.waiter) {
		t.Error("it would be used again")
	}
}
