package actor

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Observer is hooks that are told what becomes of the messages of a proc: what
// a tracer, metrics or a log are made of. A hook that is nil is not called.
//
// The hooks are called concurrently and on the way of every message: one that
// blocks holds up a sender, an actor or a connection. A panic in one is logged
// and changes nothing. Replies, timers that are set and what procs tell each
// other for their own sake are not reported.
type Observer struct {
	// Send: a message is about to be queued, or handed to the gateway. ctx is
	// that of Send or Call; the message carries the trace of the ctx that Send
	// returns, if that is not nil.
	Send func(ctx context.Context, m MessageInfo) context.Context

	// Deliver: the message stands in the mailbox of an actor of this proc. Its
	// handler may have begun.
	Deliver func(m MessageInfo)

	// Handle: the handler is about to run. It gets the ctx that Handle returns,
	// which must be made of ctx; nil means ctx itself.
	Handle func(ctx context.Context, m MessageInfo) context.Context

	// Handled: the handler has returned, with err, or has panicked (ErrFailed).
	// ctx is the handler's. A deferred reply may come later.
	Handled func(ctx context.Context, m MessageInfo, took time.Duration, err error)

	// Return: the message was refused or goes back to its sender, and err says
	// why. Both procs are told, each when it knows.
	Return func(m MessageInfo, err error)

	// Fail: an actor of this proc fails, and its supervisor will hear of it.
	Fail func(f *Failure)
}

// MessageInfo is what an Observer is told of a message.
type MessageInfo struct {
	From   id.Actor // without a name if it was sent outside any actor
	To     id.Actor
	Method string
	Call   bool          // its sender waits for the answer
	Size   int           // bytes of the encoded request; 0 if it does not leave the proc
	Waited time.Duration // in the mailbox; for Handle and Handled
	Trace  *wire.Trace   // what it carries, nil if nothing: the span is its sender's. Not to be changed
}

// span is one message that has a trace or that somebody observes, on one side
// of its way. All others have none: the methods work on nil.
type span struct {
	proc   *Proc
	info   MessageInfo // does not change once the message is queued
	queued time.Time

	// The goroutine that runs the handler alone uses the following.
	ctx    context.Context // the handler's
	began  time.Time
	waited time.Duration
	open   bool // the handler runs
}

// span returns the span of a message that s is about to send, or nil if nobody
// wants to know.
func (s *sender) span(t *wire.Trace, to id.Actor, method string, call bool) *span {
	if t == nil && s.proc.cfg.Observe == nil {
		return nil
	}
	return s.newSpan(t, to, method, call)
}

func (s *sender) newSpan(t *wire.Trace, to id.Actor, method string, call bool) *span {
	return &span{proc: s.proc, info: MessageInfo{From: s.id(), To: to, Method: method, Call: call, Trace: t}}
}

// spanIn is span for a message that came from another proc.
func (p *Proc) spanIn(e *wire.Envelope) *span {
	if e.Trace == nil && p.cfg.Observe == nil {
		return nil
	}
	return &span{proc: p, queued: time.Now(), info: infoOf(e)}
}

func infoOf(e *wire.Envelope) MessageInfo {
	return MessageInfo{
		From: e.From, To: e.To, Method: e.Method, Call: e.Kind == wire.Call,
		Size: len(e.Body) + wire.PartsLen(e.Parts), Trace: e.Trace,
	}
}

// infoOfReturn is infoOf for the message that comes back with e.
func infoOfReturn(e *wire.Envelope) MessageInfo {
	return MessageInfo{From: e.To, To: e.From, Method: e.Method, Call: e.Call != 0, Trace: e.Trace}
}

// send tells that the message is about to go, which decides the trace that it carries.
func (sp *span) send(ctx context.Context, size int) *wire.Trace {
	if sp == nil {
		return nil
	}
	return sp.tellSend(ctx, size)
}

func (sp *span) tellSend(ctx context.Context, size int) *wire.Trace {
	sp.info.Size, sp.queued = size, time.Now()
	if o := sp.proc.cfg.Observe; o != nil && o.Send != nil {
		sp.proc.guard("Observer.Send", func() {
			if with := o.Send(ctx, sp.info); with != nil {
				_, sp.info.Trace = originOf(with)
			}
		})
	}
	return sp.info.Trace
}

func (sp *span) delivered() {
	if sp != nil {
		sp.tellDelivered()
	}
}

func (sp *span) tellDelivered() {
	if o := sp.proc.cfg.Observe; o != nil && o.Deliver != nil {
		sp.proc.guard("Observer.Deliver", func() { o.Deliver(sp.info) })
	}
}

// begin returns the ctx of the handler that is about to run.
func (sp *span) begin(c *cell) context.Context {
	if sp == nil {
		return c.ctx()
	}
	return sp.start(c)
}

func (sp *span) start(c *cell) context.Context {
	sp.ctx = within(c.runCtx(), c.self(), sp.info.Trace)
	if o := c.proc.cfg.Observe; o != nil {
		sp.begun(o, c)
	}
	return sp.ctx
}

