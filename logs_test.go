package hyperactor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// speak has a child print a line on each stream. It is no proc of ours and ends
// before it is ready, which is no reason to lose what it said.
func speak(t *testing.T, rt *hyperactor.Runtime, name string) {
	t.Helper()
	_, err := rt.Host().Spawn(rt.Context(t.Context()), host.ProcSpec{
		Name: name, Program: "/bin/sh", Args: []string{"-c", "echo hello from " + name + "; echo oops >&2"},
	})
	if !errors.Is(err, host.ErrExitedEarly) {
		t.Fatalf("spawn: %v", err)
	}
}

// lines collects what was captured.
func lines(t *testing.T, all iter.Seq2[capture.Line, error]) []string {
	t.Helper()
	var got []string
	for l, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%v %s", l.Source, l.Text))
	}
	slices.Sort(got)
	return got
}

// TestRealLogs reads what procs have written, by default and where it is to be
// kept.
func TestRealLogs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	want := []string{"a/stderr oops", "a/stdout hello from a", "b/stderr oops", "b/stdout hello from b"}
	for _, path := range []string{"", filepath.Join(t.TempDir(), "kept")} {
		rt := newRuntime(t, hyperactor.Config{Logs: capture.Config{Path: path}})
		speak(t, rt, "a")
		speak(t, rt, "b")
		if got := lines(t, rt.Host().Logs(t.Context(), capture.Query{})); !slices.Equal(got, want) {
			t.Errorf("path %q: got %q, want %q", path, got, want)
		}
		if got := lines(t, rt.Host().Logs(t.Context(), capture.Query{Procs: []string{"b"}})); !slices.Equal(got, want[2:]) {
			t.Errorf("path %q: got %q, want %q", path, got, want[2:])
		}
		closeRuntime(t, rt)
		if path != "" {
			if got := lines(t, capture.NewReader(path).Read(t.Context(), capture.Query{})); !slices.Equal(got, want) {
				t.Errorf("afterwards: got %q, want %q", got, want)
			}
		}
		if left, err := filepath.Glob(filepath.Join(os.TempDir(), "hyper-logs-*")); err != nil || len(left) > 0 {
			t.Errorf("path %q: left behind: %v, %v", path, left, err)
		}
	}
}

// TestRealFollowLogs hears of a line as it comes.
func TestRealFollowLogs(t *testing.T) {
	rt := newRuntime(t, hyperactor.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	next, stop := iter.Pull2(rt.Host().Logs(ctx, capture.Query{Procs: []string{"a"}, Follow: true}))
	defer stop()
	speak(t, rt, "a")
	for range 2 {
		if _, err, ok := next(); err != nil || !ok {
			t.Fatalf("got no line: %v", err)
		}
	}
}

func TestRealNoLogs(t *testing.T) {
	for _, cfg := range []hyperactor.Config{{NoLogs: true}, {Local: true}} {
		rt := newRuntime(t, cfg)
		for _, err := range rt.Host().Logs(t.Context(), capture.Query{}) {
			if !errors.Is(err, host.ErrNoLogs) {
				t.Errorf("got %v", err)
			}
		}
	}
}
