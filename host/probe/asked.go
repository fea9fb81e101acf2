package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Asked is a probe that asks a Check again and again, one try at a time.
type Asked struct {
	Check  Check
	Config Config
}

// Check is one question: is all well? Who makes a Check closes it, if it has
// a Close.
type Check interface {
	// Check returns nil if all is well, else what is not. It has to return
	// soon after ctx is over. It is not called concurrently by one Asked.
	Check(ctx context.Context) error

	// String names the question for messages, the way a Spec is written:
	// "tcp=127.0.0.1:80".
	String() string
}

// Config says when a Check is asked and how often it may fail. The zero value
// works; a negative value, Jitter apart, counts as zero.
type Config struct {
	Interval     time.Duration // from the start of one try to that of the next; if zero 250ms until ready, 10s afterwards
	Timeout      time.Duration // of one try; 1s if zero
	InitialDelay time.Duration // before the first try
	Failures     int           // misses in a row that make it failed; 3 if zero. Until ready they are not limited
	Successes    int           // good answers in a row that make it ready; 1 if zero

	// Jitter: the first try is put off by a random part of it, so that what was
	// started together is not asked together. If zero, none until ready and
	// Interval afterwards; none if negative.
	Jitter time.Duration

	// Suspended reports whether who is asked is stopped, traced or frozen just
	// now: what it does not answer does not count then. Never if nil.
	Suspended func() bool
}

const (
	readyInterval  = 250 * time.Millisecond
	liveInterval   = 10 * time.Second
	defaultTimeout = time.Second
	defaultMisses  = 3
)

func (c Config) withDefaults(interval time.Duration) Config {
	if c.Interval <= 0 {
		c.Interval = interval
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Failures <= 0 {
		c.Failures = defaultMisses
	}
	c.InitialDelay, c.Jitter, c.Successes = max(0, c.InitialDelay), max(0, c.Jitter), max(1, c.Successes)
	if c.Suspended == nil {
		c.Suspended = func() bool { return false }
	}
	return c
}

// AwaitReady asks until all has been well for Successes tries in a row and
// returns nil, or a *NotReadyError when ctx is over. It has no limit of its
// own on failures: the time to become ready is in ctx.
func (a Asked) AwaitReady(ctx context.Context) error {
	c, err := a.run(ctx, a.Config.withDefaults(readyInterval), ready)
	if err != nil {
		return &NotReadyError{Probe: a.Check.String(), Tries: c.tries, Last: c.last, Err: err}
	}
	return nil
}

// AwaitFailure asks until Failures tries in a row have missed and returns a
// *FailedError, or the cause of ctx when that is over.
func (a Asked) AwaitFailure(ctx context.Context) error {
	cfg := a.Config.withDefaults(liveInterval)
	if a.Config.Jitter == 0 {
		cfg.Jitter = cfg.Interval
	}
	c, err := a.run(ctx, cfg, failed)
	if err != nil {
		return err
	}
	return &FailedError{Probe: a.Check.String(), Misses: c.misses, Last: c.last}
}

// run asks until the verdict is as wanted, or returns the cause of ctx.
func (a Asked) run(ctx context.Context, cfg Config, want verdict) (*core, error) {
	delay := cfg.InitialDelay
	if cfg.Jitter > 0 {
		delay += rand.N(cfg.Jitter)
	}
	c := &core{cfg: cfg, planned: time.Now().Add(delay)}
	for c.verdict != want {
		if err := sleepUntil(ctx, c.planned); err != nil {
			return c, err
		}
		t := a.try(ctx, cfg, c.begin(time.Now()))
		if ctx.Err() != nil && t.err != nil {
			return c, context.Cause(ctx) // what was cut short is no miss
		}
		c.end(time.Now(), t)
	}
	return c, nil
}

// try asks once.
func (a Asked) try(ctx context.Context, cfg Config, timeout time.Duration) try {
	begun := time.Now()
	suspended := cfg.Suspended()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var asking sync.WaitGroup
	defer asking.Wait()
	answer := make(chan error, 1)
	asking.Go(func() { answer <- a.Check.Check(ctx) })

	var t try
	answered := true
	select {
	case t.err = <-answer:
	case <-ctx.Done():
		answered = false
	}
	t.overrun = time.Since(begun) - timeout // our own lateness, not that of an answer still to come
	if !answered {
		t.err = <-answer
	}
	if t.err != nil && ctx.Err() != nil {
		t.unanswered = true
		t.err = fmt.Errorf("no answer within %v: %w", timeout, t.err)
	}
	t.excused = t.err != nil && (suspended || cfg.Suspended() || lacking(t.err))
	return t
}

// lacking reports whether an error comes of what our side has no more of: no
// question was put then.
func lacking(err error) bool {
	for _, lack := range []error{launch.ErrLimit, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// sleepUntil returns nil at t, or the cause of ctx.
func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return context.Cause(ctx)
}
