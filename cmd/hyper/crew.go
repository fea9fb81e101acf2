package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
)

// crew is the procs that count. It has a number of slots, and a worker for
// each, which replaces the proc in it when that has died.
type crew struct {
	rt    *hyperactor.Runtime
	queue *queue

	mu    sync.Mutex // guards the following, and the fields of each member
	all   []*member  // as they were spawned
	kills int
}

// member is one proc of a crew.
type member struct {
	handle host.ProcHandle
	reader actor.Ref[*reader]
	pid    int

	killed bool // on purpose
	files  int
	words  int64
	busy   time.Duration
}

// maxDeaths is how many procs may die over one file by themselves. Then the
// file is to blame.
const maxDeaths = 3

// work counts all files with procs in slots at once.
func (c *crew) work(ctx context.Context, slots int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range slots {
		wg.Go(func() {
			if err := c.fill(ctx, "w"+strconv.Itoa(i+1)); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// fill is the worker of one slot: it replaces the proc in it that has died. It
// returns when all files are counted.
func (c *crew) fill(ctx context.Context, slot string) error {
	name := slot
	for n := 2; ; n++ {
		if err := c.serve(ctx, name); !errors.Is(err, errDied) {
			return err
		}
		name = fmt.Sprintf("%s.%d", slot, n)
	}
}

// serve spawns a proc and has it count until all files are counted. The error
// is errDied if another proc is to go on.
func (c *crew) serve(ctx context.Context, name string) error {
	m, err := c.spawn(ctx, name)
	if err != nil {
		return err
	}
	for {
		it := c.queue.take(ctx)
		if it == nil {
			return nil
		}
		if err := c.count(ctx, m, it); err != nil {
			return c.giveUp(ctx, m, it, err)
		}
	}
}

// spawn starts a proc and the reader in it. The error is errDied if the proc
// was killed on purpose meanwhile. One that dies by itself so early would do
// it again: that is the end of the job.
func (c *crew) spawn(ctx context.Context, name string) (*member, error) {
	h, err := c.rt.Host().Spawn(ctx, host.ProcSpec{Name: name})
	if err != nil {
		return nil, err
	}
	m := &member{handle: h, pid: h.Status().PID}
	c.mu.Lock()
	c.all = append(c.all, m)
	c.mu.Unlock()
	m.reader, err = readerType.Spawn(ctx, h.ID(), "reader", actor.None{})
	if died(err) && c.wasKilled(m) {
		return nil, errDied
	}
	return m, err
}

// giveUp deals with the file and the proc of a call that has failed with err.
// It returns errDied if that was because the proc has died: the file is back
// in the queue then, unless it is to blame.
func (c *crew) giveUp(ctx context.Context, m *member, it *item, err error) error {
	if !died(err) && m.handle.Status().Phase < host.Stopping || ctx.Err() != nil {
		return err
	}
	exit, waitErr := m.end(ctx)
	if waitErr != nil {
		return waitErr
	}
	if !c.wasKilled(m) {
		it.deaths++
	}
	if it.deaths < maxDeaths {
		c.queue.putBack(it)
		return errDied
	}
	why := fmt.Sprintf("%d procs have died over it, the last one %v", it.deaths, exit)
	if err := c.queue.finish(it, outcome{kind: unread, why: why}); err != nil {
		return err
	}
	return errDied
}

// deathBound is how long a proc may take to end after a call to it has said
// that it has died.
const deathBound = 5 * time.Second

// end waits for the end of m, and sees to it if need be.
func (m *member) end(ctx context.Context) (host.Exit, error) {
	bound, cancel := context.WithTimeout(ctx, deathBound)
	defer cancel()
	exit, err := m.handle.Wait(bound)
	if err == nil || ctx.Err() != nil {
		return exit, err
	}
	exit, err = m.handle.Kill(ctx, "it does not answer")
	if errors.Is(err, host.ErrAlreadyExited) {
		err = nil
	}
	return exit, err
}

func (c *crew) wasKilled(m *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.killed
}

// count has m count the rest of a file. After an error the file is still the
// caller's.
func (c *crew) count(ctx context.Context, m *member, it *item) error {
	began := time.Now()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		m.busy += time.Since(began)
	}()
	for last := false; !last; {
		found, err := countWords.Call(ctx, m.reader, place{Path: []byte(it.path), Offset: it.offset})
		if errors.Is(err, errUnreadable) {
			return c.queue.finish(it, outcome{kind: unread, why: reason(err)})
		}
		if err != nil {
			return fmt.Errorf("count %s: %w", it.path, err)
		}
		if last, err = c.queue.add(it, found); err != nil {
			return err
		}
		c.credit(m, last, found)
	}
	return nil
}

func (c *crew) credit(m *member, last bool, found counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last {
		m.files++
	}
	for _, n := range found.Counts {
		m.words += int64(n)
	}
}

// reason is what a handler has said, without the way that it has come.
func reason(err error) string {
	if r, ok := errors.AsType[*actor.RemoteError](err); ok {
		return r.Text
	}
	return err.Error()
}

// errDied says that a proc has died, and is to be replaced.
var errDied = errors.New("the proc has died")

// died reports whether err says that a proc, or the actor in it, is no more,
// rather than that something is wrong with what was asked of it.
func died(err error) bool {
	for _, end := range []error{host.ErrExited, actor.ErrPeerGone, actor.ErrNoRoute, actor.ErrStopped,
		actor.ErrFailed, actor.ErrNoActor, actor.ErrShuttingDown} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// members returns all procs that there were, as they were spawned.
func (c *crew) members() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

func (c *crew) killed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kills
}

// note says how the crew is, for the progress.
func (c *crew) note() string {
	living := 0
	for _, m := range c.members() {
		if m.handle.Status().Phase == host.Ready {
			living++
		}
	}
	s := fmt.Sprintf("%d procs", living)
	if n := c.killed(); n > 0 {
		s += fmt.Sprintf(", %d killed", n)
	}
	return s
}

// lines returns what there is to say about each proc, when all have ended.
func (c *crew) lines() []procLine {
	var lines []procLine
	for _, m := range c.members() {
		p := m.handle.ID()
		lines = append(lines, procLine{
			ID: p.String(), Name: p.Name, PID: m.pid, Exit: m.handle.Status().String(),
			files: m.files, words: m.words, busy: m.busy,
		})
	}
	return lines
}
