package torture

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
)

// What a copy of the test binary is told to be.
const (
	childVariable  = "TORTURE_CHILD"  // a child that misbehaves
	beforeVariable = "TORTURE_BEFORE" // a proc that misbehaves before it is one
	agentVariable  = "TORTURE_AGENT"  // a program that launches or hosts
	plainVariable  = "TORTURE_PLAIN"  // the tests, where there are no cgroups
)

var (
	full      = flag.Bool("full", false, "run every row, also those that take longer")
	broken    = flag.Bool("broken", false, "run also the rows that do not hold yet")
	plain     = flag.Bool("plain", false, "run as where no cgroup can be made; needs root")
	writeList = flag.Bool("write", false, "write the list of rows into README.md")
)

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(childVariable)); len(words) > 0 {
		os.Exit(beChild(words[0], words[1:]))
	}
	if words := strings.Fields(os.Getenv(beforeVariable)); len(words) > 0 {
		misbehave(words[0], words[1:])
	}
	hyperactor.RunChild(procConfig())
	if words := strings.Fields(os.Getenv(agentVariable)); len(words) > 0 {
		beAgent(words[0], words[1])
	}
	flag.Parse()
	if *plain {
		os.Exit(runPlain(m))
	}
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	// What loses its parent comes to us, and not to a first process that reaps
	// when it likes: a census then sees all of it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become a subreaper:", err)
		return 1
	}
	return m.Run()
}

// runPlain runs all tests in another copy of this program, in a mount namespace
// in which there are no cgroups.
func runPlain(m *testing.M) int {
	if os.Getenv(plainVariable) != "" {
		must(errors.Join(
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", v1, "tmpfs", 0, "size=64k"),
		))
		return runAll(m)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), plainVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "without cgroups:", err)
		return 1
	}
	return 0
}

// procConfig is what a process that becomes a proc needs to know.
func procConfig() hyperactor.Config {
	return hyperactor.Config{Types: []actor.AnyType{victimType}}
}
