// Package examples_test runs the examples as their readers do.
package examples_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestRealExamples builds each example, runs it, and compares all that it prints.
func TestRealExamples(t *testing.T) {
	want := map[string]string{
		"attach":  `^the laptop calls: 42\nthe station answers on a port: 42\n$`,
		"counter": `^42\nstopped: exit 0 after \d+ms, asked for by main: done\n$`,
		"supervised": `^(1 starting\n1 running\n1 ready\n1 exited\n1 restarting\n)(2 starting\n2 running\n2 ready\n2 exited\n2 restarting\n)` +
			`(3 starting\n3 running\n3 ready\n3 exited\n3 gave_up\n)given up: it was not healthy 3 times in a row\n(flaky at work\n){3}$`,
		"pingpong": `^1000 round trips in [0-9.]+m?s, [0-9.]+(µs|ms) each\n$`,
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "./...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	built, err := os.ReadDir(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range built {
		t.Run(e.Name(), func(t *testing.T) {
			pattern, ok := want[e.Name()]
			if !ok {
				t.Fatalf("this test does not know what %s prints", e.Name())
			}
			delete(want, e.Name())
			stdout := runExample(t, filepath.Join(bin, e.Name()))
			if !regexp.MustCompile(pattern).MatchString(stdout) {
				t.Errorf("printed %q, want %s", stdout, pattern)
			}
		})
	}
	for name := range want {
		t.Errorf("there is no example %s", name)
	}
}

// runExample returns the stdout of a program that ends by itself, with exit
// code 0 and without a word on stderr.
func runExample(t *testing.T, program string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", &stderr)
	}
	return stdout.String()
}
