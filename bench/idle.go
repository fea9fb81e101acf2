package main

import (
	"context"
	"fmt"
	"time"
)

// idleSubject is no race: each contender is looked at once, alone.
func idleSubject() subject {
	return subject{
		title: idleTitle,
		note: "One look each, in bytes of heap and stacks, which the goal is about, and of resident memory. Each near session of ours has a proc and a gateway " +
			"of its own, which are in its figure; the far ones share one. CPU is that of the whole process while nothing is said.",
		shape: shape{Network: "tcp", Size: 64, Calls: true},
		names: []string{bareName, "net/rpc", "gRPC stream", "NATS", sessionName, oursName},
		main:  []metric{nearMemory, farMemory},
		aside: []metric{nearRSS, farRSS, nearTasks, farTasks, nearIdle, farIdle},
		goals: []goal{
			{Contender: sessionName, Metric: nearMemory, AtMost: true, Value: 16 << 10},
			{Contender: sessionName, Metric: farMemory, AtMost: true, Value: 16 << 10},
			{Contender: oursName, Metric: farMemory, AtMost: true, Value: 16 << 10},
		},
	}
}

// idle opens many connections to one far process, which all say something once
// and then nothing, and looks at what they cost. At the near side of ours each
// belongs to a proc with a gateway of its own, which is in its figure.
func (b *bench) idle(ctx context.Context) block {
	s := idleSubject()
	var runners []*runner
	for _, p := range peersNamed(b, s) {
		r := &runner{row: row{Contender: p.label, Sessions: b.sessions}}
		switch p.label {
		case "gRPC stream", "NATS", "net/rpc": // they take much more memory, and time
			r.Sessions = max(1, b.sessions/10)
		}
		got, err := b.idleSample(ctx, p, s.shape, r.Sessions)
		if r.fail(err); err == nil {
			r.Samples = append(r.Samples, got)
		}
		runners = append(runners, r)
	}
	return s.block(runners)
}

// peersNamed returns the peers of s.
func peersNamed(b *bench, s subject) (found []*peer) {
	for _, c := range those(b, s.shape, s.names...) {
		if p, ok := c.(*peer); ok {
			found = append(found, p)
		}
	}
	return found
}

func (b *bench) idleSample(ctx context.Context, p *peer, s shape, n int) (sample, error) {
	at := place{shape: s, Dir: b.dir}
	far, address, err := startFar(p.label, at)
	if err != nil {
		return nil, err
	}
	defer far.close()
	near0 := usageNow(true)
	far0, err := far.usage(ctx, true)
	if err != nil {
		return nil, err
	}
	body := pattern(s.Size)
	carriers := make([]carrier, 0, n)
	defer func() {
		for _, c := range carriers {
			c.close()
		}
	}()
	for at.Serial = range n {
		c, err := p.dial(ctx, at, address)
		if err != nil {
			return nil, fmt.Errorf("session %d: %w", at.Serial, err)
		}
		carriers = append(carriers, c)
		l := link{carrier: c}
		if err := c.call(l.context(ctx), body); err != nil {
			return nil, fmt.Errorf("session %d: %w", at.Serial, err)
		}
	}
	return b.watchIdle(ctx, far, n, near0, far0)
}

// watchIdle looks at n connections that do nothing, for ten times as long as
// another sample takes.
func (b *bench) watchIdle(ctx context.Context, far *farProcess, n int, near0, far0 usage) (sample, error) {
	near1 := usageNow(true)
	far1, err := far.usage(ctx, true)
	if err != nil {
		return nil, err
	}
	near2 := usageNow(false)
	far2, err := far.usage(ctx, false)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	select {
	case <-time.After(10 * b.time):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	near3, seconds := usageNow(false), time.Since(start).Seconds()
	far3, err := far.usage(ctx, false)
	if err != nil {
		return nil, err
	}
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / float64(n) }
	return sample{
		nearMemory: each(near1.Live, near0.Live), farMemory: each(far1.Live, far0.Live),
		nearRSS: each(near1.RSS, near0.RSS), farRSS: each(far1.RSS, far0.RSS),
		nearTasks: float64(near1.Goroutines-near0.Goroutines) / float64(n),
		farTasks:  float64(far1.Goroutines-far0.Goroutines) / float64(n),
		nearIdle:  float64((near3.CPU - near2.CPU).Milliseconds()) / seconds,
		farIdle:   float64((far3.CPU - far2.CPU).Milliseconds()) / seconds,
	}, nil
}
