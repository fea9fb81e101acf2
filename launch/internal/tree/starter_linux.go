package tree

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/cgroup"
)

// Starter starts processes on one locked OS thread. PDEATHSIG fires
// when the thread that forked ends, so this one lives from the first start
// until all children are reaped. Children with a umask of their own have another
// one, which has a umask and a working directory of its own.
type Starter struct {
	WithoutGroupSignal bool // behave as on a kernel before 6.9, for tests
	Cgroups            bool // give each child a cgroup of its own, where one can be made
	Here               bool // Start is called on a locked thread that outlives all children: it need not change to another

	shared, private thread

	mu          sync.Mutex // guards the following
	ready       bool
	null        *os.File // stdin of every child
	hop         *os.File // what a child runs first; nil: there is none
	groupSignal bool     // the kernel signals a group through its leader's pidfd
	parent      *cgroup.Parent
}

// Start starts a process on a thread. AwaitExec of the Leader tells whether it
// comes to its program. An error that is a *launch.StartError lacks nothing but
// the program's name.
func (s *Starter) Start(r Request) (*Leader, error) {
	j := job{Request: r}
	if err := s.prepare(&j); err != nil {
		return nil, err
	}
	t := &s.shared
	if r.Limits.Umask != nil {
		cwd, err := os.OpenFile(".", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, err
		}
		defer cwd.Close()
		j.cwd, t = cwd, &s.private
	}
	var lead *Leader
	var err error
	if s.Here && t == &s.shared {
		lead, err = j.run()
	} else {
		t.do(func() { lead, err = j.run() })
	}
	j.group.Started()
	if err != nil {
		_ = j.group.Remove() // what is left of it goes with the parent
		return nil, err
	}
	lead.group, lead.groupSignal = j.group, s.signalsGroup(lead.fd)
	return lead, nil
}

// prepare opens what all starts need, and makes the group of this one.
func (s *Starter) prepare(j *job) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		if err := s.openLocked(); err != nil {
			return err
		}
	}
	j.null, j.hop = s.null, s.hop
	if s.parent != nil {
		j.group, err = s.parent.New(cgroup.Limits{Memory: j.Limits.Memory, PIDs: j.Limits.PIDs})
	} else if j.Limits.Memory > 0 || j.Limits.PIDs > 0 {
		err = &cgroup.LimitError{Limit: "memory or pid", Err: errors.New("this launcher makes none")}
	}
	return explainLimit(err)
}

// Prepare does ahead what the next Start would have to do first: it is called
// when nobody waits.
func (s *Starter) Prepare() {
	s.mu.Lock()
	parent := s.parent
	s.mu.Unlock()
	if parent != nil {
		parent.Prepare()
	}
}

// explainLimit makes a StartError of a limit that cannot be enforced.
func explainLimit(err error) error {
	if e, ok := errors.AsType[*cgroup.LimitError](err); ok {
		return notEnforced(e.Hint(), e.Err)
	}
	return err
}

func (s *Starter) openLocked() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	hop, err := openHop()
	if err == nil {
		err = errors.Join(closeInherited(), opensPidfds())
	}
	if err == nil && s.Cgroups {
		s.parent, err = cgroup.Open()
	}
	if err != nil {
		hop.Close() // nil is fine
		null.Close()
		return err
	}
	s.null, s.hop, s.ready = null, hop, true
	return nil
}

// opensPidfds finds out whether processes that are not our children can be held:
// a sweep would overlook them otherwise. The errno, if it is not about
// descriptors or memory, would be taken for one of the program's.
func opensPidfds() error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	switch err {
	case nil:
		return unix.Close(fd)
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		return err
	}
	return fmt.Errorf("pidfd_open does not work here (%v): linux 5.4 is needed, and no seccomp filter may forbid it: %w", err, errors.ErrUnsupported)
}

// signalsGroup finds out once whether the kernel knows signals to the group of
// a pidfd.
func (s *Starter) signalsGroup(pidfd int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.groupSignal && !s.WithoutGroupSignal {
		s.groupSignal = signalsGroup(pidfd)
	}
	return s.groupSignal
}

// Stop ends the threads. No start may follow and no child may be left.
func (s *Starter) Stop() {
	s.shared.stop()
	s.private.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parent != nil {
		_ = s.parent.Close() // what cannot be removed is left to the next launcher
	}
	if s.null != nil {
		s.null.Close()
	}
	s.hop.Close() // nil is fine
	s.parent, s.null, s.hop, s.ready = nil, nil, nil, false
}

// closeInherited makes sure that descriptors which this process has inherited
// do not reach its children (PS-6). Those that Go opens never do.
func closeInherited() error {
	const all = 1<<32 - 1
	if unix.CloseRange(3, all, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	fds, err := os.ReadDir("/proc/self/fd") // before linux 5.11
	if err != nil {
		return fmt.Errorf("find inherited descriptors: %w", err)
	}
	for _, entry := range fds {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// thread is a locked OS thread that does things one after the other. It is
// started for the first.
type thread struct {
	mu    sync.Mutex // guards the following
	calls chan func()
	wg    sync.WaitGroup
}

// do runs call on the thread.
func (t *thread) do(call func()) {
	done := make(chan struct{})
	t.queue() <- func() {
		defer close(done)
		call()
	}
	<-done
}

// queue returns the way to the thread.
func (t *thread) queue() chan<- func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == nil {
		calls := make(chan func())
		t.calls = calls
		t.wg.Go(func() { serve(calls) })
	}
	return t.calls
}

// serve does what is asked for. The goroutine never unlocks its thread, which
// ends with it: calls may have changed what is the thread's own. The first
// thread of the process is spared, since others take it for the process.
func serve(calls <-chan func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		var other sync.WaitGroup
		other.Go(func() { serve(calls) })
		other.Wait()
		runtime.UnlockOSThread()
		return
	}
	for call := range calls {
		call()
	}
}

func (t *thread) stop() {
	t.mu.Lock()
	calls := t.calls
	t.calls = nil
	t.mu.Unlock()
	if calls != nil {
		close(calls)
	}
	t.wg.Wait()
}

// notEnforced is the error for a limit that the system does not grant.
func notEnforced(detail string, err error) *launch.StartError {
	return &launch.StartError{Op: "start", Reason: launch.ErrNotEnforced, Detail: detail, Err: err}
}
