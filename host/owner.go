package host

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Why the context of a Connect or a Drain ended.
var (
	errProcEnded  = errors.New("the proc has ended")
	errProcKilled = errors.New("the proc was killed")
	errNextStep   = errors.New("the time to drain is over")
)

// owner is the goroutine that owns a proc: it takes events, steps the core,
// publishes, and does what the core decided. Everything in it is its own.
type owner struct {
	h       *Handle
	cfg     FollowConfig
	body    Body
	life    lifecycle
	callers map[*caller]struct{}

	helpers     sync.WaitGroup // the goroutines that run Connect, Drain and Wait
	stopConnect context.CancelCauseFunc
	stopDrain   context.CancelCauseFunc
}

// newOwner returns the owner of a proc that exists, with its first status
// published.
func newOwner(h *Handle, cfg FollowConfig, body Body) *owner {
	o := &owner{h: h, cfg: cfg, body: body, callers: make(map[*caller]struct{})}
	o.life.timeout = cfg.ReadyTimeout
	o.life.step(time.Now(), launched{began: cfg.Began})
	o.publish()
	return o
}

// run follows the proc to its end.
func (o *owner) run() {
	o.startWait()
	o.startConnect()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if t := o.life.next(); t.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(t))
		}
		select {
		case <-o.h.wake:
		case <-timer.C:
		}
		batch := o.h.take(false)
		for i, e := range batch {
			if end, ok := e.(exited); ok {
				o.finish(end, batch[i+1:])
				return
			}
			o.handle(e)
		}
		o.step(tick{})
	}
}

// handle takes one event from the inbox.
func (o *owner) handle(e event) {
	switch e := e.(type) {
	case arrived:
		o.callers[e.caller] = struct{}{}
		o.step(e.e)
	case left:
		delete(o.callers, e.caller)
	default:
		o.step(e)
	}
}

// step steps the core, lets everybody see the result, and acts on it.
func (o *owner) step(e event) {
	a := o.life.step(time.Now(), e)
	if a.ready {
		o.cfg.OnReady(o.life.endpoint)
	}
	o.publish()
	if a.drain {
		o.startDrain()
	}
	if a.stop {
		o.signal("stop", o.body.Stop, a)
	}
	if a.kill {
		o.signal("kill", o.body.Kill, a)
	}
}

// signal sends a signal and takes in how that went. One that was sent makes
// the helpers pointless that wait for something gentler.
func (o *owner) signal(op string, send func() error, a actions) {
	at := time.Now() // afterwards the end may have come first
	err := send()
	told := o.life.step(at, signalled{kill: a.kill, err: err})
	o.publish()
	if err != nil {
		o.cfg.Log.Warn("proc cannot be signalled", "proc", o.cfg.ID, "op", op, "error", err)
		o.tell(told, &SignalError{ID: o.cfg.ID, Op: op, Err: err})
		return
	}
	o.cfg.Log.Info("proc signalled", "proc", o.cfg.ID, "op", op, "cause", o.life.cause, "by", o.life.requested.By)
	o.endDrain(errNextStep)
	if a.kill {
		o.stopConnect(cmp.Or(o.life.readyErr, errProcKilled))
	}
}

// tell passes a failure to those who have to hear of it. They do not wait any
// longer then.
func (o *owner) tell(a actions, err error) {
	for c := range o.callers {
		if c.kills && a.tellKillers || !c.kills && a.tellTerminators {
			c.failed <- err
			delete(o.callers, c)
		}
	}
}

// finish ends the owner: the end was seen. What the handshake has come to by
// then counts, so that a proc which was ready is seen to be Ready before it is
// Exited. What else is in the inbox came too late to explain anything.
func (o *owner) finish(end exited, rest []event) {
	o.stopConnect(errProcEnded)
	o.endDrain(errProcEnded)
	o.helpers.Wait()
	for _, e := range append(rest, o.h.take(true)...) {
		switch e.(type) {
		case arrived: // to stop it, and so not to start it again
			o.life.unwanted = true
		case progressed, connected, notReady:
			if o.life.step(time.Now(), e).ready {
				o.cfg.OnReady(o.life.endpoint)
				o.publish()
			}
		}
	}
	o.life.step(time.Now(), end)
	o.cfg.OnExit(o.life.exit)
	o.cfg.Log.Info("proc exited", "proc", o.cfg.ID, "exit", o.life.exit)
	o.publish()
	close(o.h.exited)
}

// publish shows what the core knows, if it is news.
func (o *owner) publish() {
	s := o.life.status()
	s.ID, s.PID = o.cfg.ID, o.cfg.PID
	old := o.h.view.Load()
	if old != nil && old.Status == s {
		return
	}
	o.h.view.Store(&view{Status: s, since: o.life.since, readyErr: o.life.readyErr, changed: make(chan struct{})})
	if old != nil {
		close(old.changed)
	}
}

func (o *owner) startWait() {
	o.helpers.Go(func() { o.h.post(exited{o.body.Wait()}) })
}

func (o *owner) startConnect() {
	ctx, cancel := context.WithCancelCause(context.Background())
	o.stopConnect = cancel
	o.helpers.Go(func() {
		at, err := o.body.Connect(ctx, func(p launch.Phase) { o.h.post(progressed{p}) })
		switch {
		case err == nil:
			o.h.post(connected{at})
		case ctx.Err() == nil: // otherwise we have broken it off, which says nothing about the proc
			o.h.post(notReady{err})
		}
	})
}

func (o *owner) startDrain() {
	ctx, cancel := context.WithDeadlineCause(context.Background(), o.life.half, errNextStep)
	ctx, o.stopDrain = context.WithCancelCause(ctx)
	reason := o.life.requested.Why
	o.helpers.Go(func() {
		defer cancel()
		o.h.post(drained{o.body.Drain(ctx, reason)})
	})
}

func (o *owner) endDrain(why error) {
	if o.stopDrain != nil {
		o.stopDrain(why)
	}
}
