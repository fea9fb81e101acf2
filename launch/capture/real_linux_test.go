package capture

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/internal/versus"
	"github.com/hyperactor/hyperactor/launch"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be the program that writes, see helper.
func TestMain(m *testing.M) {
	if path := os.Getenv("CAPTURE_HELPER"); path != "" {
		helper(path)
	}
	os.Exit(m.Run())
}

// helper captures numbered lines as fast as it can and says after each chunk
// how far it is, until it is killed. With a limit it ends after 100 chunks.
func helper(path string) {
	limited := os.Getenv("CAPTURE_LIMIT") != ""
	if limited {
		limit := unix.Rlimit{Cur: 100 << 10, Max: 100 << 10}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			panic(err)
		}
	}
	d, err := Open(Config{Path: path, MaxFiles: 1000, Retry: time.Millisecond})
	if err != nil {
		panic(err)
	}
	w, err := d.Writer("p", launch.Stdout)
	if err != nil {
		panic(err)
	}
	for n := 0; !limited || n < 100*100; {
		var chunk []byte
		for range 100 {
			chunk = fmt.Appendf(chunk, "%050d\n", n)
			n++
		}
		_, _ = w.Write(chunk) // never fails
		fmt.Println(n)
	}
	if err := w.Close(); err != nil || w.Stats().Lost > 0 {
		panic(fmt.Sprint(w.Stats(), err))
	}
	os.Exit(0)
}

// numbered checks that lines count from 0 without a gap and returns how many
// there are.
func numbered(t *testing.T, lines []Line) int {
	t.Helper()
	for i, l := range lines {
		if want := fmt.Sprintf("%050d", i); string(l.Text) != want && !(l.Partial && i == len(lines)-1) {
			t.Fatalf("line %d: got %q %+v", i, l.Text, l.Gap)
		}
	}
	return len(lines)
}

