package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// Exit codes of "hyper run", apart from those of the procs: as env(1) has them.
const (
	exitOurs          = 125
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // and the signal's number
)

// ending is how a proc has ended for good.
type ending struct {
	exit launch.Exit // of the last run; zero if there was none
	err  error       // why it could not be started, or was given up
}

// codeOf returns the exit code for all procs, in order of their ranks.
func codeOf(all []ending) int {
	for _, e := range all {
		if c := e.code(); c != exitOK {
			return c
		}
	}
	return exitOK
}

// code is what the proc counts as: exitOK only if all went well.
func (e ending) code() int {
	reason, known := errors.AsType[launch.Reason](e.err)
	switch {
	case errors.Is(e.err, host.ErrDraining):
		return exitSignal + int(syscall.SIGTERM) // it was stopped before it was there
	case known && reason == launch.ErrNotFound:
		return exitNotFound
	case known && cannotRun(reason):
		return exitNotExecutable
	case e.exit.Signal != 0:
		return exitSignal + int(e.exit.Signal)
	case e.exit.Code != 0:
		return e.exit.Code
	case e.err == nil && e.exit.OK() && e.exit.Cause == "":
		return exitOK
	}
	return exitOurs
}

// cannotRun reports whether reason says that the program is there but is none.
func cannotRun(reason launch.Reason) bool {
	switch reason {
	case launch.ErrIsDirectory, launch.ErrNotExecutable, launch.ErrWrongFormat, launch.ErrInterpreter, launch.ErrPermission:
		return true
	}
	return false
}

// String says it on one line, cause first.
func (e ending) String() string {
	gaveUp, given := errors.AsType[*host.GaveUpError](e.err)
	switch {
	case given && gaveUp.Err != nil:
		return "given up, since " + gaveUp.Why + "; the last time: " + notStarted(gaveUp.Err)
	case given:
		return "given up, since " + gaveUp.Why + "; the last time: " + story(gaveUp.Exit)
	case e.err != nil:
		return notStarted(e.err)
	}
	return story(e.exit)
}

// notStarted says why a start came to nothing.
func notStarted(err error) string {
	if e, ok := errors.AsType[*launch.StartError](err); ok { // the rest is where and how long
		err = e
	}
	return "not started: " + oneLine(err.Error())
}

// story tells an exit in words: why, how, and after which time.
func story(e launch.Exit) string {
	if e.Kind == launch.Failed && e.Phase == launch.PhaseExec && e.Signal == 0 && e.Code == 0 && e.Cause != "" {
		return "not started: " + oneLine(e.Cause)
	}
	var why []string
	if e.Requested != (launch.Request{}) {
		why = append(why, askedBy(e.Requested))
	}
	if e.OOMKilled {
		why = append(why, "out of memory")
	}
	if e.Cause != "" {
		why = append(why, e.Cause)
	}
	if len(why) == 0 && e.Kind == launch.Failed {
		why = append(why, "it was not ready yet")
	}
	s := manner(e)
	if len(why) > 0 {
		s = oneLine(strings.Join(why, ", ")) + ": " + s
	}
	if !e.Started.IsZero() && !e.Ended.IsZero() {
		s += " after " + short(e.Ended.Sub(e.Started))
	}
	if e.Swept > 0 {
		s += fmt.Sprintf(", and %d left-over processes were killed", e.Swept)
	}
	return s
}

func askedBy(r launch.Request) string { return fmt.Sprintf("stopped by %s (%s)", r.By, r.Why) }

// manner says how a process has ended.
func manner(e launch.Exit) string {
	switch {
	case e.Signal != 0 && e.CoreDumped:
		return "killed by " + signalName(e.Signal) + ", core dumped"
	case e.Signal != 0:
		return "killed by " + signalName(e.Signal)
	case e.Kind == launch.Unknown:
		return "ended, nobody knows how"
	}
	return fmt.Sprintf("ended with exit code %d", e.Code)
}

// signalName is "SIGKILL" for 9.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

// oneLine joins lines.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " / ")
}

// short rounds a time to what people want to read.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
