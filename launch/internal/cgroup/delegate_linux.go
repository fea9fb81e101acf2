package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// leafPrefix begins the name of the group that this process has moved to, so
// that a controller could be enabled in the one that it was in.
const leafPrefix = "hyperactor_self-"

// enable makes a controller of version 2 available to the groups in our
// directory.
func (p *Parent) enable(controller string) error {
	if has, err := lists(p.base, "cgroup.controllers", controller); err != nil || !has {
		return errors.Join(err, fmt.Errorf("controller %s: %w", controller, errNoController))
	}
	has, err := lists(p.base, "cgroup.subtree_control", controller)
	if err == nil && !has {
		if err = p.vacate(); err == nil {
			err = enableIn(p.base, controller)
		}
	}
	if err != nil {
		return err
	}
	err = enableIn(p.dir, controller)
	p.counts = p.counts || err == nil && controller == "memory"
	return err
}

func lists(dir, file, controller string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	return slices.Contains(strings.Fields(string(b)), controller), err
}

func enableIn(dir, controller string) error {
	return write(filepath.Join(dir, "cgroup.subtree_control"), "+"+controller)
}

// vacate sees that no process is in the group that is to be divided, as must be
// except at the root. (For some controllers the kernel takes it without, and
// then no group below it takes processes.) If this process is alone in there, it
// moves into a group below, once, and stays there. Others are not ours to move.
func (p *Parent) vacate() error {
	if _, err := os.Stat(filepath.Join(p.base, "cgroup.type")); err != nil {
		return nil // only the root has no type
	}
	b, err := os.ReadFile(filepath.Join(p.base, "cgroup.procs"))
	if err != nil {
		return err
	}
	pids, me := strings.Fields(string(b)), strconv.Itoa(os.Getpid())
	switch {
	case len(pids) == 0:
		return nil
	case len(pids) > 1 || pids[0] != me:
		return fmt.Errorf("%s has other processes than this one: %w", p.base, errNoController)
	}
	leaf := leafPrefix + strings.TrimPrefix(p.name, prefix)
	if err := p.makeDir(p.base, leaf); err != nil {
		return err
	}
	return write(filepath.Join(p.base, leaf, "cgroup.procs"), me)
}

// errNoController is why version 2 does not enforce a limit here.
var errNoController = errors.New("not available in this cgroup")
