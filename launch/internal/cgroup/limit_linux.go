package cgroup

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// Limits bounds what the processes of a group use together. Zero is no limit.
type Limits struct {
	Memory int64 // bytes, swap included
	PIDs   int   // processes and threads
}

// LimitError says why a limit cannot be enforced.
type LimitError struct {
	Limit string // "memory", "pids"
	Err   error
}

func (e *LimitError) Error() string { return e.Hint() + ": " + e.Err.Error() }

// Hint says what to do.
func (e *LimitError) Hint() string {
	return "a " + e.Limit + " limit needs a cgroup that this process may divide: start with " +
		"systemd-run --user --scope -p Delegate=yes, or as root where /sys/fs/cgroup can be written"
}

func (e *LimitError) Unwrap() error { return e.Err }

// limit sets the limits.
func (g *Group) limit(p *Parent, name string, l Limits) error {
	var errs []error
	if l.Memory > 0 {
		errs = append(errs, g.limitOne(p, name, knob{
			controller: "memory", value: strconv.FormatInt(l.Memory, 10), v2: "memory.max", v1: "memory.limit_in_bytes",
			swap2: "memory.swap.max", swap1: "memory.memsw.limit_in_bytes",
		}))
	}
	if l.PIDs > 0 {
		errs = append(errs, g.limitOne(p, name, knob{
			controller: "pids", value: strconv.Itoa(l.PIDs), v2: "pids.max", v1: "pids.max",
		}))
	}
	return errors.Join(errs...)
}

// knob is a limit and the files that set it.
type knob struct {
	controller   string
	value        string
	v2, v1       string
	swap2, swap1 string // missing where swap is not counted
}

func (g *Group) limitOne(p *Parent, name string, k knob) error {
	err2 := g.limit2(p, k)
	if err2 == nil || exhausted(err2) {
		return err2
	}
	err1 := g.limit1(p, name, k)
	switch {
	case err1 == nil || exhausted(err1):
		return err1
	case errors.Is(err1, errNoController): // which nobody has to hear of today
		return &LimitError{Limit: k.controller, Err: err2}
	default:
		return &LimitError{Limit: k.controller, Err: err1}
	}
}

// limit2 sets a limit in version 2.
func (g *Group) limit2(p *Parent, k knob) error {
	if g.v2 == "" {
		return cmp.Or(p.why, errNoController)
	}
	path := filepath.Join(g.v2, k.v2)
	if _, err := os.Stat(path); err != nil {
		if err := p.enable(k.controller); err != nil {
			return err
		}
	}
	if k.swap2 != "" {
		if err := ignoreMissing(write(filepath.Join(g.v2, k.swap2), "0")); err != nil {
			return err
		}
	}
	g.bound, g.count = true, p.counts
	return write(path, k.value)
}

// limit1 makes a directory of version 1 and sets a limit there.
func (g *Group) limit1(p *Parent, name string, k knob) error {
	base, err := p.base1(k.controller)
	if err != nil {
		return err
	}
	dir, err := p.makeGroup(base, name)
	if err != nil {
		return err
	}
	g.v1 = append(g.v1, dir)
	if err := write(filepath.Join(dir, k.v1), k.value); err != nil || k.swap1 == "" {
		return err
	}
	return ignoreMissing(write(filepath.Join(dir, k.swap1), k.value))
}
