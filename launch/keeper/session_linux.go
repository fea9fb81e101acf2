package keeper

import (
	"cmp"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// endBound is how long a keeper may take to kill everything before it is killed
// itself. Longer takes only what the kernel cannot kill.
const endBound = 10 * time.Second

// errLeaving is a keeper that ends and will not start the process: another one
// has to.
var errLeaving = errors.New("the keeper ends")

// session is the host's side of one keeper.
type session struct {
	cfg   Config
	conn  *conn
	mark  string // of everything that descends from the guard
	guard *os.Process
	home  place          // the working directory of guard and keeper
	out   *output.Output // what guard and keeper print: nothing, unless they crash
	lost  chan struct{}  // closed when the connection has ended
	gone  chan struct{}  // closed when nothing is left
	force *time.Timer    // set by end

	mu     sync.Mutex // guards the following
	ending bool       // we have asked for the end
	left   error      // why nothing more can be started: errLeaving or ErrLost
	last   uint64     // the id of the last call
	seen   uint64     // how many ends were reported
	calls  map[uint64]*call
}

// call is what a process is to the keeper, from the request to its end.
type call struct {
	id     uint64
	answer chan answer // takes one
	end    chan *ended // takes one
}

// answer is the outcome of a start.
type answer struct {
	started *started
	pidfd   int // -1 if there was no room for it
	err     error
}

// run dispatches what the keeper tells until it ends, and returns when nothing
// of it is left.
func (s *session) run() {
	var rousing sync.WaitGroup
	rousing.Go(s.rouse)
	defer rousing.Wait()
	err := s.dispatch()
	s.mu.Lock()
	unexpected := !s.ending
	s.mu.Unlock()
	s.refuse(ErrLost)
	close(s.lost)
	s.finish()
	if unexpected {
		s.cfg.Log.Warn("the keeper has died, its processes were killed; the next start gets a new one",
			"err", err, "said", s.out.LastWords())
	}
}

// rouse continues the guard when somebody has stopped it, as the guard does with
// the keeper, lest everybody waits for ever. It costs a thread, which the kernel
// wakes when that is so, and returns at the end of the guard.
func (s *session) rouse() {
	_ = s.guard.WithHandle(func(pidfd uintptr) { // without a pidfd, nobody is roused
		for {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_PIDFD, int(pidfd), &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
			switch {
			case err == unix.EINTR:
			case err != nil || info.Code != cldStopped:
				return
			default:
				_ = s.guard.Signal(syscall.SIGCONT)
			}
		}
	})
}

// cldStopped is the code of a child that was stopped; see sigaction(2).
const cldStopped = 5

func (s *session) dispatch() error {
	for {
		f, got, err := s.conn.receive()
		if err != nil {
			return err
		}
		e, err := decode[event](f)
		if err != nil {
			got.close()
			return err
		}
		s.handle(e, got)
	}
}

func (s *session) handle(e event, got batch) {
	s.mu.Lock()
	c := s.calls[e.ID]
	if e.Ended != nil {
		s.seen++
	}
	if e.Ended != nil || e.Failed != nil {
		delete(s.calls, e.ID)
	}
	s.mu.Unlock()
	switch {
	case e.Bye != nil:
		s.refuse(errLeaving)
	case c == nil:
		got.close()
	case e.Started != nil:
		a := answer{started: e.Started, pidfd: -1}
		if !got.cut {
			a.pidfd = got.fds[0]
		}
		c.answer <- a
	case e.Failed != nil:
		c.answer <- answer{err: e.Failed.err("")}
	case e.Ended != nil:
		c.end <- e.Ended
	}
}

// finish returns when nothing of the keeper is left. The guard kills whatever
// descends from it before it ends; should it be gone, or be stuck, the mark
// tells what is left.
func (s *session) finish() {
	_ = s.conn.close()
	s.conn.forget()
	stuck := time.AfterFunc(endBound, s.crush)
	state, err := s.guard.Wait()
	stuck.Stop()
	if err != nil || !state.Success() {
		s.sweep()
	}
	s.out.Drain(0)
	close(s.gone)
}

// refuse answers the starts that were not answered, and those to come.
func (s *session) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = cmp.Or(s.left, err)
	for _, c := range s.calls {
		select {
		case c.answer <- answer{err: err}:
		default: // an answer that was not taken yet
		}
	}
}

// over reports whether nothing more can be started.
func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left != nil
}

