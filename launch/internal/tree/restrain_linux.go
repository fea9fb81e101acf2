package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// held reports whether the process must be stopped before its first instruction,
// because something has to be set from outside.
func (j *job) held() bool {
	l := j.Limits
	return l.Nice != nil || l.OOMScore != nil || len(l.CPUs) > 0 || len(l.Rlimits) > 0 || j.group.Late()
}

// restrain sets what cannot be inherited, and lets the process go. It is the
// child of this thread, has asked to be traced by it, and nobody else knows it
// yet. If something kills it meanwhile, that is its end, which is seen like any
// other. If it is in the hop, nobody traces it any more when it comes to its
// program.
func (j *job) restrain(pid, pidfd int, hop bool) error {
	held, err := awaitExec(pid, pidfd)
	if err != nil || !held {
		return err
	}
	if !hop {
		if err := j.checkPrivileged(); err != nil {
			return err
		}
	}
	if err := j.limit(pid); err != nil {
		return onlyAlive(err)
	}
	return onlyAlive(unix.PtraceDetach(pid))
}

// awaitExec returns when its exec has stopped the process, or when that has
// ended. A process that is held dies with this thread.
func awaitExec(pid, pidfd int) (held bool, err error) {
	info, err := waitid(pidfd, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
	if err != nil {
		return false, fmt.Errorf("wait for the exec of process %d: %w", pid, err)
	}
	const cldTrapped = 4
	if info.Code != cldTrapped {
		return false, nil
	}
	err = unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL)
	return err == nil, onlyAlive(err)
}

// onlyAlive drops the error of a process that has been killed meanwhile.
func onlyAlive(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// limit sets all limits of a process from outside. Each is as its name says: the
// kernel's reason alone would not tell which one it was.
func (j *job) limit(pid int) error {
	l := j.Limits
	if j.group.Late() {
		if err := j.group.Add(pid); err != nil {
			return notEnforced("memory or pid limit: the cgroup takes no process", err)
		}
	}
	for _, r := range l.Rlimits {
		if err := setRlimit(pid, r); err != nil {
			return err
		}
	}
	if l.Nice != nil {
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, *l.Nice); err != nil {
			return notEnforced(fmt.Sprintf("niceness %d: below ours, or for another user, it takes CAP_SYS_NICE", *l.Nice), err)
		}
	}
	if len(l.CPUs) > 0 {
		if err := setCPUs(pid, l.CPUs); err != nil {
			return err
		}
	}
	if l.OOMScore != nil {
		if err := setOOMScore(pid, *l.OOMScore); err != nil {
			return notEnforced(fmt.Sprintf("OOM score %d: below ours it takes CAP_SYS_RESOURCE", *l.OOMScore), err)
		}
	}
	return nil
}

func setRlimit(pid int, r launch.Rlimit) error {
	resource, ok := resource(r.Name)
	if !ok {
		return notEnforced("rlimit "+r.String()+" is not known to linux", nil)
	}
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: r.Soft, Max: r.Hard}, nil); err != nil {
		return notEnforced("rlimit "+r.String()+": a hard limit above ours, or a limit for another user, takes CAP_SYS_RESOURCE, and nofile ends at /proc/sys/fs/nr_open", err)
	}
	return nil
}

func resource(name string) (int, bool) {
	r, ok := map[string]int{
		"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
		"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
		"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
		"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
		"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
	}[name]
	return r, ok
}

// setCPUs binds a process. The kernel drops CPUs that it does not have without
// a word, so the result is read back.
func setCPUs(pid int, cpus []int) error {
	want, got := unix.NewCPUSet(launch.MaxCPUs), unix.NewCPUSet(launch.MaxCPUs)
	for _, cpu := range cpus {
		want.Set(cpu)
	}
	err := unix.SchedSetaffinityDynamic(pid, want)
	if err == nil {
		err = unix.SchedGetaffinityDynamic(pid, got)
	}
	for _, cpu := range cpus {
		if err != nil || !got.IsSet(cpu) {
			return notEnforced(fmt.Sprintf("CPU %d of %v is not there or not in our cpuset, or the process is another user's, which takes CAP_SYS_NICE", cpu, cpus), err)
		}
	}
	return nil
}

func setOOMScore(pid, score int) error {
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(score))
	return errors.Join(err, f.Close())
}

// checkPrivileged refuses a set-uid program, whose exec gives it nothing while
// somebody without privileges traces it: it would run, and not as what it is.
func (j *job) checkPrivileged() error {
	path := j.Prog.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(j.Dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil // it has been started all the same
	}
	caps, _ := unix.Getxattr(path, "security.capability", nil)
	if info.Mode()&(os.ModeSetuid|os.ModeSetgid) == 0 && caps <= 0 || tracesAll() {
		return nil
	}
	return notEnforced("niceness, CPUs, rlimits, OOM score and cgroups of version 1 of a set-uid program: to set them takes root or CAP_SYS_PTRACE", nil)
}

// tracesAll reports whether a program that this thread traces gets the
// privileges that it is to have.
func tracesAll() bool {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}
