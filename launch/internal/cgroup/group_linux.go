package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the cgroup of one process and what descends from it: a directory
// per hierarchy. One goroutine at a time uses it, except that any may Kill. Nil
// is a group that could not be made.
type Group struct {
	parent *Parent

	name  string   // ends the group's path in every hierarchy, and is unique
	v2    string   // "" if there is none
	v1    []string // one per limit that version 2 does not know here
	bound bool     // v2 has a limit
	count bool     // v2 counts memory
	fd    int      // of v2 until Started, or -1
}

// New makes a group for a process that is about to be started. Without limits
// it returns nil where none can be made. An error is a *LimitError, or a want
// of descriptors or memory.
func (p *Parent) New(l Limits) (*Group, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := strconv.Itoa(p.next)
	g := &Group{parent: p, name: "/" + p.name + "/" + name, fd: -1}
	p.next++
	err := g.make2(p, name)
	if err == nil {
		err = g.limit(p, name, l)
	}
	if err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	if g.v2 == "" && g.v1 == nil {
		return nil, nil
	}
	return g, nil
}

// make2 makes the directory of version 2, where that is possible.
func (g *Group) make2(p *Parent, name string) error {
	if p.dir == "" || p.closed {
		return nil
	}
	if g.fd = p.prepared(name); g.fd >= 0 {
		g.v2, g.count = filepath.Join(p.dir, name), p.counts
		return nil
	}
	dir, err := p.makeGroup(p.base, name)
	if err != nil {
		return onlyExhausted(err)
	}
	g.v2, g.count = dir, p.counts
	fd, err := openDir(dir)
	if err != nil {
		err = errors.Join(err, g.Remove())
		g.v2 = ""
		return onlyExhausted(err)
	}
	g.fd = fd
	return nil
}

// prepared opens the directory that Prepare has made, or returns -1: it has not,
// or somebody has removed it since, or it cannot be opened and is removed, so that
// whoever makes another one learns why.
func (p *Parent) prepared(name string) (fd int) {
	if !p.ahead {
		return -1
	}
	p.ahead = false
	dir := filepath.Join(p.dir, name)
	fd, err := openDir(dir)
	if err != nil {
		_ = removeTree(dir)
	}
	return fd
}

func onlyExhausted(err error) error {
	if exhausted(err) {
		return err
	}
	return nil
}

func openDir(dir string) (int, error) {
	for {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR {
			return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
		}
	}
}

// Started frees what was needed to start the process in the group.
func (g *Group) Started() {
	if g != nil && g.fd >= 0 {
		unix.Close(g.fd)
		g.fd = -1
	}
}

// FD returns the descriptor of the directory that the process is to be born in,
// until Started, or -1: there is none.
func (g *Group) FD() int {
	if g == nil {
		return -1
	}
	return g.fd
}

// Late reports whether the process must be added before it runs.
func (g *Group) Late() bool { return g != nil && len(g.v1) > 0 }

// Add moves a process into the groups that it was not born in.
func (g *Group) Add(pid int) error {
	for _, dir := range g.v1 {
		if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// Leave gives up the directory of version 2, because no process can be born in
// it. It fails if a limit depends on that.
func (g *Group) Leave(why error) error {
	if g.bound {
		return &LimitError{Limit: "memory or pid", Err: fmt.Errorf("start a process in %s: %w", g.v2, why)}
	}
	g.Started()
	dir := g.v2
	g.v2, g.count = "", false
	return ignoreMissing(removeDir(dir)) // somebody has removed it, perhaps that is why
}

// Lost reports whether somebody has removed the directory of version 2.
func (g *Group) Lost() bool {
	if g == nil || g.v2 == "" {
		return false
	}
	_, err := os.Stat(g.v2)
	return err != nil && ignoreMissing(err) == nil
}

// Kill sends SIGKILL to all that is in the group, in one step that a fork cannot
// escape. It fails where the kernel cannot do that (before linux 5.14).
func (g *Group) Kill() error {
	if g == nil || g.v2 == "" {
		return errors.ErrUnsupported
	}
	return write(filepath.Join(g.v2, "cgroup.kill"), "1")
}

// Empty reports whether nothing lives in the group any more.
func (g *Group) Empty() bool {
	switch {
	case g == nil:
		return true
	case g.v2 == "":
		return len(g.PIDs()) == 0
	}
	populated, err := readPopulated(g.v2)
	if err != nil {
		return ignoreMissing(err) == nil // only what is not there is empty for sure
	}
	return !populated
}

// readPopulated reports whether there are processes in dir or below it.
func readPopulated(dir string) (bool, error) {
	fd, err := unix.Open(dir+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	return populated(fd)
}

// populated is readPopulated for an open cgroup.events.
func populated(fd int) (bool, error) {
	var b [512]byte
	n, err := unix.Pread(fd, b[:], 0)
	return err == nil && parseKeyed(string(b[:n]), "populated") != 0, err
}

// PIDs returns the processes of the group and of those in it.
func (g *Group) PIDs() (pids []int) {
	if g == nil {
		return nil
	}
	dir := g.v2
	if dir == "" && len(g.v1) > 0 {
		dir = g.v1[0]
	}
	if dir == "" {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if b, err := os.ReadFile(filepath.Join(path, "cgroup.procs")); err == nil {
				pids = append(pids, parsePIDs(string(b))...)
			}
		}
		return nil // what is gone has no processes
	})
	return pids
}

// Has reports whether a process is in the group or in one in it.
func (g *Group) Has(pid int) bool {
	if g == nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	return err == nil && hasGroup(string(b), g.name)
}

// OOMKills returns how many processes of the group the kernel has killed for
// want of memory. That is known only where memory is counted per group.
func (g *Group) OOMKills() int {
	if g == nil {
		return 0
	}
	n := 0
	if g.count {
		if b, err := os.ReadFile(filepath.Join(g.v2, "memory.events")); err == nil {
			n += parseKeyed(string(b), "oom_kill")
		}
	}
	for _, dir := range g.v1 {
		if b, err := os.ReadFile(filepath.Join(dir, "memory.oom_control")); err == nil {
			n += parseKeyed(string(b), "oom_kill")
		}
	}
	return n
}

// removeBound is how long a group may take to become empty after the death of
// its last process, for which the kernel owes a moment at most.
const removeBound = time.Second

// Discard removes the group soon: when many processes end, that is not what
// anybody waits for.
func (g *Group) Discard() {
	if g != nil {
		g.parent.discard(g)
	}
}

// Remove removes the group, which must have no living process, and what its
// processes have made in it.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	g.Started()
	var errs []error
	if g.v2 != "" {
		err := removeTree(g.v2)
		if errors.Is(err, unix.EBUSY) && awaitEmpty(g.v2, time.Now().Add(removeBound)) == nil {
			err = removeTree(g.v2)
		}
		errs = append(errs, err)
	}
	for _, dir := range g.v1 {
		errs = append(errs, removeTree(dir))
	}
	return errors.Join(errs...)
}

// awaitEmpty waits until no process is in dir.
func awaitEmpty(dir string, deadline time.Time) error {
	path := filepath.Join(dir, "cgroup.events")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	// Non-blocking, so that the netpoller takes it: it becomes ready at a change.
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := f.SetReadDeadline(deadline); err != nil {
		return err
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Read(func(fd uintptr) bool {
		some, _ := populated(int(fd))
		return !some
	})
}
