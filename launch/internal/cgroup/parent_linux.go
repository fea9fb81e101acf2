package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Parent makes the groups of one launcher. Its methods may be called
// concurrently.
type Parent struct {
	name string // of our directories
	own  string // what /proc/self/cgroup said
	v1   []mount
	base string // the directory of the group of version 2 that this process may divide
	dir  string // our directory in base; "" if there is none
	why  error  // why there is none

	mu     sync.Mutex // guards the following
	next   int        // number of the next group
	ahead  bool       // Prepare has made its directory
	dirs   []string   // our directories
	locks  []*os.File // which say that we live
	counts bool       // version 2 counts the memory of each group
	closed bool
	spent  []*Group    // to be removed by tidy
	tidier *time.Timer // runs it; nil if spent is empty

	tidying   sync.WaitGroup // tidier
	tidyAfter time.Duration
}

// Open finds where this process may make groups, and removes what launchers
// that have died left there. A Parent that can make none is no error, and New
// says why if it matters; a want of descriptors or memory is one.
func Open() (*Parent, error) {
	p := &Parent{name: newName(), tidyAfter: tidyAfter}
	if p.why = p.open(); exhausted(p.why) {
		return nil, p.why
	}
	return p, nil
}

// open makes our directory of version 2.
func (p *Parent) open() error {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	p.own = string(own)
	for _, m := range parseMounts(string(mountinfo)) {
		if m.controllers != nil {
			p.v1 = append(p.v1, m)
		} else {
			p.base = ownBase(m, p.own)
		}
	}
	if p.base == "" {
		return errors.New("no cgroup of version 2 may be written here")
	}
	if err := p.makeDir(p.base, p.name); err != nil {
		return err
	}
	p.dir = filepath.Join(p.base, p.name)
	if has, err := lists(p.base, "cgroup.subtree_control", "memory"); err == nil && has {
		p.counts = enableIn(p.dir, "memory") == nil
	}
	return nil
}

// ownBase returns the directory of version 2 in which this process may make
// groups and start processes in them, or "".
func ownBase(m mount, own string) string {
	path, ok := parseOwn(own, "")
	if !ok {
		return ""
	}
	if strings.HasPrefix(filepath.Base(path), leafPrefix) {
		path = filepath.Dir(path) // an earlier Parent of this process has moved it
	}
	dir, ok := m.below(path)
	if !ok || unix.Faccessat(unix.AT_FDCWD, filepath.Join(dir, "cgroup.procs"), unix.W_OK, unix.AT_EACCESS) != nil {
		return ""
	}
	return dir
}

// exhausted reports whether err is a want of resources that will pass. Going on
// without a cgroup is for where there can be none.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

// tidyAfter is how long a group may be there after its end. It takes the kernel
// longer to remove one than to end a process.
const tidyAfter = 200 * time.Millisecond

// discard has g removed.
func (p *Parent) discard(g *Group) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.spent = append(p.spent, g)
	}
	if !closed && p.tidier == nil {
		p.tidying.Add(1)
		p.tidier = time.AfterFunc(p.tidyAfter, func() {
			defer p.tidying.Done()
			p.tidy()
		})
	}
	p.mu.Unlock()
	if closed {
		_ = g.Remove() // what is left of it goes with the parent
	}
}

// tidy removes the groups that were discarded.
func (p *Parent) tidy() {
	p.mu.Lock()
	if p.tidier != nil && p.tidier.Stop() {
		p.tidying.Done()
	}
	spent := p.spent
	p.spent, p.tidier = nil, nil
	p.mu.Unlock()
	for _, g := range spent {
		_ = g.Remove() // what is left of it goes with the parent
	}
}

// Close removes our directories. All groups must have been removed or discarded.
func (p *Parent) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.tidy()
	p.tidying.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, dir := range p.dirs {
		if !strings.HasPrefix(filepath.Base(dir), leafPrefix) { // that one we are in
			errs = append(errs, removeTree(dir))
		}
	}
	for _, lock := range p.locks {
		lock.Close()
	}
	p.dirs, p.locks = nil, nil
	return errors.Join(errs...)
}

// Prepare makes the directory of the next group, so that nobody has to wait for
// that who starts a process. It is of no consequence if it cannot be made: New
// tries again.
func (p *Parent) Prepare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == "" || p.closed || p.ahead {
		return
	}
	_, err := p.makeGroup(p.base, strconv.Itoa(p.next))
	p.ahead = err == nil
}

// write writes to a file of a group.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// base1 returns the directory of the group that this process is in, in the
// hierarchy of version 1 that has the controller.
func (p *Parent) base1(controller string) (string, error) {
	for _, m := range p.v1 {
		if !slices.Contains(m.controllers, controller) {
			continue
		}
		path, ok := parseOwn(p.own, controller)
		dir, shown := m.below(path)
		if !ok || !shown {
			return "", fmt.Errorf("%s is not mounted where this process is: %w", controller, errNoController)
		}
		return dir, nil
	}
	return "", fmt.Errorf("no cgroup of version 1 has %s: %w", controller, errNoController)
}