func (sp *span) begun(o *Observer, c *cell) {
	sp.began, sp.open = time.Now(), true
	sp.waited = sp.began.Sub(sp.queued)
	if o.Handle == nil {
		return
	}
	c.proc.guard("Observer.Handle", func() {
		with := o.Handle(sp.ctx, sp.infoNow())
		if with == nil {
			return
		}
		if s, _ := originOf(with); s != c.self() {
			panic("returned a ctx that is not made of the one it got")
		}
		sp.ctx = with
	})
}

func (sp *span) infoNow() MessageInfo {
	m := sp.info
	m.Waited = sp.waited
	return m
}

// end tells that the handler has returned.
func (sp *span) end(err error) {
	if sp != nil && sp.open {
		sp.tellHandled(err)
	}
}

func (sp *span) tellHandled(err error) {
	sp.open = false
	if o := sp.proc.cfg.Observe; o.Handled != nil {
		took := time.Since(sp.began)
		sp.proc.guard("Observer.Handled", func() { o.Handled(sp.ctx, sp.infoNow(), took, err) })
	}
}

// over is deferred around a handler: it tells of one that did not return.
func (sp *span) over() { sp.end(errNoReturn) }

var errNoReturn = fmt.Errorf("%w: the handler panicked", ErrFailed)

// returned tells that the message is not handled, and returns err.
func (sp *span) returned(err error) error {
	if sp != nil {
		sp.proc.observeReturn(sp.info, err)
	}
	return err
}

func (p *Proc) observeReturn(m MessageInfo, err error) {
	if o := p.cfg.Observe; o != nil && o.Return != nil {
		p.guard("Observer.Return", func() { o.Return(m, err) })
	}
}

func (p *Proc) observeFailure(f *Failure) {
	if o := p.cfg.Observe; o != nil && o.Fail != nil {
		p.guard("Observer.Fail", func() { o.Fail(f) })
	}
}

// seen is a message within a proc that has a span.
type seen struct {
	span *span
	part
}

// part is what a seen message stands around.
type part interface {
	message
	serve(c *cell, sp *span) error // run, for a message with a span
}

func (s *seen) run(c *cell) error {
	defer s.span.over()
	return s.part.serve(c, s.span)
}

func (s *seen) reject(c *cell, reason wire.Reason, why string) {
	s.span.returned(&UndeliverableError{To: s.span.info.To, Method: s.span.info.Method, Reason: reason, Detail: why})
	s.part.reject(c, reason, why)
}

// fail is that of a call, which s is the answerable of.
func (s *seen) fail(number uint64, c *cell, reason wire.Reason, why string, begun bool) bool {
	failed := s.part.(answerable).fail(number, c, reason, why, begun)
	if failed {
		s.span.returned(&UndeliverableError{To: s.span.info.To, Method: s.span.info.Method, Reason: reason, InDoubt: begun, Detail: why})
	}
	return failed
}

func (s *seen) reuse() bool { return false }

// LogObserver returns an Observer that logs: at Debug what is sent, delivered
// and handled, at Warn what comes back, at Error which actors fail.
func LogObserver(log *slog.Logger) *Observer {
	base := context.Background()
	say := func(ctx context.Context, l slog.Level, text string, m MessageInfo, more ...slog.Attr) {
		if log.Enabled(ctx, l) {
			log.LogAttrs(ctx, l, text, append(m.attrs(), more...)...)
		}
	}
	return &Observer{
		Send: func(ctx context.Context, m MessageInfo) context.Context {
			say(ctx, slog.LevelDebug, "message sent", m)
			return ctx
		},
		Deliver: func(m MessageInfo) { say(base, slog.LevelDebug, "message delivered", m) },
		Handled: func(ctx context.Context, m MessageInfo, took time.Duration, err error) {
			say(ctx, slog.LevelDebug, "message handled", m, slog.Duration("waited", m.Waited), slog.Duration("took", took), slog.Any("err", err))
		},
		Return: func(m MessageInfo, err error) { say(base, slog.LevelWarn, "message returned", m, slog.Any("err", err)) },
		Fail: func(f *Failure) {
			log.LogAttrs(base, slog.LevelError, "actor failed", slog.Any("actor", f.Actor), slog.String("type", f.Type), slog.Any("err", f.Err), slog.String("stack", f.Stack))
		},
	}
}

func (m *MessageInfo) attrs() []slog.Attr {
	a := []slog.Attr{slog.Any("from", m.From), slog.Any("to", m.To), slog.String("method", m.Method), slog.Bool("call", m.Call), slog.Int("size", m.Size)}
	if m.Trace != nil {
		a = append(a, traceAttrs(m.Trace)...)
	}
	return a
}

func traceAttrs(t *wire.Trace) []slog.Attr {
	return []slog.Attr{slog.String("trace_id", hex.EncodeToString(t.ID[:])), slog.String("span_id", hex.EncodeToString(t.Span[:]))}
}
