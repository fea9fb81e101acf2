package native

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// process follows one child from its start to its record. It implements
// launch.Process.
type process struct {
	launcher *Launcher
	leader   *leader
	out      *output
	started  time.Time
	drain    time.Duration
	done     chan struct{} // closed when exit is set
	exit     launch.Exit   // written once, before done is closed (PH-10)

	// mu makes a signal to the group and the reaping of its leader exclude each
	// other (PS-4): while reaped is false, the number of the group is ours. The
	// system calls made while holding it do not block.
	mu     sync.Mutex
	reaped bool
}

func (p *process) PID() int { return p.leader.pid }

// Stop sends SIGTERM and then SIGCONT, so that a stopped process finds the
// SIGTERM when it goes on.
func (p *process) Stop() error { return p.signal(syscall.SIGTERM, syscall.SIGCONT) }

func (p *process) Kill() error { return p.signal(syscall.SIGKILL) }

func (p *process) Wait() launch.Exit {
	<-p.done
	return p.exit
}

// Tail returns the last lines of a stream, also while the process runs.
func (p *process) Tail(s launch.Stream) []string {
	if s == launch.Stderr {
		return p.out.stderr.tail.Lines()
	}
	return p.out.stdout.tail.Lines()
}

func (p *process) Suspended() bool {
	is := p.leader.suspended()
	p.mu.Lock()
	defer p.mu.Unlock()
	return is && !p.reaped // else the number may have been somebody else's
}

func (p *process) signal(sigs ...syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	for _, sig := range sigs {
		if err := p.leader.signalGroup(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send %v to process group %d: %w", sig, p.leader.pid, err)
		}
	}
	return nil
}

// monitor is the one goroutine that decides how the process ended. The
// launcher waits for it.
func (p *process) monitor() {
	p.leader.await()
	at := time.Now()
	p.mu.Lock()
	end := p.leader.reap()
	p.reaped = true
	p.mu.Unlock()
	swept, survivors := p.leader.sweep()
	p.leader.close()
	cut := p.out.drain(p.drain)

	log := p.launcher.log
	if survivors > 0 {
		log.Warn("processes survived a kill of their group", "pid", p.leader.pid, "survivors", survivors)
	}
	if end.err != nil {
		log.Warn("exit of a child is not known", "pid", p.leader.pid, "err", end.err)
	}
	p.exit = p.record(end, at)
	p.exit.Swept, p.exit.Cut = swept, cut
	p.launcher.forget(p)
	close(p.done)
}

// record makes the exit of what the kernel said. Kind Failed, Phase, Requested
// and Ready are for those who know what the process was for.
func (p *process) record(end ended, at time.Time) launch.Exit {
	e := launch.Exit{
		Code: end.code, Signal: end.signal, CoreDumped: end.core,
		Started: p.started, Ended: at, Rusage: end.usage,
		Stderr: strings.Join(p.out.stderr.tail.Lines(), "\n"),
	}
	switch {
	case end.err != nil:
		e.Kind, e.Cause = launch.Unknown, end.err.Error()
	case end.signal != 0:
		e.Kind = launch.Killed
	default:
		e.Kind = launch.Stopped
	}
	return e
}
