package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/roll"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// process follows one process of the keeper from its start to its record. It
// implements launch.Process.
type process struct {
	session *session
	out     *output.Output
	drain   time.Duration
	call    *call
	leader  *tree.Leader // somebody else's child
	started time.Time
	group   bool          // the kernel signals the group through the pidfd
	done    chan struct{} // closed when exit is set
	exit    launch.Exit   // written once, before done is closed (PH-10)

	mu   sync.Mutex // guards the following
	over bool       // the pidfd is closed
}

func (p *process) PID() int { return p.leader.PID }

// Stop sends SIGTERM and then SIGCONT, so that a stopped process finds the
// SIGTERM when it goes on.
func (p *process) Stop() error { return p.signal(syscall.SIGTERM, syscall.SIGCONT) }

func (p *process) Kill() error { return p.signal(syscall.SIGKILL) }

func (p *process) Wait() launch.Exit {
	<-p.done
	return p.exit
}

// Tail returns the last lines of a stream, also while the process runs.
func (p *process) Tail(s launch.Stream) []string { return p.out.Tail(s) }

// Suspended asks the kernel by number, which is the process' own as long as the
// process has not ended.
func (p *process) Suspended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.over && p.leader.Suspended() && !p.leader.Ended()
}

// signal signals the group through the pidfd, or asks the keeper to where the
// kernel cannot: the keeper knows whether the leader is reaped (PS-4).
func (p *process) signal(sigs ...syscall.Signal) error {
	if !p.group {
		return p.session.signal(p.call.id, sigs)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	for _, sig := range sigs {
		if err := p.leader.Signal(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send %v to process group %d: %w", sig, p.leader.PID, err)
		}
	}
	return nil
}

// errAbandoned is a start that is over for its caller while the keeper still
// works on it.
var errAbandoned = errors.New("start abandoned")

// start has the keeper start the process.
func (p *process) start(ctx context.Context, all *roll.Roll[*process], spec launch.Spec, prog launch.Program) error {
	c, err := p.session.start(spec, prog, p.out)
	if err != nil {
		return err
	}
	p.call = c
	select {
	case a := <-c.answer:
		return p.take(a)
	case <-ctx.Done():
	}
	all.Care(func() {
		_ = p.session.signal(c.id, []syscall.Signal{syscall.SIGKILL}) // it may hang, no answer would come
		if err := p.take(<-c.answer); err != nil {
			p.session.cfg.Log.Info("a start that was given up has failed", "program", spec.Path, "err", err)
			p.out.Close()
			return
		}
		p.out.Read()
		_ = p.Kill()
		p.Follow()
	})
	return errAbandoned
}

// take takes the keeper's answer to a start.
func (p *process) take(a answer) error {
	if a.err != nil {
		return a.err
	}
	p.started, p.group = time.Unix(0, a.started.At), a.started.Group
	if a.pidfd < 0 { // there was no room for it
		_ = p.session.signal(p.call.id, []syscall.Signal{syscall.SIGKILL})
		select {
		case <-p.call.end:
		case <-p.session.gone:
		}
		return unix.EMFILE
	}
	p.leader = tree.Attach(p.session.number(a), a.pidfd)
	return nil
}

// Follow is the one place that decides how the process ended.
func (p *process) Follow() {
	e := p.await()
	p.mu.Lock()
	p.over = true
	p.leader.Close()
	p.mu.Unlock()
	cut := p.out.Drain(p.drain)

	log := p.session.cfg.Log
	if e.Survivors > 0 {
		log.Warn("processes survived a kill of their tree", "pid", p.leader.PID, "survivors", e.Survivors)
	}
	end := e.end()
	if end.Err != nil {
		log.Warn("exit of a process is not known", "pid", p.leader.PID, "err", end.Err)
	}
	p.exit = end.Exit()
	p.exit.Started, p.exit.Ended, p.exit.Stderr = p.started, time.Unix(0, e.At), p.out.LastWords()
	p.exit.Swept, p.exit.Cut = e.Swept, cut
	close(p.done)
}

// await returns the keeper's report. Without a keeper it kills the process, and
// reports what the kernel still knows once nobody can be its parent any more.
func (p *process) await() *ended {
	select {
	case e := <-p.call.end:
		return e
	case <-p.session.lost:
	}
	select {
	case e := <-p.call.end: // it came just before
		return e
	default:
	}
	_ = p.leader.Signal(syscall.SIGKILL)
	p.leader.Await()
	at := time.Now()
	<-p.session.gone
	end := p.leader.Recall()
	if end.Err != nil {
		end.Err = fmt.Errorf("its keeper has died: %w", end.Err)
	}
	return report(end, at, 0, 0)
}
