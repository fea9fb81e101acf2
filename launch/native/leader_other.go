//go:build unix && !linux

package native

import (
	"errors"
	"os"
	"syscall"

	"github.com/hyperactor/hyperactor/launch"
)

// thread has nothing to do where there is no parent-death signal: children are
// started by whoever asks.
type thread struct {
	withoutGroupSignal bool
}

func (t *thread) stop() {}

func (t *thread) start(r startRequest) (*leader, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files := []*os.File{null, r.stdout, r.stderr}
	if r.control != nil {
		files = append(files, r.control)
	}
	p, err := os.StartProcess(r.prog.Path, r.prog.Argv, &os.ProcAttr{
		Dir:   r.dir,
		Env:   append([]string{}, r.env...), // nil would mean ours
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	return &leader{pid: p.Pid, proc: p}, nil
}

// leader is the process that was started: the leader of its session and of its
// process group. Without pidfds the end is learned by the very call that reaps
// it, so for a moment between the two a signal goes to a number that holds only
// as long as the group has members.
type leader struct {
	pid   int
	proc  *os.Process
	state *os.ProcessState
	err   error
}

func (l *leader) await() { l.state, l.err = l.proc.Wait() }

func (l *leader) reap() ended {
	if l.err != nil {
		return ended{err: l.err}
	}
	e := ended{usage: launch.Rusage{User: l.state.UserTime(), System: l.state.SystemTime()}}
	if usage, ok := l.state.SysUsage().(*syscall.Rusage); ok {
		e.usage.MaxRSS = int64(usage.Maxrss) // bytes on darwin
	}
	status, _ := l.state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		e.signal, e.core = status.Signal(), status.CoreDump()
	} else {
		e.code = status.ExitStatus()
	}
	return e
}

// sweep kills what is left of the group (PS-3). It cannot count: swept is 1 if
// there was anything.
func (l *leader) sweep() (swept, survivors int) {
	if errors.Is(syscall.Kill(-l.pid, syscall.SIGKILL), syscall.ESRCH) {
		return 0, 0
	}
	return 1, 0
}

func (l *leader) signalGroup(sig syscall.Signal) error { return syscall.Kill(-l.pid, sig) }

func (l *leader) suspended() bool { return false }

func (l *leader) close() {}

// pipe returns a pipe. Handing the write end to a child makes it blocking.
func pipe() (r, w *os.File, err error) { return os.Pipe() }
