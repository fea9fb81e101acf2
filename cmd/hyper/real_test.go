package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/rogpeppe/go-internal/testscript"
)

// binaryEnv names the built command to the tests.
const binaryEnv = "HYPER_TEST_BINARY"

// markEnv marks what descends from a command in a test.
const markEnv = "HYPER_TEST_MARK"

func TestMain(m *testing.M) {
	hyperactor.RunChild(hyperactor.Config{Types: types()})
	testscript.Main(tests{m}, map[string]func(){"hyper": main, "testproc": testproc})
}

// tests are all of them, with the built command at hand.
type tests struct{ all *testing.M }

// Run runs the tests and returns the exit code.
func (t tests) Run() int { return withBinary(t.all.Run) }

// withBinary builds the command, once for all tests.
func withBinary(run func() int) int {
	dir, err := os.MkdirTemp("", "hyper-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "hyper")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	os.Setenv(binaryEnv, path)
	return run()
}

// hyperCommand is the built command, with all that descends from it marked.
func hyperCommand(t *testing.T, args ...string) (cmd *exec.Cmd, mark string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Getenv(binaryEnv), args...)
	mark = markEnv + "=" + t.TempDir() // nothing else has this name
	cmd.Env = append(os.Environ(), mark)
	return cmd, mark
}

