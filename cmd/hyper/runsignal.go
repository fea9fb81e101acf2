package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/hyperactor/hyperactor/host"
)

// patience is how long those who read what we write may keep us after the
// procs had to end.
const patience = time.Second

// catchSignals returns the signals that a run obeys from now on. SIGPIPE is
// among them so that it does not end us: the write that it is about fails, too.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals
}

// obey does what signals ask for, until ctx is over. It writes nothing, so
// that a terminal that takes nothing cannot keep it from stopping the procs.
func (r *runner) obey(ctx context.Context, signals <-chan os.Signal) {
	var stops sync.WaitGroup
	defer stops.Wait()
	stopping := false
	broken := r.consoles.answer.broken
	begin := func(within time.Duration, stop func()) {
		stopping = true
		stops.Go(stop)
		time.AfterFunc(max(within, within+patience), r.consoles.giveUp) // the sum of the longest times is none
	}
	for {
		select {
		case <-ctx.Done():
			if stopping {
				time.AfterFunc(patience, r.consoles.giveUp)
			}
			return
		case <-broken:
			broken = nil
			begin(r.plan.grace, func() { r.stop("stdout is closed") })
		case s := <-signals:
			switch {
			case s == syscall.SIGUSR1:
				r.wantTable()
			case s == syscall.SIGPIPE:
			case !stopping:
				begin(r.plan.grace, func() { r.stop(signalName(s.(syscall.Signal))) })
			case s == os.Interrupt:
				begin(0, func() { r.kill("SIGINT during the stop") })
			}
		}
	}
}

// stop ends all procs within the grace, and the restarts: what has not been
// started never is. What cannot be stopped is still waited for.
func (r *runner) stop(why string) {
	_, _ = r.rt.Host().Shutdown(stopper(), r.plan.grace, why) // Close has the error
}

// kill ends all procs now.
func (r *runner) kill(why string) { r.rt.Host().TerminateAll(stopper(), 0, 0, why) }

// stopper is in whose name procs are stopped.
func stopper() context.Context { return host.As(context.Background(), "hyper run") }

// wantTable has the loop show the table, once for all who want it now.
func (r *runner) wantTable() {
	select {
	case r.show <- struct{}{}:
	default:
	}
}

// watchEnter shows the table on ENTER, if there is a terminal to press it at.
// A read cannot be called off: the goroutine ends with the program.
func (r *runner) watchEnter() {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		go eachEnter(fd, r.wantTable)
	}
}
