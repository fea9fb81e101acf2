package osproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/internal/handshake"
	"github.com/hyperactor/hyperactor/launch"
)

// lostGrace is how long a proc may live without its control connection: when a
// process ends, its descriptors are closed a moment before its end is seen.
const lostGrace = 500 * time.Millisecond

// noBound is how long a proc may drain that is to be stopped long before.
const noBound = 24 * time.Hour

// body is a proc with a process, as the handle's owner uses it.
type body struct {
	manager *Manager
	process launch.Process
	control *os.File // our end
	streams host.Streams
	boot    handshake.Boot

	handle chan *host.Handle   // takes one, as soon as there is one
	first  chan handshake.Note // the first note
	closed chan struct{}       // closed when the control connection is
	reader sync.WaitGroup

	crash *os.File // what the child writes if it crashes; the reader's until it has ended

	mu      sync.Mutex // guards the following
	failure string     // why the proc said that it would end
	lost    error      // why the control connection ended
}

// Connect tells the child who it is, waits until it says that it listens and that
// its agent works, and sees that its address does.
func (b *body) Connect(ctx context.Context, progress func(launch.Phase)) (host.Endpoint, error) {
	progress(launch.PhaseHandshake)
	if err := handshake.Write(b.control, &b.boot); err != nil {
		return host.Endpoint{}, fmt.Errorf("%w: %w", ErrControl, err)
	}
	var n handshake.Note
	select {
	case n = <-b.first:
	case <-b.closed:
		select {
		case n = <-b.first: // it came just before
		default:
			return host.Endpoint{}, b.whyLost()
		}
	case <-ctx.Done():
		return host.Endpoint{}, context.Cause(ctx)
	}
	if err := b.check(n); err != nil {
		return host.Endpoint{}, err
	}
	progress(launch.PhaseInit)
	gw, p := b.manager.cfg.Gateway, b.boot.Proc
	gw.RouteSupervised(p, n.Addr)
	if err := gw.Connect(ctx, p); err != nil {
		return host.Endpoint{}, fmt.Errorf("connect to %s: %w", n.Addr, err)
	}
	return host.Endpoint{Addr: n.Addr, Agent: actor.AgentOf(p)}, nil
}

func (b *body) check(n handshake.Note) error {
	switch {
	case n.Version != handshake.Version:
		return fmt.Errorf("%w: the host speaks %d, the proc %d", ErrVersion, handshake.Version, n.Version)
	case n.Failure != "":
		return fmt.Errorf("the proc could not start: %s", n.Failure)
	case !bytes.Equal(n.Once, b.boot.Once):
		return fmt.Errorf("%w: an answer to another handshake", ErrProtocol)
	}
	return nil
}

// read takes the child's notes until the control connection ends. If that is
// after the first one and the child still lives, it is to be killed: nobody can
// follow it. Before, Connect reports it.
func (b *body) read() {
	var n handshake.Note
	err := handshake.Read(b.control, &n)
	shook := err == nil
	if shook {
		b.first <- n
		if n.Crash > 0 {
			b.crash = openCrash(b.process.PID(), n.Crash)
		}
		err = b.readNotes()
	}
	b.mu.Lock()
	b.lost = err
	b.mu.Unlock()
	close(b.closed)
	if shook && !errors.Is(err, os.ErrClosed) {
		h := <-b.handle
		h.Fail("its control connection was lost", lostGrace)
	}
}

// readNotes takes what the child says of its end, answers what it asks, and
// returns why it says nothing more.
func (b *body) readNotes() error {
	for {
		var n handshake.Note
		if err := handshake.Read(b.control, &n); err != nil {
			return err
		}
		if len(n.Key) > 0 {
			if err := b.grant(n); err != nil {
				return err
			}
		}
		if n.Failure != "" {
			b.mu.Lock()
			b.failure = n.Failure
			b.mu.Unlock()
		}
	}
}

func (b *body) whyLost() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost == nil || errors.Is(b.lost, io.EOF) {
		return ErrControl
	}
	if errors.Is(b.lost, handshake.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrProtocol, b.lost)
	}
	return fmt.Errorf("%w: %w", ErrControl, b.lost)
}

// errSuspended is why a proc that is stopped, traced or frozen is not asked.
var errSuspended = errors.New("the proc is suspended")

// Drain asks the agent to drain the proc, which then ends by itself. An actor
// that takes longer than ctx is not given up yet: Stop comes next, and then
// Kill (PH-5).
func (b *body) Drain(ctx context.Context, reason string) error {
	if b.process.Suspended() {
		return errSuspended
	}
	_, err := actor.DrainProc.Call(b.manager.cfg.Service.Context(ctx), actor.AgentOf(b.boot.Proc), actor.DrainRequest{Budget: noBound, Reason: reason})
	return err
}

// Stop sends SIGTERM and SIGCONT to the tree.
func (b *body) Stop() error { return b.process.Stop() }

// Kill sends SIGKILL to the tree. Nobody is to connect to the proc any more,
// and the time that it takes to die is a good one to see to that.
func (b *body) Kill() error {
	if err := b.process.Kill(); err != nil {
		return err
	}
	os.Remove(b.boot.Listen.Address())
	return nil
}

// Wait waits for the end of the process and adds what the proc said of it.
func (b *body) Wait() launch.Exit {
	e := b.process.Wait()
	if err := b.streams.Close(); err != nil {
		b.manager.cfg.Log.Warn("output of a proc is not complete", "proc", b.boot.Proc, "error", err)
	}
	// What the child has written is still there to be read; a grandchild that
	// holds the other end cannot keep us.
	b.control.SetReadDeadline(time.Now().Add(lostGrace))
	b.reader.Wait()
	b.control.Close()
	os.Remove(b.boot.Listen.Address()) // left behind by a process that was killed
	e.Stderr = lastWords(e.Stderr, readCrash(b.crash))
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Cause = b.failure
	return e
}
