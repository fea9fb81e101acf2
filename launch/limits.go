package launch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits is what a process runs as and what it may use (PS-7). The zero value
// changes nothing: the process has what we have. A limit that cannot be
// enforced is an error at the start (ErrNotEnforced), and nothing has run then.
//
// Only linux enforces them all; darwin knows User. On linux, Nice, CPUs,
// Rlimits and OOMScore, and the limits of a cgroup of version 1, are set while
// the process is stopped at its first instruction, for which the launcher
// traces it: a millisecond more, and impossible where ptrace is forbidden.
//
// Limits is plain data. A pointer or slice in it must not be changed while a
// process is being started with it.
type Limits struct {
	User     *User    // whom it runs as; nil: as we do
	Umask    *int     // permissions that new files do not get, 0 to 0777; nil: ours
	Nice     *int     // niceness, -20 (first) to 19 (last); nil: ours
	OOMScore *int     // oom_score_adj, -1000 (never killed) to 1000 (first); nil: ours
	CPUs     []int    // the only CPUs that it may run on, from 0; empty: as we may
	Rlimits  []Rlimit // resource limits of each process of the tree; others are ours
	Memory   int64    // bytes that the tree may use together, through a cgroup; 0: no limit
	PIDs     int      // processes and threads of the tree together, through a cgroup; 0: no limit
}

// User is whom a process runs as, in numbers.
type User struct {
	UID, GID int
	Groups   []int // supplementary groups; empty: none, not ours
}

// Rlimit is one resource limit. ParseRlimit reads its text form.
type Rlimit struct {
	Name       string // as prlimit(1) names it: "nofile", "core" …; see RlimitNames
	Soft, Hard uint64 // Unlimited is a value, too; units as in setrlimit(2)
}

// Unlimited as a value of an Rlimit is none at all.
const Unlimited = math.MaxUint64

// MaxCPUs is one more than the highest CPU that Limits can name.
const MaxCPUs = 8192

// RlimitNames returns the names that an Rlimit can have.
func RlimitNames() []string {
	return []string{
		"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue",
		"nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
	}
}

// IsZero reports whether l changes nothing.
func (l Limits) IsZero() bool {
	return l.User == nil && l.Umask == nil && l.Nice == nil && l.OOMScore == nil &&
		len(l.CPUs) == 0 && len(l.Rlimits) == 0 && l.Memory == 0 && l.PIDs == 0
}

// problem says what is wrong with l on any system, or "".
func (l Limits) problem() string {
	for _, r := range []struct {
		name     string
		value    *int
		min, max int
		format   string
	}{
		{"umask", l.Umask, 0, 0o777, "%#o"},
		{"niceness", l.Nice, -20, 19, "%d"},
		{"OOM score", l.OOMScore, -1000, 1000, "%d"},
	} {
		if r.value != nil && (*r.value < r.min || *r.value > r.max) {
			return fmt.Sprintf("%s "+r.format+" is not from "+r.format+" to "+r.format, r.name, *r.value, r.min, r.max)
		}
	}
	if l.Memory < 0 || l.PIDs < 0 {
		return fmt.Sprintf("memory limit %d or pid limit %d is negative; 0 is no limit", l.Memory, l.PIDs)
	}
	for _, cpu := range l.CPUs {
		if cpu < 0 || cpu >= MaxCPUs {
			return fmt.Sprintf("CPU %d is not from 0 to %d", cpu, MaxCPUs-1)
		}
	}
	if p := l.User.problem(); p != "" {
		return p
	}
	return rlimitProblem(l.Rlimits)
}

// problem says what is wrong with u, or "".
func (u *User) problem() string {
	if u == nil {
		return ""
	}
	const none = math.MaxUint32 // means "leave it" to the kernel
	for _, id := range append([]int{u.UID, u.GID}, u.Groups...) {
		if id < 0 || int64(id) >= none {
			return fmt.Sprintf("%d is not the number of a user or a group, from 0 to %d", id, int64(none)-1)
		}
	}
	return ""
}

func rlimitProblem(all []Rlimit) string {
	for i, r := range all {
		same := func(o Rlimit) bool { return o.Name == r.Name }
		switch {
		case !slices.Contains(RlimitNames(), r.Name):
			return "there is no rlimit " + strconv.Quote(clip(r.Name)) + ", only " + strings.Join(RlimitNames(), ", ")
		case r.Soft > r.Hard:
			return "rlimit " + r.String() + ": the soft limit must not be above the hard one"
		case slices.ContainsFunc(all[:i], same):
			return "rlimit " + r.Name + " is given twice"
		}
	}
	return ""
}
