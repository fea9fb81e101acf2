//go:build unix && !linux

package tree

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/hyperactor/hyperactor/launch"
)

// Starter has nothing to do where there is no parent-death signal: children are
// started by whoever asks.
type Starter struct {
	WithoutGroupSignal bool // of no effect here
	Cgroups            bool // likewise
}

// Stop does nothing.
func (t *Starter) Stop() {}

// Start starts a process.
func (t *Starter) Start(r Request) (*Leader, error) {
	user := r.Limits.User
	if r.Limits.User = nil; !r.Limits.IsZero() {
		return nil, &launch.StartError{
			Op: "start", Reason: launch.ErrNotEnforced,
			Detail: "of all limits, this system lets a launcher set the user only",
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files := []*os.File{null, r.Stdout, r.Stderr}
	if r.Control != nil {
		files = append(files, r.Control)
	}
	p, err := os.StartProcess(r.Prog.Path, r.Prog.Argv, &os.ProcAttr{
		Dir:   r.Dir,
		Env:   append([]string{}, r.Env...), // nil would mean ours
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: credential(user)},
	})
	if err != nil {
		return nil, err
	}
	return &Leader{PID: p.Pid, proc: p}, nil
}

// Leader is the process that was started: the leader of its session and of its
// process group. Without pidfds the end is learned by the very call that reaps
// it, so for a moment between the two a signal goes to a number that holds only
// as long as the group has members.
type Leader struct {
	PID   int
	proc  *os.Process // nil if it is somebody else's child
	state *os.ProcessState
	err   error
}

// ErrStuck is returned by nobody here.
var ErrStuck = errors.New("the process does not come to its program")

// AwaitExec returns at once: Start has waited for the program.
func (l *Leader) AwaitExec() error { return nil }

// Abandon kills the process.
func (l *Leader) Abandon() { _ = l.Signal(syscall.SIGKILL) }

// Attach returns a Leader for a process that somebody else has started. Without
// pidfds it can do nothing but say so.
func Attach(pid, _ int) *Leader { return &Leader{PID: pid} }

// Pidfd returns that there is none.
func (l *Leader) Pidfd() int { return -1 }

// Recall returns that nothing is known.
func (l *Leader) Recall() End {
	return End{Err: fmt.Errorf("somebody else has reaped process %d: %w", l.PID, errors.ErrUnsupported)}
}

// Await returns when the process has ended.
func (l *Leader) Await() {
	if l.proc == nil {
		l.err = errors.ErrUnsupported
		return
	}
	l.state, l.err = l.proc.Wait()
}

// Reap returns the record of the ended process.
func (l *Leader) Reap() End {
	if l.err != nil {
		return End{Err: l.err}
	}
	e := End{Usage: launch.Rusage{User: l.state.UserTime(), System: l.state.SystemTime()}}
	if usage, ok := l.state.SysUsage().(*syscall.Rusage); ok {
		e.Usage.MaxRSS = int64(usage.Maxrss) // bytes on darwin
	}
	status, _ := l.state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		e.Signal, e.Core = status.Signal(), status.CoreDump()
	} else {
		e.Code = status.ExitStatus()
	}
	return e
}

// Sweep kills what is left of the group (PS-3). It cannot count: swept is 1 if
// there was anything.
func (l *Leader) Sweep() (swept, survivors int) {
	if l.proc == nil || errors.Is(syscall.Kill(-l.PID, syscall.SIGKILL), syscall.ESRCH) {
		return 0, 0
	}
	return 1, 0
}

// Signal signals the group.
func (l *Leader) Signal(sig syscall.Signal) error {
	if l.proc == nil {
		return errors.ErrUnsupported
	}
	return syscall.Kill(-l.PID, sig)
}

// Suspended is not known here.
func (l *Leader) Suspended() bool { return false }

// Close has nothing to free.
func (l *Leader) Close() {}