// TestRealKilledWriter kills a writing process at any moment: what it had
// written is there, whatever became of the index, and the next writer goes on.
func TestRealKilledWriter(t *testing.T) {
	path := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{"CAPTURE_HELPER=" + path}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	atLeast := 0
	for in := bufio.NewScanner(out); in.Scan(); {
		if _, err := fmt.Sscan(in.Text(), &atLeast); err != nil {
			t.Fatal(err)
		}
		if atLeast == 5000 {
			if _, err := Open(Config{Path: path}); err == nil {
				t.Error("two processes write there")
			}
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed
	r := NewReader(path)
	got := numbered(t, collect(t, r, Query{}))
	if got < atLeast {
		t.Errorf("got %d lines, want at least %d", got, atLeast)
	}
	tear(t, path)
	numbered(t, collect(t, r, Query{}))
	d := newDir(t, Config{Path: path})
	write(t, newWriter(t, d, "p", launch.Stdout), "and then\n")
	if lines := collect(t, r, Query{}); string(lines[len(lines)-1].Text) != "and then" || numbered(t, lines[:len(lines)-1]) != got {
		t.Errorf("got %d lines, want %d", len(lines), got+1)
	}
}

// tear cuts the last record of each index.
func tear(t *testing.T, dir string) {
	names, err := filepath.Glob(dir + "/*" + indexExt)
	if err != nil || len(names) == 0 {
		t.Fatalf("got %v, %v", names, err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err == nil {
			err = os.Truncate(name, info.Size()-recordSize/2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealFileSizeLimit writes more than a file may have: the files end early
// and nothing is lost.
func TestRealFileSizeLimit(t *testing.T) {
	path := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{"CAPTURE_HELPER=" + path, "CAPTURE_LIMIT=1"}
	cmd.Stdout = io.Discard
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var got []byte
	var want bytes.Buffer
	for i := range 100 * 100 {
		fmt.Fprintf(&want, "%050d\n", i)
	}
	if got = readRaw(t, NewReader(path), Position{Source: Source{"p", launch.Stdout}}); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got %d bytes, want %d", len(got), want.Len())
	}
}

// mount mounts a file system of its own for a test.
func mount(t *testing.T, fstype, data string) string {
	dir := t.TempDir()
	if err := unix.Mount("test", dir, fstype, 0, data); err != nil {
		t.Skip("cannot mount a file system here: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestRealDiskFull fills a file system: the writer goes on at once, what is
// lost is counted, and readers see it (PS-8).
func TestRealDiskFull(t *testing.T) {
	dir := mount(t, "tmpfs", "size=256k")
	d := newDir(t, Config{Path: filepath.Join(dir, "out"), Retry: time.Nanosecond})
	w := newWriter(t, d, "p", launch.Stdout)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 99) + "\n"
	for range 2000 { // 200 kB
		write(t, w, line)
	}
	full := w.Stats()
	if full.Lost == 0 || full.Err == nil || full.Bytes+full.Lost != 200_000 {
		t.Errorf("got %+v", full)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write(t, w, "after\n")
	if s := w.Stats(); s != (Stats{Bytes: full.Bytes + 6, Lost: full.Lost}) {
		t.Errorf("got %+v", s)
	}
	var lost, there int64
	for _, l := range collect(t, d.Reader(), Query{}) {
		lost += l.Gap.Bytes
		there += l.Next - l.Offset
	}
	if lost != full.Lost || there != full.Bytes+6 {
		t.Errorf("readers see %d bytes and %d lost, want %d and %d", there, lost, full.Bytes+6, full.Lost)
	}
}

// TestRealReadOnly makes the file system read-only for a while.
func TestRealReadOnly(t *testing.T) {
	dir := mount(t, "tmpfs", "size=1m")
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("test", dir, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	d := newDir(t, Config{Path: dir, Retry: time.Nanosecond})
	w := newWriter(t, d, "p", launch.Stdout)
	remount(unix.MS_RDONLY)
	write(t, w, "lost\n")
	if s := w.Stats(); s.Lost != 5 || s.Err == nil {
		t.Errorf("got %+v", s)
	}
	remount(0)
	write(t, w, "kept\n")
	lines := collect(t, d.Reader(), Query{})
	if len(lines) != 2 || lines[0].Gap.Bytes != 5 || string(lines[1].Text) != "kept" {
		t.Errorf("got\n%s", text(lines))
	}
}

// TestRealDeaf checks that inotify says when it has no more to say.
func TestRealDeaf(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"removed": os.Remove,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".old") },
	} {
		dir := t.TempDir() + "/out"
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := watch(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := take(dir); err != nil {
			t.Fatal(err)
		}
		<-b.c
		if !b.deaf.Load() {
			t.Errorf("%s: it does not know", name)
		}
		b.stop()
	}
}

// TestRealFollowAnotherProcess follows a directory by inotify, as the command
// does, across rotations and into new streams.
func TestRealFollowAnotherProcess(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 1000, MaxFiles: 100, PackAfter: time.Nanosecond})
	w := newWriter(t, d, "p", launch.Stdout)
	write(t, w, "0\n")
	lines := make(chan string)
	f := follow(t, NewReader(d.cfg.Path), Query{})
	f.stop(errEnough)
	<-f.done
	ctx := t.Context()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l, err := range NewReader(d.cfg.Path).Read(ctx, Query{Follow: true}) {
			if err != nil {
				return
			}
			lines <- string(l.Text)
			if string(l.Text) == "end" {
				return
			}
		}
	}()
	for i := range 300 {
		if got := <-lines; got != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", got, i)
		}
		write(t, w, fmt.Sprintf("%d\n", i+1))
	}
	<-lines
	write(t, newWriter(t, d, "q", launch.Stdout), "end\n")
	if got := <-lines; got != "end" {
		t.Errorf("got %q", got)
	}
	<-done
}

// BenchmarkRealFlood compares capturing 256 MiB that come through a pipe with
// cat writing them to a file: by the clock.
func BenchmarkRealFlood(b *testing.B) {
	benchmarkFlood(b, func(u usage) time.Duration { return u.wall })
}

// BenchmarkRealFloodCPU compares the processor time of the two.
func BenchmarkRealFloodCPU(b *testing.B) {
	benchmarkFlood(b, func(u usage) time.Duration { return u.cpu })
}

func benchmarkFlood(b *testing.B, of func(usage) time.Duration) {
	const total = 256 << 20
	var v versus.Pair
	for b.Loop() {
		v.Add(func() time.Duration { return of(flood(b, total, captureAll)) }, func() time.Duration { return of(flood(b, total, catAll)) })
	}
	v.Report(b)
}

type usage struct{ wall, cpu time.Duration }

// flood starts a process that writes total bytes of lines and hands its pipe
// to sink.
func flood(b *testing.B, total int, sink func(b *testing.B, dir string, in *os.File)) usage {
	dir := b.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	line := strings.Repeat("0123456789abcde", 6) + "done"
	cmd := exec.CommandContext(b.Context(), "/bin/sh", "-c", fmt.Sprintf("yes %s | head -c %d", line, total))
	cmd.Stdout = w
	before, begin := cpuTime(), time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	sink(b, dir, r)
	u := usage{wall: time.Since(begin)}
	r.Close()
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	u.cpu = cpuTime() - before - cmd.ProcessState.UserTime() - cmd.ProcessState.SystemTime()
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	return u
}

// cpuTime returns the processor time of this process and its ended children.
func cpuTime() time.Duration {
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err)
		}
		sum += u.Utime.Nano() + u.Stime.Nano()
	}
	return time.Duration(sum)
}

func captureAll(b *testing.B, dir string, in *os.File) {
	d, err := Open(Config{Path: dir})
	if err != nil {
		b.Fatal(err)
	}
	w, err := d.Writer("p", launch.Stdout)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := in.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	// A large pipe makes fewer and larger chunks: a Go program pays more for each than cat.
	_ = conn.Control(func(fd uintptr) { _, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := in.Read(buf)
		_, _ = w.Write(buf[:n]) // never fails
		if err != nil {
			break
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}

func catAll(b *testing.B, dir string, in *os.File) {
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	cat := exec.CommandContext(b.Context(), "cat")
	cat.Stdin, cat.Stdout = in, out
	if err := cat.Run(); err != nil {
		b.Fatal(err)
	}
}
