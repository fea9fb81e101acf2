package actor_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
	"github.com/hyperactor/hyperactor/wire"
)

var someTrace = wire.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}, Flags: wire.Sampled, State: "a=1"}

// hop tells what trace its messages have, and passes them on.
type hop struct{ made wire.Trace }

// hops are the refs that a message still goes to.
type hops []actor.Ref[*hop]

var (
	follow = actor.On("hop.follow", func(h *hop, ctx context.Context, to hops) ([]wire.Trace, error) {
		t, _ := actor.TraceFrom(ctx)
		if len(to) == 0 {
			return []wire.Trace{h.made, t}, nil
		}
		more, err := follow2.Call(ctx, to[0], to[1:])
		return append([]wire.Trace{h.made, t}, more...), err
	})
	follow2 = actor.OnDefer("hop.follow2", func(h *hop, ctx context.Context, to hops, r actor.Reply[[]wire.Trace]) error {
		t, _ := actor.TraceFrom(ctx)
		return r.Send([]wire.Trace{h.made, t})
	})
	report = actor.OnSend("hop.report", func(_ *hop, ctx context.Context, p actor.Port[wire.Trace]) error {
		t, _ := actor.TraceFrom(ctx)
		return p.Send(ctx, t)
	})
	later = actor.OnSend("hop.later", func(_ *hop, ctx context.Context, p actor.Port[wire.Trace]) error {
		_, err := report.After(ctx, time.Second, p)
		return err
	})
	hopType = actor.Define("hop", func(ctx context.Context, _ actor.None) (*hop, error) {
		t, _ := actor.TraceFrom(ctx)
		return &hop{t}, nil
	}, follow, follow2, report, later)
)

// A trace goes wherever messages, calls, spawns and timers go; each handler has a span of its own.
func TestTraceIsCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{hopType}})
		here, ctx := n.Add("here", actor.Config{Types: []actor.AnyType{hopType}})
		traced := actor.ContextWithTrace(ctx, someTrace)
		var refs hops
		for _, p := range []*actortest.Node{here, here, there, there} {
			ref, err := hopType.Spawn(traced, p.ID(), "", actor.None{})
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		near, far := refs[0], refs[2]
		seen := map[[8]byte]bool{someTrace.Span: true}
		check := func(what string, got wire.Trace) {
			t.Helper()
			if got.ID != someTrace.ID || got.Flags != someTrace.Flags || got.State != someTrace.State || seen[got.Span] {
				t.Errorf("%s: got %v", what, got)
			}
			seen[got.Span] = true
		}
		for what, path := range map[string]hops{"near": refs[:2], "far": refs[2:], "across": {near, far}, "back": {far, near}} {
			got, err := follow.Call(traced, path[0], path[1:])
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(got); i += 2 {
				check(what, got[i])
			}
			if made := got[0]; made.ID != someTrace.ID || made.Span == someTrace.Span {
				t.Errorf("%s was made with %v", what, made)
			}
		}
		port, in, err := actor.NewPort[wire.Trace](ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []actor.Method[*hop, actor.Port[wire.Trace], actor.None]{report, later} {
			for _, to := range []actor.Ref[*hop]{near, far} {
				if err := m.Send(traced, to, port); err != nil {
					t.Fatal(err)
				}
				got, err := in.Recv(ctx)
				if err != nil {
					t.Fatal(err)
				}
				check(m.Name(), got)
			}
		}
		got, err := follow.Call(ctx, near, hops{far})
		if err != nil || len(got) != 4 || got[1] != (wire.Trace{}) || got[3] != (wire.Trace{}) {
			t.Errorf("a call without a trace has %v, %v", got, err)
		}
	})
}

func TestContextWithTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := actortest.NewProc(t, actor.Config{})
		outside := actor.ContextWithTrace(context.Background(), someTrace)
		for what, ctx := range map[string]context.Context{"outside": outside, "proc of a trace": p.Context(outside), "trace of a proc": actor.ContextWithTrace(ctx, someTrace)} {
			if got, ok := actor.TraceFrom(ctx); got != someTrace || !ok {
				t.Errorf("%s: %v, %v", what, got, ok)
			}
			if id, _ := actor.ProcOf(ctx); what != "outside" && id != p.ID() {
				t.Errorf("%s: sends from %v", what, id)
			}
		}
		if err := add.Send(outside, actor.Ref[*counter]{}, 1); err == nil {
			t.Error("a trace without a proc can send")
		}
		bad := someTrace
		bad.State = "a\r\nb"
		if got, _ := actor.TraceFrom(actor.ContextWithTrace(ctx, bad)); got.State != "" || got.ID != bad.ID {
			t.Errorf("with a bad state: %v", got)
		}
		none := actor.ContextWithTrace(p.Context(outside), wire.Trace{})
		if _, ok := actor.TraceFrom(none); ok {
			t.Error("a zero trace does not take the other one away")
		}
		if _, err := actor.ProcOf(none); err != nil {
			t.Error(err)
		}
	})
}

// A handler's ctx with a trace ends like one without, and starts no goroutine
// when another is made of it.
func TestTracedContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := actortest.NewProc(t, actor.Config{})
		ref := spawnCounter(t, ctx, p)
		ended := make(chan error, 1)
		go func() {
			_, err := slow.Call(actor.ContextWithTrace(ctx, someTrace), ref, time.Hour)
			ended <- err
		}()
		synctest.Wait()
		if err := ref.Stop(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || err.Error() != context.Canceled.Error() {
			t.Errorf("the handler ended with %v", err)
		}
	})
}

func TestTraceHandler(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(actor.TraceHandler(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g")
	log.InfoContext(actor.ContextWithTrace(t.Context(), someTrace), "with")
	log.InfoContext(t.Context(), "without")
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], "trace_id=01020000000000000000000000000000 g.span_id=0300000000000000") || strings.Contains(lines[1], "trace") {
		t.Errorf("got %q", lines)
	}
}