// runHyper runs the command and returns its exit code and what it printed.
func runHyper(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd, mark := hyperCommand(t, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	nothingLeft(t, mark)
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// nothingLeft fails t if a process with mark lives.
func nothingLeft(t *testing.T, mark string) {
	t.Helper()
	pids, err := launch.Census(mark)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	if len(pids) > 0 {
		t.Errorf("left over: %v", pids)
	}
}

// smallTree has some of everything: 4 text files, 11 words.
func smallTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a.txt": "one two Two", "sub/b.txt": "two three_3, three_3\n", "empty": "", "sub/é \xff": "one\té日 Two " + strings.Repeat("x", 65) + " ONE",
		"nul": "one\x00two", "latin1": "caf\xe9", "sub/sub/cut": "one \xe2\x82",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Symlink("..", filepath.Join(dir, "sub", "loop")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bigTree has n files of 1 MB that are one on the disk.
func bigTree(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	first := filepath.Join(dir, "0")
	if err := os.WriteFile(first, bytes.Repeat([]byte("the same 7 words again and again\n"), 1<<20/33), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < n; i++ {
		if err := os.Link(first, filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// decode reads a report, and sees that it is all that there is, and all there.
func decode(t *testing.T, stdout string) (r report) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("there is more than one document: %s", stdout)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(stdout), &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("dir files bytes words distinct top procs kills verified leftover seconds") {
		if _, ok := all[key]; !ok {
			t.Errorf("%q is missing", key)
		}
	}
	return r
}

func TestRealAllFlags(t *testing.T) {
	dir := smallTree(t)
	for n := range 8 {
		args := []string{"demo", "--procs", "2"}
		local, chaos, asJSON := n&1 != 0, n&2 != 0, n&4 != 0
		for flag, on := range map[string]bool{"--local": local, "--chaos": chaos, "--json": asJSON} {
			if on {
				args = append(args, flag)
			}
		}
		t.Run(strings.Join(args[1:], " "), func(t *testing.T) {
			code, stdout, stderr := runHyper(t, append(args, dir)...)
			if code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
			}
			for _, want := range []string{"7 files, ", "skipped: 2 symbolic links, 1 special files", "skipped: 3 binary files"} {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q is not in %s", want, stderr)
				}
			}
			if !asJSON {
				if want := "10 words, 4 of them distinct, in 4 text files (" + size(textBytes) + ") under " + dir; !strings.HasPrefix(stdout, want) {
					t.Errorf("%q does not begin %s", want, stdout)
				}
				return
			}
			checkSmall(t, decode(t, stdout), dir, local)
		})
	}
}

// textBytes is what the text files of smallTree have.
const textBytes = 11 + 21 + 83

func checkSmall(t *testing.T, r report, dir string, local bool) {
	t.Helper()
	if r.Dir != dir || r.Files != 4 || r.Bytes != textBytes || r.Words != 10 || r.Distinct != 4 || !r.Verified || r.Kills != 0 {
		t.Errorf("%+v", r)
	}
	if got, want := fmt.Sprint(r.Top), "[{two 4} {one 3} {three_3 2} {é日 1}]"; got != want {
		t.Errorf("top: %s, want %s", got, want)
	}
	if r.Leftover != nil && *r.Leftover != 0 {
		t.Errorf("%d left over", *r.Leftover)
	}
	if len(r.Procs) != 2 {
		t.Fatalf("%d procs, want 2", len(r.Procs))
	}
	for _, p := range r.Procs {
		if !strings.HasPrefix(p.Exit, "stopped: exit 0") || local != (p.PID == 0) || !strings.Contains(p.ID, "/"+p.Name+"~") {
			t.Errorf("%+v", p)
		}
	}
}

func TestRealChaos(t *testing.T) {
	dir := bigTree(t, 60)
	for _, args := range [][]string{{"--procs", "1"}, {"--procs", "4"}, {"--local"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			code, stdout, stderr := runHyper(t, append(append([]string{"demo", "--chaos", "--json"}, args...), dir)...)
			if code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
			}
			r := decode(t, stdout)
			if r.Kills == 0 || r.Files != 60 || r.Words != 60*7*(1<<20/33) {
				t.Errorf("%+v", r)
			}
			killed := 0
			for _, p := range r.Procs {
				if strings.HasPrefix(p.Exit, "killed") {
					killed++
				}
			}
			if killed != r.Kills {
				t.Errorf("%d procs were killed, %d kills: %+v", killed, r.Kills, r.Procs)
			}
		})
	}
}

func TestRealRefusals(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"", "usage: hyper SUBCOMMAND"},
		{"dmeo", `there is no subcommand "dmeo"`},
		{"demo --procs 0", "--procs 0: choose 1 to 1024"},
		{"demo --procs 1025", "--procs 1025: choose 1 to 1024"},
		{"demo --procs many", `invalid value "many" for flag -procs`},
		{"demo --bogus", "-bogus; \"hyper demo -h\" lists the flags"},
		{"demo a b", `one directory can be counted, not ["a" "b"]`},
		{"demo a --json", "flags come before it"},
		{"demo " + dir + "/none", dir + `/none": lstat`},
		{"demo " + plain, plain + " is not a directory; name a directory to count"},
	} {
		code, stdout, stderr := runHyper(t, strings.Fields(test.args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want %q", test.args, code, stdout, stderr, test.want)
		}
	}
	for _, args := range []string{"help", "demo -h"} {
		if code, stdout, stderr := runHyper(t, strings.Fields(args)...); code != 0 || !strings.Contains(stdout, "usage: hyper") || stderr != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// TestRealRemovedFile removes a file, and puts a FIFO in the place of another,
// after they were listed.
func TestRealRemovedFile(t *testing.T) {
	dir := smallTree(t)
	l, err := list(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	removed, replaced := filepath.Join(dir, "a.txt"), filepath.Join(dir, "empty")
	if err := errors.Join(os.Remove(removed), os.Remove(replaced), syscall.Mkfifo(replaced, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, local := range []bool{true, false} {
		var talk bytes.Buffer
		d := demo{demoOptions: demoOptions{procs: 2, local: local}, talk: &talk, display: newDisplay(&talk)}
		r, err := d.run(t.Context(), l)
		if err != nil || !r.Verified || r.Files != 2 {
			t.Errorf("%v, %+v", err, r)
		}
		for _, want := range []string{removed + `": unreadable (open`, replaced + `": unreadable (open`, "no longer a regular file"} {
			if !strings.Contains(talk.String(), want) {
				t.Errorf("%q is not in %s", want, &talk)
			}
		}
	}
}

// counting starts the command on a tree that takes it long, and returns when
// its procs count.
func counting(t *testing.T, args ...string) (cmd *exec.Cmd, mark string, rest func() string) {
	t.Helper()
	cmd, mark = hyperCommand(t, append(append([]string{"demo"}, args...), bigTree(t, 2000))...)
	cmd.Stdout = io.Discard
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	r := bufio.NewReader(stderr)
	for line := ""; !strings.Contains(line, "counting") || strings.Contains(line, " 0 procs"); {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return cmd, mark, func() string { b, _ := io.ReadAll(r); return string(b) }
}

func TestRealSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, args := range [][]string{nil, {"--chaos"}, {"--local"}} {
			t.Run(fmt.Sprint(sig, args), func(t *testing.T) {
				t.Parallel()
				cmd, mark, rest := counting(t, args...)
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				stderr := rest()
				cmd.Wait()
				if code := cmd.ProcessState.ExitCode(); code != 128+int(sig) || !strings.Contains(stderr, "hyper demo: stopped: "+sig.String()) {
					t.Errorf("exit code %d, stderr %s", code, stderr)
				}
				nothingLeft(t, mark)
			})
		}
	}
}
