package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestRealScripts runs the sessions in testdata, in which hyper is this very
// binary.
func TestRealScripts(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts: nobody else has to
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) // after all sessions, which run in parallel
	marks := t.TempDir()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			mark := markEnv + "=" + filepath.Join(marks, filepath.Base(env.WorkDir))
			env.Vars = append(env.Vars, mark, "LISTENER="+listener.Addr().String())
			env.Defer(func() { nothingLeft(t, mark) })
			return executable(env.WorkDir)
		},
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"code": expectCode},
		Condition: condition,
	})
}

// TestRealReadme sees that the sessions run each command that the docs show.
func TestRealReadme(t *testing.T) {
	sessions := read(t, "testdata/readme.txtar") + read(t, "testdata/ca.txtar")
	for _, doc := range []string{"../../README.md", "../../docs/tls.md"} {
		shown := 0
		for line := range strings.Lines(read(t, doc)) {
			command, ok := strings.CutPrefix(line, "    hyper ")
			if !ok {
				continue
			}
			shown++
			if !strings.Contains(sessions, " hyper "+command) {
				t.Errorf("no session runs what %s shows: hyper %s", doc, command)
			}
		}
		if shown == 0 {
			t.Errorf("%s shows no command", doc)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// executable makes the scripts among the files of a session run.
func executable(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || !bytes.HasPrefix(text, []byte("#!")) {
			continue // a directory, or no script
		}
		if err := os.Chmod(f, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// expectCode is "code N COMMAND [ARG...]": COMMAND ends with exit code N.
func expectCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// condition says whether a part of a session can be run here: [root] for what
// only root may do, [cgroup] for what takes a cgroup of our own.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "cgroup":
		return exec.Command(os.Getenv(binaryEnv), "run", "--pids", "10", "--", "true").Run() == nil, nil
	}
	return false, errors.New("unknown condition " + name)
}
