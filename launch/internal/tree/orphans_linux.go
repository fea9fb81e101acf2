package tree

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Orphans are the processes that the kernel hands to this process because it is
// a subreaper and their parent has ended (PS-12). The kernel gives them to the
// first thread, which Hold keeps, so that a child which was started here never
// belongs to it: waiting on it takes nothing that others wait for.
type Orphans struct {
	list     *os.File // the children of the first thread; nil: the kernel has no such list
	requests chan func()
}

// Adopt makes this process a subreaper. The main goroutine calls it, locked to
// the first thread, before the first child is started, and then calls Hold.
// That it runs on that thread package runtime promises if an init function has
// called LockOSThread, and not otherwise.
func Adopt() (*Orphans, error) {
	if unix.Gettid() != unix.Getpid() {
		return nil, errors.New("orphans can be held on the first thread of a process alone, and this is another one")
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become a subreaper: %w", err)
	}
	list, err := os.Open("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children") // needs CONFIG_PROC_CHILDREN
	if err != nil {
		list = nil
	}
	return &Orphans{list: list, requests: make(chan func())}, nil
}

// Hold keeps the first thread until Release.
func (o *Orphans) Hold() {
	for call := range o.requests {
		call()
	}
}

// Release ends Hold.
func (o *Orphans) Release() {
	close(o.requests)
	if o.list != nil {
		o.list.Close()
	}
}

// Reap reaps the orphans that have ended, and reports whether there are others.
// It is due after every SIGCHLD. If there are no orphans, which is the rule, it
// costs one system call.
func (o *Orphans) Reap() (left bool) {
	if !o.Any() {
		return false
	}
	done := make(chan struct{})
	o.requests <- func() {
		left = reapAll(unix.WNOHANG | unix.WNOTHREAD)
		close(done)
	}
	<-done
	return left
}

// reapAll reaps whoever has ended and reports whether there are others.
func reapAll(flags int) (left bool) {
	for {
		switch pid, err := unix.Wait4(-1, nil, flags, nil); {
		case err == unix.EINTR:
		case err != nil: // ECHILD
			return false
		case pid == 0:
			return true
		}
	}
}

// BuryAll kills everything that descends from this process, which waits for
// nothing else, and returns when nothing is left.
func BuryAll() {
	for reapAll(unix.WNOHANG) {
		KillDescendants()
		_ = unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
}

// Sweep kills the orphans whose environment has marker, waits for their death,
// and goes on with those that they leave behind in turn (PS-3). It returns how
// many it killed and how many of them are still there. If there are no orphans,
// which is the rule, it costs one system call.
func (o *Orphans) Sweep(marker string) (swept, survivors int) {
	if !o.Any() {
		return 0, 0
	}
	return hunt(marker, o.pids)
}

// Any reports whether there may be orphans.
func (o *Orphans) Any() bool {
	if o.list == nil {
		return true
	}
	n, _ := o.list.ReadAt(make([]byte, 1), 0)
	return n > 0
}

// pids returns the orphans; where the kernel has no list of them, all children.
func (o *Orphans) pids() (pids []int) {
	if o.list == nil {
		for pid, p := range processes() {
			if p.parent == os.Getpid() {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	var b strings.Builder
	buf := make([]byte, 4096)
	for off := int64(0); ; {
		n, err := o.list.ReadAt(buf, off)
		b.Write(buf[:n])
		off += int64(n)
		if err != nil || n == 0 {
			break
		}
	}
	for _, field := range strings.Fields(b.String()) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// CloseInherited sees to it that descriptors which this process was started with
// do not reach the processes that it starts (PS-6).
func CloseInherited() error { return closeInherited() }

// KillDescendants kills everything that descends from this process. It does not
// wait: what was forked meanwhile, or is stuck in the kernel, is left to the next
// call. The state of a process tells nothing: that is its first thread's, and a
// process whose first thread has ended lives on as long as it has another.
func KillDescendants() {
	if os.Getpid() == 1 { // of a namespace
		_ = unix.Kill(-1, unix.SIGKILL)
	}
	all := processes()
	for pid, p := range all {
		if descends(all, pid, os.Getpid()) {
			killSame(pid, p)
		}
	}
}

// descends reports whether pid is below ancestor. What was read while processes
// came and went may hold a circle.
func descends(all map[int]stat, pid, ancestor int) bool {
	for range len(all) {
		p, ok := all[pid]
		if !ok {
			return false
		}
		if p.parent == ancestor {
			return true
		}
		pid = p.parent
	}
	return false
}

// killSame kills a process if it still is the one that was looked at.
func killSame(pid int, seen stat) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	if now, ok := readStat(pid); ok && now.begin == seen.begin {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// processes returns all processes that we can see.
func processes() map[int]stat {
	all := map[int]stat{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if st, ok := readStat(pid); ok {
				all[pid] = st
			}
		}
	}
	return all
}

// SignalsGroup reports whether Signal reaches the group of an attached process.
func (l *Leader) SignalsGroup() bool { return l.groupSignal }

// Ended reports whether the process has ended.
func (l *Leader) Ended() bool { return dead(l.fd) }
