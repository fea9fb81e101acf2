package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/hyperactor/hyperactor/host"
)

// chaosEvery is the time from one kill to the next.
const chaosEvery = 150 * time.Millisecond

// harass kills one living proc of the crew after another until ctx ends.
func (c *crew) harass(ctx context.Context) {
	tick := time.NewTicker(chaosEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if m := c.victim(); m != nil && m.murder(ctx) == nil {
			c.mu.Lock()
			c.kills++
			c.mu.Unlock()
		}
	}
}

// victim picks a proc that lives, or returns nil. From then on its death is
// no surprise.
func (c *crew) victim() *member {
	var living []*member
	for _, m := range c.members() {
		if m.handle.Status().Phase == host.Ready {
			living = append(living, m)
		}
	}
	if len(living) == 0 {
		return nil
	}
	m := living[rand.IntN(len(living))]
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.killed { // and its host does not know it yet
		return nil
	}
	m.killed = true
	return m
}

// murder kills m from outside, without a word to its host, if it has a process
// to itself.
func (m *member) murder(ctx context.Context) error {
	if m.pid == 0 {
		_, err := m.handle.Kill(ctx, "chaos")
		return err
	}
	p, err := os.FindProcess(m.pid) // by its pidfd, where there are any
	if err != nil {
		return err
	}
	defer p.Release()
	if s := m.handle.Status(); s.Phase == host.Exited { // p may be another process with its pid
		return fmt.Errorf("kill %v: %v", s.ID, s)
	}
	return p.Kill()
}
