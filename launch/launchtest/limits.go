package launchtest

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/hyperactor/hyperactor/launch"
)

func limitChecks() []check {
	checks := []check{
		{"PS-7 user, group and groups", func(f *fixture) {
			f.needsRoot()
			f.sees("grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr -s '\t ' ' '",
				launch.Limits{User: &launch.User{UID: 65533, GID: 65532, Groups: []int{7, 8}}},
				"Uid: 65533 65533 65533 65533", "Gid: 65532 65532 65532 65532", "Groups: 7 8 ")
			f.sees("id -G", launch.Limits{User: &launch.User{UID: 65533, GID: 65532}}, "65532")
		}},
		{"PS-7 umask, of that child only", umask},
		{"PS-7 niceness", func(f *fixture) {
			f.sees("nice", launch.Limits{Nice: new(7)}, "7")
			f.sees("nice", launch.Limits{}, output(f, "nice"))
			f.needsRoot()
			f.sees("nice", launch.Limits{Nice: new(-3)}, "-3")
		}},
		{"PS-7 CPUs", func(f *fixture) {
			const script = "grep Cpus_allowed_list /proc/self/status | tr -s '\t ' ' '"
			ours := output(f, script)
			_, list, _ := strings.Cut(ours, " ")
			cpus, err := launch.ParseCPUs(list)
			if err != nil {
				f.Fatal(err)
			}
			last := cpus[len(cpus)-1]
			f.sees(script, launch.Limits{CPUs: []int{last}}, "Cpus_allowed_list: "+strconv.Itoa(last))
			f.sees(script, launch.Limits{CPUs: cpus}, ours)
			f.sees(script, launch.Limits{}, ours)
		}},
		{"PS-7 rlimits", func(f *fixture) {
			f.sees("ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -St", launch.Limits{Rlimits: []launch.Rlimit{
				{Name: "nofile", Soft: 100, Hard: 200}, {Name: "core"}, {Name: "cpu", Soft: 1000, Hard: 2000},
			}}, "100", "200", "0", "1000")
		}},
		{"PS-7 rlimits that nobody asked for are as we were started with", func(f *fixture) {
			const script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc"
			f.sees(script, launch.Limits{}, strings.Split(output(f, script), "\n")...)
			f.sees(script, launch.Limits{Nice: new(19)}, strings.Split(output(f, script), "\n")...)
		}},
		{"PS-7 OOM score", func(f *fixture) {
			f.sees("cat /proc/self/oom_score_adj", launch.Limits{OOMScore: new(777)}, "777")
		}},
		{"PS-7 all limits together", func(f *fixture) {
			f.needsRoot()
			f.sees("umask; nice; id -u; cat /proc/self/oom_score_adj; grep Cpus_allowed_list: /proc/self/status", launch.Limits{
				User: &launch.User{UID: 65533, GID: 65533}, Umask: new(0), Nice: new(1), OOMScore: new(1), CPUs: []int{0},
			}, "0000", "1", "65533", "1", "Cpus_allowed_list:\t0")
		}},
		{"PS-7 rlimits of another user", func(f *fixture) {
			f.needsRoot()
			l := launch.Limits{User: &launch.User{UID: 65533, GID: 65533}, Rlimits: []launch.Rlimit{{Name: "nofile", Soft: 64, Hard: 64}}}
			caps, err := strconv.ParseUint(output(f, "grep CapEff: /proc/self/status | cut -f 2"), 16, 64)
			const resource = 24 // CAP_SYS_RESOURCE
			switch {
			case err != nil:
				f.Fatal(err)
			case caps&(1<<resource) == 0:
				f.notEnforced(l, "CAP_SYS_RESOURCE")
			default:
				f.sees("ulimit -n; id -u", l, "64", "65533")
			}
		}},
		{"PS-10 an error of exec is the same with limits", func(f *fixture) {
			l := launch.Limits{Nice: new(5), Rlimits: []launch.Rlimit{{Name: "core"}}}
			f.refused(launch.Spec{Path: f.TempDir() + "/missing", Limits: l}, launch.ErrNotFound, syscall.ENOENT)
			f.refused(launch.Spec{Path: f.file("garbage", 0o755, "\x00"), Limits: l}, launch.ErrWrongFormat, syscall.ENOEXEC)
			f.refused(launch.Spec{Path: f.file("plain", 0o644, "x"), Limits: l}, launch.ErrNotExecutable, syscall.EACCES)
		}},
		{"PS-7 what is not there cannot be enforced", func(f *fixture) {
			f.notEnforced(launch.Limits{CPUs: []int{0, launch.MaxCPUs - 1}}, "CPU "+strconv.Itoa(launch.MaxCPUs-1))
			f.notEnforced(launch.Limits{Rlimits: []launch.Rlimit{{Name: "nofile", Soft: 1, Hard: math.MaxInt64}}}, "nofile=1:")
		}},
		{"PS-7 what only root may do is refused to others", func(f *fixture) {
			f.needsRoot()
			program := f.file("setuid", 0o755, "")
			copyOf(f, "/usr/bin/id", program)
			if err := os.Chmod(program, 0o755|os.ModeSetuid); err != nil {
				f.Fatal(err)
			}
			for dir := filepath.Dir(program); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					f.Fatal(err)
				}
			}
			s := spec("unprivileged", program)
			s.Limits.User = &launch.User{UID: 65533, GID: 65533}
			if e := f.run(s); !e.OK() {
				f.Errorf("%v\n%s", e, e.Stderr)
			}
		}},
	}
	return append(onLinux(checks), check{"PS-10 limits that no system knows", badLimits})
}

