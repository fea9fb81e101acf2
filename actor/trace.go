package actor

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"

	"github.com/hyperactor/hyperactor/wire"
)

// traced is what a ctx with a trace has in the place of the sender alone.
type traced struct {
	sender *sender     // nil outside any proc
	trace  *wire.Trace // nil: no more; never changed
}

// ContextWithTrace returns a ctx like parent whose messages, calls and spawns
// are a part of t, wherever they go. wire.ParseTraceparent makes a trace of
// the headers of a request. A State that no header can have is left out; a
// trace without ID or Span is none, and takes that of parent away.
//
// The ctx of a handler has the trace of the message that it handles, with a new
// Span: what it sends belongs below it. A message without a trace, or a ctx
// that never had one, costs nothing.
func ContextWithTrace(parent context.Context, t wire.Trace) context.Context {
	s, _ := originOf(parent)
	origin, bare := &traced{sender: s}, t
	bare.State = ""
	switch {
	case t.Valid():
		origin.trace = &t
	case bare.Valid():
		origin.trace = &bare
	}
	return context.WithValue(parent, senderKey{}, origin)
}

// TraceFrom returns the trace that what is sent with ctx is a part of, if there is one.
func TraceFrom(ctx context.Context) (t wire.Trace, ok bool) {
	if _, t := originOf(ctx); t != nil {
		return *t, true
	}
	return wire.Trace{}, false
}

// originOf returns who sends with ctx, and as a part of what; nil if nobody, or nothing.
func originOf(ctx context.Context) (*sender, *wire.Trace) {
	switch c := ctx.(type) { // most are one of these, which need not be searched
	case *scope:
		return &c.sender, nil
	case *outside:
		return &c.sender, nil
	}
	switch o := ctx.Value(senderKey{}).(type) {
	case *sender:
		return o, nil
	case *traced:
		return o.sender, o.trace
	}
	return nil, nil
}

// tracedScope is the ctx of a handler whose message has a trace.
type tracedScope struct {
	handlerCtx
	origin traced
}

func (s *tracedScope) Value(key any) any {
	if _, ok := key.(senderKey); ok {
		return &s.origin
	}
	return s.handlerCtx.Value(key)
}

// within returns the ctx for work of s that is a part of t: ctx, if t is nil, or
// one with the same trace and a span of its own.
func within(ctx handlerCtx, s *sender, t *wire.Trace) context.Context {
	if t == nil {
		return ctx
	}
	child := *t
	for child.Span = [8]byte{}; child.Span == [8]byte{}; {
		binary.NativeEndian.PutUint64(child.Span[:], rand.Uint64())
	}
	return &tracedScope{ctx, traced{s, &child}}
}

// TraceHandler returns a slog.Handler that adds trace_id and span_id to the
// records that are logged with a ctx that has a trace, and hands all to h.
func TraceHandler(h slog.Handler) slog.Handler { return traceHandler{h} }

type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if _, t := originOf(ctx); t != nil {
		r = r.Clone()
		r.AddAttrs(traceAttrs(t)...)
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(a)}
}
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
