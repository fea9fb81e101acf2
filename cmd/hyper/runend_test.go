package main

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// endingAt is an exit of a proc that ran for 1.5 s.
func endingAt(e launch.Exit) launch.Exit {
	e.Started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e.Ended = e.Started.Add(1500 * time.Millisecond)
	return e
}

func TestEnding(t *testing.T) {
	start := func(reason launch.Reason) error {
		return &host.SpawnError{Name: "x-0", Err: &launch.StartError{Op: "find", Path: "x", Reason: reason, Detail: "two\nlines"}}
	}
	failed := endingAt(launch.Exit{Kind: launch.Stopped, Code: 3})
	asked := launch.Request{By: "hyper run", Why: "SIGINT", At: time.Now()}
	for _, test := range []struct {
		name string
		ending
		code int
		text string
	}{
		{"well", ending{exit: endingAt(launch.Exit{Kind: launch.Stopped})}, 0, "ended with exit code 0 after 1.5s"},
		{"code", ending{exit: failed}, 3, "ended with exit code 3 after 1.5s"},
		{"signal", ending{exit: launch.Exit{Kind: launch.Killed, Signal: syscall.SIGSEGV, CoreDumped: true}}, 139, "killed by SIGSEGV, core dumped"},
		{"unnamed signal", ending{exit: launch.Exit{Kind: launch.Killed, Signal: 40}}, 168, "killed by signal 40"},
		{"out of memory", ending{exit: launch.Exit{Kind: launch.Killed, Signal: 9, OOMKilled: true}}, 137, "out of memory: killed by SIGKILL"},
		{"stopped", ending{exit: launch.Exit{Kind: launch.Stopped, Requested: asked}}, 0, "stopped by hyper run (SIGINT): ended with exit code 0"},
		{"too slow", ending{exit: launch.Exit{Kind: launch.Killed, Signal: 9, Requested: asked, Cause: "grace of 1s used up"}}, 137,
			"stopped by hyper run (SIGINT), grace of 1s used up: killed by SIGKILL"},
		{"not live", ending{exit: launch.Exit{Kind: launch.Stopped, Cause: "it is not live: probe\nx"}}, 125, "it is not live: probe / x: ended with exit code 0"},
		{"early", ending{exit: launch.Exit{Kind: launch.Failed, Phase: launch.PhaseInit}}, 125, "it was not ready yet: ended with exit code 0"},
		{"early with a code", ending{exit: launch.Exit{Kind: launch.Failed, Code: 2}}, 2, "it was not ready yet: ended with exit code 2"},
		{"unknown", ending{exit: launch.Exit{Cause: "the keeper is gone"}}, 125, "the keeper is gone: ended, nobody knows how"},
		{"left over", ending{exit: launch.Exit{Kind: launch.Stopped, Swept: 2}}, 0, "ended with exit code 0, and 2 left-over processes were killed"},
		{"not started again", ending{exit: endingAt(launch.Exit{Kind: launch.Failed, Phase: launch.PhaseExec, Cause: "gone\nnow"})}, 125, "not started: gone / now"},
		{"not found", ending{err: start(launch.ErrNotFound)}, 127, `not started: find "x": program not found: two / lines`},
		{"not executable", ending{err: start(launch.ErrNotExecutable)}, 126, `not started: find "x": program is not executable: two / lines`},
		{"bad interpreter", ending{err: start(launch.ErrInterpreter)}, 126, `not started: find "x": interpreter of the program not usable: two / lines`},
		{"no such directory", ending{err: start(launch.ErrDir)}, 125, `not started: find "x": working directory not usable: two / lines`},
		{"draining", ending{err: fmt.Errorf("spawn x-0: %w", host.ErrDraining)}, 143, "not started: spawn x-0: procs are being stopped, no new ones are taken"},
		{"other", ending{err: errors.New("a\nb")}, 125, "not started: a / b"},
		{"given up", ending{failed, &host.GaveUpError{Exit: failed, Why: "it failed"}}, 3, "given up, since it failed; the last time: ended with exit code 3 after 1.5s"},
		{"given up for nothing", ending{err: &host.GaveUpError{Why: "it ended"}, exit: launch.Exit{Kind: launch.Stopped}}, 125,
			"given up, since it ended; the last time: ended, nobody knows how"},
		{"gone", ending{failed, &host.GaveUpError{Exit: failed, Why: "it failed", Err: start(launch.ErrNotFound)}}, 127,
			`given up, since it failed; the last time: not started: find "x": program not found: two / lines`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.ending.code(); got != test.code {
				t.Errorf("code %d, want %d", got, test.code)
			}
			if got := test.String(); got != test.text {
				t.Errorf("got  %s\nwant %s", got, test.text)
			}
		})
	}
}

func TestCodeOf(t *testing.T) {
	ends := func(codes ...int) (all []ending) {
		for _, c := range codes {
			all = append(all, ending{exit: launch.Exit{Kind: launch.Stopped, Code: c}})
		}
		return all
	}
	for want, all := range map[int][]ending{0: ends(0, 0), 2: ends(0, 2, 1), 1: ends(1, 2)} {
		if got := codeOf(all); got != want {
			t.Errorf("%v: %d, want %d", all, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1234 * time.Nanosecond: "1µs", 1234567: "1ms", 59949 * time.Millisecond: "59.9s", 90*time.Second + 600*time.Millisecond: "1m31s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%d) = %q, want %q", d, got, want)
		}
	}
}
