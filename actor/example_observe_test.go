package actor_test

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// tracer stands for a tracing library, such as OpenTelemetry: it starts spans
// below those of a ctx, and knows those that came from elsewhere.
type tracer struct{ spans byte }

type (
	tracerSpan    struct{ context wire.Trace } // trace.Span, with its trace.SpanContext
	tracerSpanKey struct{}
)

func (t *tracer) Start(ctx context.Context, name string) (context.Context, *tracerSpan) {
	s := &tracerSpan{wire.Trace{ID: [16]byte{0xaa}, Flags: wire.Sampled}}
	if parent, ok := ctx.Value(tracerSpanKey{}).(*tracerSpan); ok {
		s.context = parent.context
	}
	t.spans++
	from := s.context.Span[0]
	s.context.Span = [8]byte{t.spans}
	fmt.Printf("span %d below %d: %s\n", t.spans, from, name)
	return context.WithValue(ctx, tracerSpanKey{}, s), s
}

func (s *tracerSpan) End() { fmt.Printf("span %d ends\n", s.context.Span[0]) }

// bridge returns an Observer that makes a span of each message that is handled.
// With OpenTelemetry the two conversions are
//
//	actor.ContextWithTrace(ctx, wire.Trace{ID: sc.TraceID(), Span: sc.SpanID(), Flags: byte(sc.TraceFlags()), State: sc.TraceState().String()})
//	trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: m.Trace.ID, SpanID: m.Trace.Span, …, Remote: true}))
func bridge(t *tracer) *actor.Observer {
	return &actor.Observer{
		// What is sent is a part of the span in the sender's ctx.
		Send: func(ctx context.Context, m actor.MessageInfo) context.Context {
			if s, ok := ctx.Value(tracerSpanKey{}).(*tracerSpan); ok {
				return actor.ContextWithTrace(ctx, s.context)
			}
			return ctx
		},
		// The span of the handler is below the one that came with the message.
		Handle: func(ctx context.Context, m actor.MessageInfo) context.Context {
			if m.Trace != nil {
				ctx = context.WithValue(ctx, tracerSpanKey{}, &tracerSpan{*m.Trace})
			}
			ctx, _ = t.Start(ctx, m.Method)
			return ctx
		},
		Handled: func(ctx context.Context, m actor.MessageInfo, took time.Duration, err error) {
			ctx.Value(tracerSpanKey{}).(*tracerSpan).End()
		},
	}
}

type greeter struct{}

var (
	greet = actor.On("greeter.greet", func(_ *greeter, _ context.Context, name string) (string, error) {
		return "hello " + name, nil
	})
	greetAll = actor.On("greeter.all", func(_ *greeter, ctx context.Context, to actor.Ref[*greeter]) (string, error) {
		return greet.Call(ctx, to, "all")
	})
	greeterType = actor.Define("greeter", func(context.Context, actor.None) (*greeter, error) { return &greeter{}, nil }, greet, greetAll)
)

// An Observer joins messages to the spans of a tracing library that this
// package knows nothing of.
func ExampleObserver() {
	name, err := id.NewProc("example", "proc")
	if err != nil {
		panic(err)
	}
	var t tracer
	proc, err := actor.NewProc(actor.Config{ID: name, Observe: bridge(&t)})
	if err != nil {
		panic(err)
	}
	ctx := proc.Context(context.Background())
	defer proc.Stop(ctx, time.Second)
	one, err := greeterType.Spawn(ctx, name, "one", actor.None{})
	if err != nil {
		panic(err)
	}
	two, err := greeterType.Spawn(ctx, name, "two", actor.None{})
	if err != nil {
		panic(err)
	}

	ctx, span := t.Start(ctx, "main")
	text, err := greetAll.Call(ctx, one, two)
	fmt.Println(text, err)
	span.End()
	// Output:
	// span 1 below 0: main
	// span 2 below 1: greeter.all
	// span 3 below 2: greeter.greet
	// span 3 ends
	// span 2 ends
	// hello all <nil>
	// span 1 ends
}