// onLinux skips the checks elsewhere.
func onLinux(checks []check) []check {
	for i, c := range checks {
		checks[i].run = func(f *fixture) {
			if runtime.GOOS != "linux" {
				f.Skip("linux only")
			}
			c.run(f)
		}
	}
	return checks
}

func badLimits(f *fixture) {
	one := func(r launch.Rlimit) launch.Limits { return launch.Limits{Rlimits: []launch.Rlimit{r}} }
	for _, l := range []launch.Limits{
		{User: &launch.User{UID: -1}}, {User: &launch.User{GID: math.MaxUint32}}, {User: &launch.User{Groups: []int{-1}}},
		{Umask: new(-1)}, {Umask: new(0o1000)}, {Nice: new(-21)}, {Nice: new(20)}, {OOMScore: new(-1001)}, {OOMScore: new(1001)},
		{CPUs: []int{-1}}, {CPUs: []int{launch.MaxCPUs}}, {Memory: -1}, {PIDs: -1},
		one(launch.Rlimit{}), one(launch.Rlimit{Name: "files"}), one(launch.Rlimit{Name: "nofile", Soft: 2, Hard: 1}),
		{Rlimits: []launch.Rlimit{{Name: "core"}, {Name: "core"}}},
	} {
		f.refused(launch.Spec{Path: "/bin/true", Limits: l}, launch.ErrBadLimit)
	}
}

// sees checks what a script prints under limits.
func (f *fixture) sees(script string, l launch.Limits, want ...string) {
	f.Helper()
	s := shell(script)
	s.Env, s.Limits = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, l
	f.prints(s, want...)
}

// output returns what a script prints if it is started in the plain way.
func output(f *fixture, script string) string {
	f.Helper()
	out, err := exec.Command("/bin/sh", "-c", script).Output()
	if err != nil {
		f.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func (f *fixture) needsRoot() {
	f.Helper()
	if os.Geteuid() != 0 {
		f.Skip("needs root")
	}
}

// notEnforced checks that the limits are refused with an error that says what.
func (f *fixture) notEnforced(l launch.Limits, what string) {
	f.Helper()
	s := launch.Spec{Path: "/bin/true", Limits: l}
	f.refused(s, launch.ErrNotEnforced)
	if _, err := f.Launch(f.Context(), s); err == nil || !strings.Contains(err.Error(), what) {
		f.Errorf("%v does not say %q", err, what)
	}
}

// umask starts children with and without one, and in a directory of ours.
func umask(f *fixture) {
	ours := output(f, "umask")
	dir, err := filepath.EvalSymlinks(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.sees("umask", launch.Limits{}, ours)
	f.sees("umask", launch.Limits{Umask: new(0o27)}, "0027")
	f.Chdir(dir)
	f.sees("umask; pwd -P", launch.Limits{Umask: new(0)}, "0000", dir)
	f.sees("umask; pwd -P", launch.Limits{}, ours, dir)
	f.sees("umask", launch.Limits{Umask: new(0o777)}, "0777")
	if got := output(f, "umask"); got != ours {
		f.Errorf("ours is %s now, was %s", got, ours)
	}
}

// copyOf writes the content of one file to another one.
func copyOf(f *fixture, from, to string) {
	f.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		f.Skip("no program to copy: ", err)
	}
	if err := os.WriteFile(to, content, 0); err != nil {
		f.Fatal(err)
	}
}
