package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patient is a proc that answers Ctrl-C and SIGTERM.
const patient = `trap "echo got SIGINT" INT; trap "echo bye; exit 0" TERM; echo up; while :; do sleep 1000 & wait; done`

func TestRealTerminal(t *testing.T) {
	cmd, mark := hyperCommand(t, "run", "-n", "2", "--name", "web", "--", "sh", "-c", patient)
	tt := onTerminal(t, cmd)
	tt.await(`^web\[0\] up$`, `^web\[1\] up$`)
	const table = `^PROC +STATUS +SINCE +PID +STARTS +CAUSE +LAST EXIT\nweb\[0\] +(running|ready) +\S+ +\d+ +1 +- +-\nweb\[1\] +(running|ready) .*$`
	tt.press("\n")
	tt.await(table)
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	tt.await(table)
	tt.press("\x03") // Ctrl-C: who is in front gets SIGINT
	text, code := tt.end()
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, want := range []string{"web[0] bye\n", "web[1] bye\n", "\nhyper: web[1]: stopped by hyper run (SIGINT): ended with exit code 0 after "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	if strings.Contains(text, "got SIGINT") {
		t.Errorf("Ctrl-C has reached a proc: %s", text)
	}
	nothingLeft(t, mark)
}

// TestRealTerminalKeepsLinesWhole has both streams of many procs write pieces
// of lines.
func TestRealTerminalKeepsLinesWhole(t *testing.T) {
	const procs, lines = 4, 200
	cmd, mark := hyperCommand(t, "run", "-n", "4", "--name", "w", "--", "sh", "-c",
		`i=0; while test $i -lt 100; do printf "out "; printf "err " >&2; echo end; echo end >&2; i=$((i+1)); done`)
	text, code := onTerminal(t, cmd).end()
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	count := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "hyper: ") {
			continue
		}
		who, what, _ := strings.Cut(line, "] ")
		if len(who) != len("w[0") || what != "out end\n" && what != "err end\n" {
			t.Fatalf("line %q in %s", line, text)
		}
		count++
	}
	if want := procs * lines; count != want {
		t.Errorf("%d lines, want %d", count, want)
	}
	nothingLeft(t, mark)
}

// TestRealTerminalPrefix sees that --prefix decides on a terminal, too.
func TestRealTerminalPrefix(t *testing.T) {
	cmd, _ := hyperCommand(t, "run", "--prefix=never", "--", "printf", `a\001b`)
	if text, code := onTerminal(t, cmd).end(); code != 0 || !strings.HasPrefix(text, "a\x01bhyper: printf[0]: ended") {
		t.Errorf("%q, exit code %d", text, code)
	}
}

// TestRealStuckTerminal has nobody read what the procs write: the end does not
// wait for that.
func TestRealStuckTerminal(t *testing.T) {
	for name, test := range map[string]struct {
		grace   string
		signals []string // each sent after the event
	}{
		"second SIGINT": {"1h", []string{"ready", "stopping"}},
		"grace":         {"200ms", []string{"ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, theirs, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer events.Close()
			cmd, mark := hyperCommand(t, "run", "--grace", test.grace, "--events", "/dev/fd/3", "--ready", "log=^y$", "--",
				"sh", "-c", `trap "" TERM; yes`)
			onTerminal(t, cmd, theirs)
			theirs.Close()
			began := time.Now()
			err = eachEvent(events, func(e eventRecord) bool {
				if len(test.signals) > 0 && e.Event == test.signals[0] {
					test.signals = test.signals[1:]
					began = time.Now()
					cmd.Process.Signal(os.Interrupt)
				}
				return true
			})
			if err != nil || len(test.signals) > 0 {
				t.Errorf("%v, %q not sent", err, test.signals)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 137 {
				t.Errorf("exit code %d, want 137", code)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it has taken %v", took)
			}
			nothingLeft(t, mark)
		})
	}
}

// TestRealBackground runs hyper in the background of a terminal, where to read
// would stop it.
func TestRealBackground(t *testing.T) {
	hyper, mark := hyperCommand(t, "run", "--", "sh", "-c", "echo up; sleep 0.3")
	script := strings.Join(hyper.Args[:2], " ") + ` -- sh -c 'echo up; sleep 0.3' & wait $!; echo code $?`
	cmd := exec.CommandContext(t.Context(), "sh", "-m", "-c", script)
	cmd.Env = hyper.Env
	text, _ := onTerminal(t, cmd).end()
	if !strings.Contains(text, "sh[0] up\n") || !strings.Contains(text, "\ncode 0\n") {
		t.Errorf("%s", text)
	}
	nothingLeft(t, mark)
}

// TestRealBrokenPipe has nobody read stdout any more: all is stopped.
func TestRealBrokenPipe(t *testing.T) {
	for name, args := range map[string][]string{
		"output": {"--", "sh", "-c", `trap "exit 0" TERM; while :; do echo y; done`},
		"events": {"--events=-", "--restart=always", "--max-restarts=unlimited", "--backoff=1ms..1ms", "--", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, mark := hyperCommand(t, append([]string{"run"}, args...)...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var talk strings.Builder
			cmd.Stderr = &talk
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			out.Close()
			cmd.Wait()
			// 125, or that of a proc that the stop has met while it started.
			if code := cmd.ProcessState.ExitCode(); code < exitOurs {
				t.Errorf("exit code %d, want %d: %s", code, exitOurs, talk.String())
			}
			if want := "hyper: stdout: write /dev/stdout: broken pipe; "; !strings.Contains(talk.String(), want) {
				t.Errorf("%q is not in %s", want, talk.String())
			}
			nothingLeft(t, mark)
		})
	}
}
