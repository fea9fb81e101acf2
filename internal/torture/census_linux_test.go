package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stock is what this process holds of what can be left behind.
type stock struct{ descriptors, goroutines int }

func takeStock() stock {
	return stock{descriptors: len(entries("/proc/self/fd")), goroutines: runtime.NumGoroutine()}
}

// census checks that a row has left nothing: no process that descends from us,
// dead or alive, no descriptor, no goroutine, no file in the directory of the row.
func (f *fixture) census(before stock) {
	f.Helper()
	f.processesGone(settleBound)
	// What was waited for is counted until the scheduler has put it away, and
	// NumGoroutine counts too many while one CPU hands dead ones to another.
	end := time.Now().Add(patience)
	for now := takeStock(); now.goroutines > before.goroutines || now.descriptors > before.descriptors; now = takeStock() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			f.Errorf("holds %+v (%v), before %+v\n%s", now, openFiles(), before, buf[:runtime.Stack(buf, true)])
			break
		}
		runtime.Gosched()
	}
	if left := tree(f.dir); len(left) > 0 {
		f.Errorf("files are left: %q", left)
	}
}

// settleBound is how long what was told to end may take to be gone.
const settleBound = 3 * time.Second

// processesGone waits until nothing descends from us any more, and ends what
// is still there after bound, which is a fault.
func (f *fixture) processesGone(bound time.Duration) {
	f.Helper()
	deadline := time.Now().Add(bound)
	for {
		left := descendants(os.Getpid())
		if len(left) == 0 {
			return
		}
		late := time.Now().After(deadline)
		for _, p := range left {
			if late {
				f.Errorf("left over: %v", p)
			}
			f.putAway(p, late, deadline)
		}
	}
}

// putAway waits for the end of p, by force if need be, and reaps it if it is
// ours: a subreaper's duty.
func (f *fixture) putAway(p process, force bool, deadline time.Time) {
	f.Helper()
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	if now, ok := readProcess(p.pid); !ok || now.born != p.born {
		return // its number belongs to another one by now
	}
	if force {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		deadline = time.Now().Add(settleBound)
	}
	awaitEnd(fd, deadline)
	_ = waitPidfd(fd, unix.WEXITED|unix.WNOHANG)
}

// awaitEnd reports whether the process of a pidfd has ended before deadline.
func awaitEnd(pidfd int, deadline time.Time) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(0, time.Until(deadline).Milliseconds())))
		if err != unix.EINTR { // the runtime preempts with signals
			return n == 1
		}
	}
}

func waitPidfd(fd, flags int) error {
	for {
		if err := unix.Waitid(unix.P_PIDFD, fd, nil, flags, nil); err != unix.EINTR {
			return err
		}
	}
}

// process is a line of /proc/PID/stat.
type process struct {
	pid, parent int
	state       byte
	name        string
	born        string // in ticks since the boot; with the pid it names a process for good
}

func (p process) String() string {
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	return fmt.Sprintf("%d (%s, %c, child of %d): %.200q", p.pid, p.name, p.state, p.parent, args)
}

func readProcess(pid int) (process, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	i, k := strings.IndexByte(string(b), '('), strings.LastIndexByte(string(b), ')')
	fields := strings.Fields(string(b[k+1:]))
	parent, err := strconv.Atoi(fields[1])
	return process{pid: pid, parent: parent, state: fields[0][0], name: string(b[i+1 : k]), born: fields[19]}, err == nil
}

// descendants returns what descends from pid, zombies included. It goes by
// parents alone: environments can be cleared, sessions left.
func descendants(pid int) (below []process) {
	children := map[int][]process{}
	for _, name := range entries("/proc") {
		if n, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(n); ok {
				children[p.parent] = append(children[p.parent], p)
			}
		}
	}
	below = children[pid]
	for i := 0; i < len(below); i++ {
		below = append(below, children[below[i].pid]...)
	}
	return below
}

// living returns those of the processes that are no zombies.
func living(all []process) (alive []process) {
	for _, p := range all {
		if p.state != 'Z' {
			alive = append(alive, p)
		}
	}
	return alive
}

func entries(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return names
}

// openFiles says what our descriptors are.
func openFiles() (files []string) {
	for _, fd := range entries("/proc/self/fd") {
		if name, err := os.Readlink("/proc/self/fd/" + fd); err == nil {
			files = append(files, fd+" "+name)
		}
	}
	return files
}

// tree returns the names of all that is below dir.
func tree(dir string) (names []string) {
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir && err == nil {
			names = append(names, path)
		}
		return nil
	})
	return names
}
