package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Exec is a Check that runs a command: exit 0 is good. When its time is over
// the command is killed with its whole tree and reaped; there are never two of
// them. Its methods may be called concurrently.
type Exec struct {
	launcher launch.Launcher
	spec     launch.Spec
	text     string
	closing  chan struct{}  // closed by Close
	checks   sync.WaitGroup // running calls of Check
	commands sync.WaitGroup // one per command that has not ended

	mu     sync.Mutex // guards the following
	closed bool
	busy   bool      // from before the start of a command to its end
	killed time.Time // when the command that makes us busy was killed; zero: it was not
}

// endBound is how long a killed command may take to end before Check returns
// without it: one that hangs in the kernel must not hold up the verdict.
const endBound = 2 * time.Second

var errClosed = errors.New("the probe is closed")

// NewExec returns a Check that runs spec with a launcher, which stays the
// caller's. text is the command as people write it, for messages.
func NewExec(l launch.Launcher, spec launch.Spec, text string) *Exec {
	return &Exec{launcher: l, spec: spec, text: text, closing: make(chan struct{})}
}

// Check runs the command; see the interface Check. It is an error while the
// command of an earlier call has not ended.
func (c *Exec) Check(ctx context.Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.checks.Done()
	p, err := c.launcher.Launch(ctx, c.spec)
	if err != nil {
		c.leave()
		return err
	}
	ended := make(chan launch.Exit, 1)
	c.commands.Go(func() {
		e := p.Wait()
		c.leave()
		ended <- e
	})
	select {
	case e := <-ended:
		return badExit(e)
	case <-ctx.Done():
		return c.kill(p, ended, context.Cause(ctx))
	case <-c.closing:
		return c.kill(p, ended, errClosed)
	}
}

// Close kills a command that runs, waits for its end and lets no other start.
// It can be repeated.
func (c *Exec) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	c.mu.Unlock()
	c.checks.Wait()
	c.commands.Wait()
	return nil
}

func (c *Exec) String() string { return Spec{KindExec, c.text}.String() }

// enter makes us busy. If it does not fail, checks.Done and leave have to follow.
func (c *Exec) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errClosed
	case c.busy && !c.killed.IsZero():
		return fmt.Errorf("the command of an earlier try has not ended %v after its kill", time.Since(c.killed).Round(time.Millisecond))
	case c.busy:
		return errors.New("the command of another try still runs")
	}
	c.busy = true
	c.checks.Add(1)
	return nil
}

func (c *Exec) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.killed = false, time.Time{}
}

// kill ends the command because of cause. The error says what did not work
// about that.
func (c *Exec) kill(p launch.Process, ended <-chan launch.Exit, cause error) error {
	err := p.Kill()
	c.mu.Lock()
	if c.busy {
		c.killed = time.Now()
	}
	c.mu.Unlock()
	timer := time.NewTimer(endBound)
	defer timer.Stop()
	select {
	case e := <-ended:
		if e.OK() { // before the kill
			return nil
		}
		return cause
	case <-timer.C:
	}
	cause = fmt.Errorf("%w; process %d of the command has not ended %v after its kill", cause, p.PID(), endBound)
	return errors.Join(cause, err)
}

// badExit returns what is wrong with the end of a command, or nil.
func badExit(e launch.Exit) error {
	if e.OK() {
		return nil
	}
	said := strings.TrimSpace(e.Stderr)
	if said = said[strings.LastIndexByte(said, '\n')+1:]; said != "" {
		said = ": " + said
	}
	if e.Kind == launch.Stopped && e.Signal == 0 {
		return fmt.Errorf("exit %d%s", e.Code, said)
	}
	return fmt.Errorf("%v%s", e, said)
}
