package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// runFlags reads the command line of "hyper run" into a plan.
type runFlags struct {
	plan  runPlan
	set   *flag.FlagSet
	fault error // of the first value that was not understood
}

const defaultGrace = 10 * time.Second

// The defaults of what is asked again and again.
const (
	defaultLiveEvery    = 10 * time.Second
	defaultLiveFailures = 3
)

// parseRun reads the arguments. The error is flag.ErrHelp, or one line that
// says what to do.
func parseRun(args []string, help io.Writer) (runPlan, error) {
	f := runFlags{
		plan: runPlan{size: 1, grace: defaultGrace, liveEvery: defaultLiveEvery, liveFailures: defaultLiveFailures},
		set:  flag.NewFlagSet("run", flag.ContinueOnError),
	}
	f.set.SetOutput(io.Discard)
	f.define()
	err := f.set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(help, runUsage)
		return f.plan, err
	case f.fault != nil:
		return f.plan, f.fault
	case err != nil:
		return f.plan, fmt.Errorf("%w; \"hyper run -h\" lists the flags, and the command comes after --", err)
	}
	return f.plan, f.finish()
}

// define defines the flags.
func (f *runFlags) define() {
	p := &f.plan
	f.value("n", count(&p.size, 1, maxProcs))
	f.value("name", f.name)
	f.value("restart", func(s string) error { return p.restart.UnmarshalText([]byte(s)) })
	f.value("max-restarts", f.maxRestarts)
	f.value("within", span(&p.restarts.Within))
	f.value("backoff", func(s string) (err error) {
		p.restarts.Backoff.Min, p.restarts.Backoff.Max, err = parseBackoff(s)
		return err
	})
	f.value("grace", f.grace)
	f.value("ready", given(&p.ready))
	f.value("ready-timeout", span(&p.readyTimeout))
	f.value("live", given(&p.live))
	f.value("live-every", span(&p.liveEvery))
	f.value("live-failures", count(&p.liveFailures, 1, 1<<30))
	f.value("dir", given(&p.dir))
	f.value("env", f.env)
	f.set.BoolVar(&p.bare, "clear-env", false, "")
	f.value("user", func(s string) (err error) { p.limits.User, err = parseUser(s); return err })
	f.value("cpus", func(s string) (err error) { p.limits.CPUs, err = launch.ParseCPUs(s); return err })
	f.value("memory", size64(&p.limits.Memory))
	f.value("pids", count(&p.limits.PIDs, 1, 1<<30))
	f.value("rlimit", func(s string) error {
		r, err := launch.ParseRlimit(s)
		p.limits.Rlimits = append(p.limits.Rlimits, r)
		return err
	})
	f.value("nice", func(s string) error { p.limits.Nice = new(int); return count(p.limits.Nice, -20, 19)(s) })
	f.value("logs", given(&p.logs.Path))
	f.value("log-size", size64(&p.logs.MaxBytes))
	f.value("log-files", count(&p.logs.MaxFiles, 1, 1<<20))
	f.value("prefix", func(s string) error { return p.prefix.UnmarshalText([]byte(s)) })
	f.value("events", given(&p.events))
}

// value defines a flag that takes one. What set returns is put behind the flag
// and its value.
func (f *runFlags) value(name string, set func(string) error) {
	f.set.Func(name, "", func(s string) error {
		err := set(s)
		if err != nil {
			f.fault = fmt.Errorf("%s %q: %w", dashed(name), s, err)
		}
		return err
	})
}

// dashed is a flag as people write it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// finish takes the command, and finds what does not fit together.
func (f *runFlags) finish() error {
	p := &f.plan
	if f.set.NArg() == 0 || f.set.Arg(0) == "" {
		return errors.New("there is no command; write it behind the flags: hyper run [flags] -- COMMAND [ARG...]")
	}
	p.program, p.args = f.set.Arg(0), f.set.Args()[1:]
	if p.name == "" {
		p.name = nameOf(p.program)
	}
	var fault error
	f.set.Visit(func(given *flag.Flag) {
		if need := p.missing(given.Name); need != "" && fault == nil {
			fault = fmt.Errorf("%s means nothing without %s; add that or leave it out", dashed(given.Name), need)
		}
	})
	return fault
}

// missing returns the flag without which another one means nothing, if it is
// not there.
func (p *runPlan) missing(name string) string {
	switch {
	case slices.Contains([]string{"max-restarts", "within", "backoff"}, name) && p.restart == restart.Never:
		return "--restart on-failure or --restart always"
	case name == "ready-timeout" && p.ready == "":
		return "--ready PROBE"
	case slices.Contains([]string{"live-every", "live-failures"}, name) && p.live == "":
		return "--live PROBE"
	case slices.Contains([]string{"log-size", "log-files"}, name) && p.logs.Path == "":
		return "--logs DIR"
	}
	return ""
}

