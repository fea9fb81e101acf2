// Package tree starts a child of this very process and deals with everything
// that descends from it: signals to all of it, its end, its record, and what
// it leaves behind. Launchers are built on it: launch/native in the program
// itself, launch/keeper in a process of its own.
package tree

import (
	"os"
	"syscall"

	"github.com/hyperactor/hyperactor/launch"
)

// Request is what the operating system needs to know to start a process. Stdin
// is the null device.
type Request struct {
	Prog           launch.Program
	Env            []string
	Dir            string
	Limits         launch.Limits
	Control        *os.File // becomes descriptor 3; nil: none
	Stdout, Stderr *os.File
}

// credential returns what makes a child another user's.
func credential(u *launch.User) *syscall.Credential {
	if u == nil {
		return nil
	}
	c := &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
	for _, g := range u.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// End is how a process ended, from the operating system.
type End struct {
	Code   int
	Signal syscall.Signal
	Core   bool
	OOM    bool // the kernel has killed something of the tree for want of memory
	Usage  launch.Rusage
	Err    error // why the record could not be had
}

// Exit makes the record of the end. Kind Failed, Phase, Requested and Ready
// are for those who know what the process was for.
func (e End) Exit() launch.Exit {
	exit := launch.Exit{Code: e.Code, Signal: e.Signal, CoreDumped: e.Core, OOMKilled: e.OOM, Rusage: e.Usage}
	switch {
	case e.Err != nil:
		exit.Kind, exit.Cause = launch.Unknown, e.Err.Error()
	case e.Signal != 0:
		exit.Kind = launch.Killed
	default:
		exit.Kind = launch.Stopped
	}
	return exit
}
