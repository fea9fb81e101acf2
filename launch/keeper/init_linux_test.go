package keeper_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/keeper"
)

// traceEnv names a directory in which every process that comes to the init
// function of this package makes one.
const traceEnv = "HYPER_TEST_TRACE"

// This package imports the keeper, as all of a program does that uses it.
func init() {
	if dir := os.Getenv(traceEnv); dir != "" {
		if _, err := os.MkdirTemp(dir, "init-"); err != nil {
			panic(err)
		}
	}
}

// TestRealNothingOfTheProgram runs guard and keeper, in which no init function
// of the program runs.
func TestRealNothingOfTheProgram(t *testing.T) {
	dir := t.TempDir()
	trace := traceEnv + "=" + dir
	l := keeper.New(keeper.Config{Env: []string{trace}})
	p, err := l.Launch(t.Context(), launch.Spec{Path: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Wait(); !e.OK() {
		t.Errorf("got %v", e)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if n := traces(t, dir); n != 0 {
		t.Errorf("%d of guard and keeper have come to the init function of the program", n)
	}
	plain := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^$")
	plain.Env = []string{trace}
	if out, err := plain.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n := traces(t, dir); n != 1 {
		t.Errorf("the program itself has come there %d times", n)
	}
}

func traces(t *testing.T, dir string) int {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "init-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestRealStrangerAsKeeper starts this program as what no keeper is.
func TestRealStrangerAsKeeper(t *testing.T) {
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Env = []string{"HYPERACTOR_KEEPER=stranger"}
	out, err := c.CombinedOutput()
	const want = "stranger: HYPERACTOR_KEEPER=\"stranger\" is neither guard nor keeper\n"
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 1 || string(out) != want {
		t.Errorf("got %v, %q", err, out)
	}
}