func (f *runFlags) name(s string) error {
	f.plan.name = s
	if len(s) > maxSetName {
		return fmt.Errorf("it has %d bytes; %d are possible", len(s), maxSetName)
	}
	return id.CheckName(s)
}

// maxRestarts keeps a proc that is restarted from being given up for another
// reason than the one that was chosen.
func (f *runFlags) maxRestarts(s string) error {
	f.plan.restarts.MaxUnready = -1
	if s == "unlimited" {
		f.plan.restarts.MaxRestarts = -1
		return nil
	}
	if count(&f.plan.restarts.MaxRestarts, 1, 1<<30)(s) != nil {
		return errors.New(`choose 1 or more, or "unlimited"; for none at all leave out --restart`)
	}
	return nil
}

func (f *runFlags) grace(s string) (err error) {
	f.plan.grace, err = time.ParseDuration(s)
	if err != nil || f.plan.grace < 0 {
		return errors.New("write a time like 10s or 1m30s, or 0s to kill at once")
	}
	return nil
}

func (f *runFlags) env(s string) error {
	if i := strings.IndexByte(s, '='); i <= 0 {
		return errors.New("write NAME=VALUE")
	}
	f.plan.env = append(f.plan.env, s)
	return nil
}

// given takes any value but none.
func given(to *string) func(string) error {
	return func(s string) error {
		*to = s
		if s == "" {
			return errors.New("it is empty; leave the flag out instead")
		}
		return nil
	}
}

// count takes a number from low to high.
func count(to *int, low, high int) func(string) error {
	return func(s string) (err error) {
		if *to, err = strconv.Atoi(s); err != nil || *to < low || *to > high {
			return fmt.Errorf("choose a number from %d to %d", low, high)
		}
		return nil
	}
}

// span takes a time that is not none.
func span(to *time.Duration) func(string) error {
	return func(s string) (err error) {
		if *to, err = time.ParseDuration(s); err != nil || *to <= 0 {
			return errors.New("write a time like 500ms, 10s or 1m30s")
		}
		return nil
	}
}

// size64 takes a number of bytes that is not none.
func size64(to *int64) func(string) error {
	return func(s string) (err error) {
		if *to, err = launch.ParseSize(s); err == nil && *to == 0 {
			err = errors.New("choose more than nothing")
		}
		return err
	}
}

// parseBackoff reads "MIN..MAX", two times. No delay at all is the shortest.
func parseBackoff(s string) (least, most time.Duration, err error) {
	low, high, ok := strings.Cut(s, "..")
	least, err1 := time.ParseDuration(low)
	most, err2 := time.ParseDuration(high)
	if !ok || err1 != nil || err2 != nil || least < 0 || most < least {
		return 0, 0, errors.New("write MIN..MAX, a shorter and a longer time, like 500ms..60s")
	}
	return max(least, 1), max(most, 1), nil
}

// parseUser reads "USER" or "USER:GROUP", each by name or number. A user alone
// comes with the groups that it has here; with a group named it has that one
// and no others.
func parseUser(s string) (*launch.User, error) {
	name, group, grouped := strings.Cut(s, ":")
	u := &launch.User{}
	known, err := lookupUser(name)
	switch {
	case err == nil:
		u.UID, _ = strconv.Atoi(known.Uid) // a number on every system that we build for
	default:
		if u.UID, err = number(name); err != nil {
			return nil, fmt.Errorf("there is no user %q here; name one, or write numbers: UID:GID", name)
		}
		if !grouped {
			return nil, fmt.Errorf("user %d is not known here; name its group, too: %d:GID", u.UID, u.UID)
		}
	}
	if grouped {
		u.GID, err = parseGroup(group)
		return u, err
	}
	u.GID, _ = strconv.Atoi(known.Gid)
	groups, err := known.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if n, err := number(g); err == nil {
			u.Groups = append(u.Groups, n)
		}
	}
	return u, nil
}

func lookupUser(name string) (*user.User, error) {
	if u, err := user.Lookup(name); err == nil {
		return u, nil
	}
	if _, err := number(name); err != nil {
		return nil, err
	}
	return user.LookupId(name)
}

func parseGroup(name string) (int, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return number(g.Gid)
	}
	n, err := number(name)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q here; name one, or write a number", name)
	}
	return n, nil
}

// number reads a user or group id. The highest one means "no change" to the kernel.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is no id", s)
	}
	return int(n), nil
}
