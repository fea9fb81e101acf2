package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// openSession starts guard and keeper and shakes hands.
func openSession(cfg Config) (*session, error) {
	c, theirs, err := connPair()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKeeper, err)
	}
	defer theirs.Close()
	s := &session{
		cfg: cfg, conn: c, mark: newMark(os.Getenv(launch.MarkEnv)),
		lost: make(chan struct{}), gone: make(chan struct{}), calls: map[uint64]*call{}, home: here(),
	}
	if err := s.startGuard(theirs); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoKeeper, err), c.close())
	}
	theirs.Close() // so that its end can be seen
	if err := s.shakeHands(); err != nil {
		close(s.lost)
		s.crush() // it is not what we believed
		s.finish()
		if words := s.out.LastWords(); words != "" {
			err = fmt.Errorf("%w; it said: %s", err, words)
		}
		return nil, fmt.Errorf("%w: %w", ErrNoKeeper, err)
	}
	return s, nil
}

func (s *session) startGuard(conn *os.File) (err error) {
	if err := tree.CloseInherited(); err != nil {
		return err
	}
	if s.out, err = output.Open(launch.Spec{}.WithDefaults()); err != nil {
		return err
	}
	defer s.out.CloseWriters()
	null, err := os.Open(os.DevNull)
	if err != nil {
		s.out.Close()
		return err
	}
	defer null.Close()
	stdout, stderr := s.out.Writers()
	role, attr := roleGuard, &syscall.SysProcAttr{Setsid: true}
	if s.cfg.Isolate == PIDNamespace {
		role = roleIsolated
		isolate(attr)
	}
	s.guard, err = os.StartProcess(s.cfg.exe, []string{"hyper-keeper"}, &os.ProcAttr{
		// The keeper is small and mostly waits: two processors, so that a fork holds up
		// nothing else, and little garbage.
		Env: append([]string{
			roleEnv + "=" + role, removeEnv + "=" + s.cfg.Remove, launch.MarkEnv + "=" + s.mark,
			"GOMAXPROCS=2", "GOGC=25", "GORACE=atexit_sleep_ms=0",
		}, s.cfg.Env...),
		Files: []*os.File{null, stdout, stderr, conn},
		Sys:   attr,
	})
	if err != nil {
		s.out.Close()
		return err
	}
	s.out.Read()
	return nil
}

// isolate gives a process namespaces of its own, in which it is PID 1. Whoever
// we may give it as users and groups keeps his number: root may give all, others
// only themselves. It can mount until it drops the capability.
func isolate(attr *syscall.SysProcAttr) {
	attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	if os.Geteuid() == 0 {
		attr.UidMappings, attr.GidMappings = ownIDs("uid_map"), ownIDs("gid_map")
		attr.GidMappingsEnableSetgroups = true
	}
}

// ownIDs returns the users or groups that there are in our own namespace, each
// mapped to itself.
func ownIDs(file string) (all []syscall.SysProcIDMap) {
	b, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		var first, outside, n int
		if _, err := fmt.Sscan(line, &first, &outside, &n); err == nil {
			all = append(all, syscall.SysProcIDMap{ContainerID: first, HostID: first, Size: n})
		}
	}
	return all
}

func (s *session) shakeHands() error {
	_ = s.conn.file.SetReadDeadline(time.Now().Add(s.cfg.patience))
	err := s.conn.send(request{Hello: &hello{
		Version: version, Records: s.cfg.Records,
		WithoutGroupSignal: s.cfg.withoutGroupSignal, WithoutCgroups: s.cfg.withoutCgroups,
	}})
	var f frame
	if err == nil {
		f, _, err = s.conn.receive()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer after %v: perhaps an init function of this program waits for something", s.cfg.patience)
	case errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET):
		return errors.New("it ended before it answered: perhaps an init function of this program ended it")
	case err != nil:
		return err
	}
	e, err := decode[event](f)
	switch {
	case err != nil:
		return err
	case e.Hello == nil:
		return errProtocol
	case e.Hello.Problem != "":
		return errors.New(e.Hello.Problem)
	case e.Hello.Version != version:
		return fmt.Errorf("the host speaks version %d, the keeper %d", version, e.Hello.Version)
	}
	return s.conn.file.SetReadDeadline(time.Time{})
}
