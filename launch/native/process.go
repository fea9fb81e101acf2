package native

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// process follows one child from its start to its record. It implements
// launch.Process.
type process struct {
	launcher *Launcher
	leader   *tree.Leader
	out      *output.Output
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

func (p *process) Suspended() bool {
	is := p.leader.Suspended()
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
		if err := p.leader.Signal(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send %v to process group %d: %w", sig, p.leader.PID, err)
		}
	}
	return nil
}

// Follow is the one goroutine that decides how the process ended. The
// launcher waits for it.
func (p *process) Follow() {
	p.leader.Await()
	at := time.Now()
	p.mu.Lock()
	end := p.leader.Reap()
	p.reaped = true
	p.mu.Unlock()
	swept, survivors := p.leader.Sweep()
	p.leader.Close()
	cut := p.out.Drain(p.drain)

	log := p.launcher.log
	if survivors > 0 {
		log.Warn("processes survived a kill of their group", "pid", p.leader.PID, "survivors", survivors)
	}
	if end.Err != nil {
		log.Warn("exit of a child is not known", "pid", p.leader.PID, "err", end.Err)
	}
	p.exit = end.Exit()
	p.exit.Started, p.exit.Ended, p.exit.Stderr = p.started, at, p.out.LastWords()
	p.exit.Swept, p.exit.Cut = swept, cut
	close(p.done)
}