// crush kills guard and keeper.
func (s *session) crush() {
	_ = s.guard.Kill()
	s.sweep()
}

func (s *session) sweep() {
	if killed := tree.KillMarked(s.mark); killed > 0 {
		s.cfg.Log.Warn("the keeper's guard has not done its work, the processes were found by their mark", "killed", killed)
	}
}

// end asks the keeper to kill everything and to end. run returns then.
func (s *session) end() {
	s.mu.Lock()
	first := !s.ending
	s.ending = true
	s.mu.Unlock()
	if first {
		_ = s.conn.hangUp() // an error means that it has ended already
		s.force = time.AfterFunc(endBound, s.crush)
	}
	<-s.gone
	if first {
		s.force.Stop()
	}
}

// start asks the keeper to start a process.
func (s *session) start(spec launch.Spec, prog launch.Program, out *output.Output) (*call, error) {
	stdout, stderr := out.Writers()
	files := []*os.File{stdout, stderr}
	if spec.Control != nil {
		files = append(files, spec.Control)
	}
	mark := newMark(s.mark)
	c := &call{answer: make(chan answer, 1), end: make(chan *ended, 1)}
	s.mu.Lock()
	if s.left != nil {
		s.mu.Unlock()
		return nil, errLeaving
	}
	s.last++
	c.id = s.last
	s.calls[c.id] = c
	seen := s.seen
	s.mu.Unlock()
	err := s.sendFiles(request{ID: c.id, Start: &start{
		Path: prog.Path, Argv: prog.Argv, Remote: prog.Remote, Env: withMark(spec.Env, mark),
		Dir: s.directory(spec), Limits: spec.Limits, Mark: mark, Seen: seen,
	}}, files)
	if err == nil {
		return c, nil
	}
	s.mu.Lock()
	delete(s.calls, c.id)
	s.mu.Unlock()
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) { // it has not read all of this, and will be seen to be gone
		<-s.lost
		return nil, errLeaving
	}
	return nil, err
}

// withMark returns an environment with a mark in it, and no other mark: that of
// an outer keeper is part of ours.
func withMark(env []string, mark string) []string {
	own := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, launch.MarkEnv+"=") {
			own = append(own, kv)
		}
	}
	return append(own, launch.MarkEnv+"="+mark)
}

// directory returns the working directory of a process: ours, which it inherits
// from the keeper as long as we have not left it. Then nobody has to enter it
// again, which a user that the process is to be may not be allowed to.
func (s *session) directory(spec launch.Spec) string {
	if spec.Dir != "" || here() == s.home {
		return spec.Dir
	}
	dir, err := syscall.Getwd()
	if err != nil { // removed: the keeper's is as good as any
		return ""
	}
	return dir
}

// place is a directory, whatever its name.
type place struct{ dev, ino uint64 }

// here returns the working directory of this process.
func here() place {
	var st unix.Stat_t
	if err := unix.Stat(".", &st); err != nil {
		return place{}
	}
	return place{uint64(st.Dev), st.Ino}
}

// sendFiles sends a request with descriptors.
func (s *session) sendFiles(r request, files []*os.File) error {
	return withFDs(files, nil, func(fds []int) error { return s.conn.send(r, fds...) })
}

// withFDs calls f with the descriptors of files, which stay open meanwhile and
// keep their mode: File.Fd could switch a file to blocking.
func withFDs(files []*os.File, fds []int, f func(fds []int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = withFDs(files[1:], append(fds, int(fd)), f) })
	return errors.Join(cerr, err)
}

// signal asks the keeper to signal the group of a process. After the keeper's
// death nothing is left to be signalled.
func (s *session) signal(id uint64, sigs []syscall.Signal) error {
	r := request{ID: id, Signal: &signals{}}
	for _, sig := range sigs {
		r.Signal.Numbers = append(r.Signal.Numbers, int(sig))
	}
	err := s.conn.send(r)
	select {
	case <-s.lost:
		return nil
	default:
		return err
	}
}

// number returns the number of a process as we see it, which is another one if
// the keeper is in a namespace of its own. 0 means that the process is gone.
func (s *session) number(a answer) int {
	if s.cfg.Isolate != PIDNamespace {
		return a.started.PID
	}
	return pidOf(a.pidfd)
}

// pidOf reads the number that a pidfd stands for.
func pidOf(pidfd int) int {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(v))
			return max(pid, 0) // -1: gone
		}
	}
	return 0
}
