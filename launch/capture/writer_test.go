package capture

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"pgregory.net/rapid"
)

func TestRoom(t *testing.T) {
	long := strings.Repeat("x", launch.MaxLine)
	tests := []struct {
		name        string
		size, limit int64
		open        bool
		p           string
		want        int
	}{
		{"fits", 3, 10, false, "1234567", 7},
		{"ends at the limit", 3, 10, false, "123456\n8\n", 7},
		{"last line end before the limit", 0, 10, false, "1\n2\n3456789\n", 4},
		{"line goes to the next", 3, 10, false, "12345678\n", 0},
		{"open line goes on", 3, 10, true, "12345678\n9\n", 9},
		{"first line goes on", 0, 10, false, "1234567890123\n4\n", 14},
		{"open line beyond the limit", 20, 10, true, "1\n2\n", 2},
		{"full", 20, 10, false, "1\n2\n", 0},
		{"long line", 0, 10, false, "1234567890" + long + "!", 10 + launch.MaxLine},
		{"long line, further on", 10 + launch.MaxLine - 1, 10, true, "12", 1},
		{"long line, cut", 10 + launch.MaxLine, 10, true, "12", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := room(tt.size, tt.limit, tt.open, []byte(tt.p)); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// TestRoomGoesOn checks that a chunk always gets somewhere, and that what does
// not fit whole ends with a line or is too long for one.
func TestRoomGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size, limit := rapid.Int64Range(0, 50).Draw(t, "size"), rapid.Int64Range(1, 40).Draw(t, "limit")
		open := size > 0 && rapid.Bool().Draw(t, "open")
		p := []byte(rapid.StringMatching(`[a\n]{1,60}`).Draw(t, "chunk"))
		n := room(size, limit, open, p)
		switch {
		case n < 0 || n > len(p):
			t.Fatalf("%d of %d bytes", n, len(p))
		case n == 0 && (size == 0 || open):
			t.Fatal("the next segment would begin within a line")
		case n > 0 && n < len(p) && p[n-1] != '\n':
			t.Fatalf("cut within a line, after %q", p[:n])
		case size+int64(n) > limit && bytes.Count(p[max(0, limit-size):n], []byte("\n")) > 1:
			t.Fatalf("%q goes more than a line beyond the limit", p[:n])
		}
	})
}

func newDir(t *testing.T, cfg Config) *Dir {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = t.TempDir()
	}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newWriter(t *testing.T, d *Dir, proc string, stream launch.Stream) *Writer {
	t.Helper()
	w, err := d.Writer(proc, stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func write(t *testing.T, w *Writer, text string) {
	t.Helper()
	if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

func fileNames(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestFilesHaveTheBytesAndNothingElse(t *testing.T) {
	d := newDir(t, Config{})
	w := newWriter(t, d, "p", launch.Stderr)
	newWriter(t, d, "silent", launch.Stdout)
	if got := fileNames(t, d.cfg.Path); got != "" {
		t.Errorf("got %s before the first byte", got)
	}
	write(t, w, "a\n\x00\xffb")
	if got, want := fileNames(t, d.cfg.Path), "p.stderr.0000000000000000.idx p.stderr.0000000000000000.log"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b, err := os.ReadFile(filepath.Join(d.cfg.Path, "p.stderr.0000000000000000.log"))
	if err != nil || string(b) != "a\n\x00\xffb" {
		t.Errorf("got %q, %v", b, err)
	}
	if s := w.Stats(); s != (Stats{Bytes: 5}) {
		t.Errorf("got %+v", s)
	}
}

func TestRotationKeepsMaxFiles(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 10, MaxFiles: 2, PackAfter: -1})
	w := newWriter(t, d, "p", launch.Stdout)
	for _, line := range []string{"line one\n", "line two\n", "line three\n", "line four\n"} {
		write(t, w, line)
	}
	names := "p.stdout.0000000000000018.idx p.stdout.0000000000000018.log p.stdout.0000000000000029.idx p.stdout.0000000000000029.log"
	if got := fileNames(t, d.cfg.Path); got != names {
		t.Errorf("got %s, want %s", got, names)
	}
	lines := collect(t, d.Reader(), Query{From: []Position{{Source: Source{"p", launch.Stdout}}}})
	if len(lines) != 3 || lines[0].Gap != (Gap{Bytes: 18, Reason: Removed}) || string(lines[1].Text) != "line three" || string(lines[2].Text) != "line four" {
		t.Errorf("got\n%s", text(lines))
	}
}

func TestRotatedSegmentsAreCompressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{MaxBytes: 100_000, PackAfter: time.Minute})
		w := newWriter(t, d, "p", launch.Stdout)
		line := strings.Repeat("0123456789", 100) + "\n"
		for range 250 {
			write(t, w, line)
		}
		<-time.After(59 * time.Second)
		synctest.Wait()
		if got := fileNames(t, d.cfg.Path); strings.Contains(got, packedExt) {
			t.Errorf("too early: %s", got)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		names := "p.stdout.0000000000000000.idx p.stdout.0000000000000000.zst p.stdout.0000000000099099.idx p.stdout.0000000000099099.zst" +
			" p.stdout.0000000000198198.idx p.stdout.0000000000198198.log"
		if got := fileNames(t, d.cfg.Path); got != names {
			t.Errorf("got  %s\nwant %s", got, names)
		}
		if info, err := os.Stat(d.file(segment{Source: w.source}, packedExt)); err != nil || info.Size() > 10_000 {
			t.Errorf("got %v, %v", info.Size(), err)
		}
		if got := readRaw(t, d.Reader(), Position{Source: w.source}); string(got) != strings.Repeat(line, 250) {
			t.Errorf("got %d bytes", len(got))
		}
		if got := collect(t, d.Reader(), Query{Tail: 120}); len(got) != 120 || got[0].Offset != 130*1001 {
			t.Errorf("got %d lines from %v", len(got), got[0].Position)
		}
	})
}

func TestOpenCleansUpAfterACrash(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{
		"p.stdout.0000000000000000.log", "p.stdout.0000000000000000.zst", "p.stdout.0000000000000000.idx", // before the plain file was removed
		"p.stdout.0000000000000009.log", "p.stdout.0000000000000009.tmp", // within compression
		"q.stdout.0000000000000000.idx", // within deletion
		"notes.txt",
	} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("whatever\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newDir(t, Config{Path: path, PackAfter: -1})
	want := "notes.txt p.stdout.0000000000000000.idx p.stdout.0000000000000000.log p.stdout.0000000000000009.log"
	if got := fileNames(t, path); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOneWriter(t *testing.T) {
	d := newDir(t, Config{})
	if _, err := Open(d.cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open: got %v", err)
	}
	w := newWriter(t, d, "p", launch.Stdout)
	if _, err := d.Writer("p", launch.Stdout); !errors.Is(err, ErrInUse) {
		t.Errorf("second Writer: got %v", err)
	}
	if err := d.Remove("p"); !errors.Is(err, ErrInUse) {
		t.Errorf("Remove: got %v", err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("Write: got %v", err)
	}
	newWriter(t, d, "p", launch.Stdout)
	if _, err := d.Writer("no/name", launch.Stdout); !errors.Is(err, id.ErrSyntax) {
		t.Errorf("bad name: got %v", err)
	}
	if _, err := d.Writer("p", 7); err == nil {
		t.Error("bad stream: got no error")
	}
}

func TestClose(t *testing.T) {
	d, err := Open(Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.Writer("p", launch.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err == nil {
		t.Error("closed before its writer, got no error")
	}
	if err := errors.Join(w.Close(), d.Close()); err != nil {
		t.Error(err)
	}
	if _, err := d.Writer("q", launch.Stdout); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestRemove(t *testing.T) {
	d := newDir(t, Config{})
	for _, proc := range []string{"p", "q"} {
		w := newWriter(t, d, proc, launch.Stdout)
		write(t, w, "hello\n")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Remove("p"); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Reader().Sources(); err != nil || len(got) != 1 || got[0].Proc != "q" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := d.Reader().Raw(Position{Source: Source{"p", launch.Stdout}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestRemoveForgetsCompression checks that a new proc has its files to itself,
// although those of an older one of its name were about to be compressed.
func TestRemoveForgetsCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{MaxBytes: 4, MaxFiles: 9})
		w := newWriter(t, d, "p", launch.Stdout)
		write(t, w, "old\nold\nold\n")
		synctest.Wait() // one of them has its turn, the other waits for it
		if err := errors.Join(w.Close(), d.Remove("p")); err != nil {
			t.Fatal(err)
		}
		w = newWriter(t, d, "p", launch.Stdout)
		write(t, w, "new\n")
		<-time.After(time.Minute)
		if got, want := fileNames(t, d.cfg.Path), "p.stdout.0000000000000000.idx p.stdout.0000000000000000.log"; got != want {
			t.Errorf("files %s, want %s", got, want)
		}
		write(t, w, "new\n")
		if got, want := shown(collect(t, d.Reader(), Query{})), "p new\np new\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

// TestDirectoryRemoved checks that no byte is lost when somebody, such as a
// cleaner of temporary files, has removed the directory.
func TestDirectoryRemoved(t *testing.T) {
	d := newDir(t, Config{Path: filepath.Join(t.TempDir(), "out")})
	if err := os.Remove(d.cfg.Path); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []launch.Stream{launch.Stdout, launch.Stderr} {
		w := newWriter(t, d, "p", stream)
		write(t, w, "hello\n")
		if got, want := w.Stats(), (Stats{Bytes: 6}); got != want {
			t.Errorf("stream %d: got %+v, want %+v", stream, got, want)
		}
	}
	if err := d.hold(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestDirectoryReplaced has somebody else who writes to a directory that was
// made in the place of ours: their files are not touched.
func TestDirectoryReplaced(t *testing.T) {
	d := newDir(t, Config{Path: filepath.Join(t.TempDir(), "out")})
	if err := os.Remove(d.cfg.Path); err != nil {
		t.Fatal(err)
	}
	other := newDir(t, d.cfg)
	write(t, newWriter(t, other, "p", launch.Stdout), "theirs\n")
	w, err := d.Writer("p", launch.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, "ours\n")
	if s := w.Stats(); s.Lost != 5 || !errors.Is(s.Err, ErrInUse) {
		t.Errorf("got %+v", s)
	}
	if err := w.Close(); !errors.Is(err, ErrInUse) {
		t.Errorf("Close: got %v", err)
	}
	if got, want := shown(collect(t, other.Reader(), Query{})), "p theirs\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestRealCloseUnlocks has a child that was being forked while the Dir was
// closed, and so still has its descriptor.
func TestRealCloseUnlocks(t *testing.T) {
	d, err := Open(Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	forked, err := syscall.Dup(int(d.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(forked)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	newDir(t, d.cfg)
}

// TestDiskFull follows one loss from the first byte that did not fit to the
// mark that readers see (PS-8).
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newFaulty()
		var log bytes.Buffer
		d, err := open(Config{Path: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}, files)
		if err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, d, "p", launch.Stdout)
		write(t, w, "before\n")
		begin := time.Now()
		files.room.Store(2)
		write(t, w, "no longer\n")
		files.heal()
		write(t, w, "too early to try again\n")
		if s := w.Stats(); s.Bytes != 9 || s.Lost != 31 || s.Err == nil {
			t.Errorf("got %+v", s)
		}
		<-time.After(time.Second)
		write(t, w, "after\n")
		if s := w.Stats(); s != (Stats{Bytes: 15, Lost: 31}) {
			t.Errorf("got %+v", s)
		}
		lines := collect(t, d.Reader(), Query{})
		if len(lines) != 4 || string(lines[1].Text) != "no" || !lines[1].Partial || string(lines[3].Text) != "after" {
			t.Fatalf("got\n%s", text(lines))
		}
		gap := lines[2]
		if gap.Gap.Bytes != 31 || gap.Gap.Reason != Lost || !gap.Gap.Since.Equal(begin) || !gap.Time.Equal(begin.Add(time.Second)) {
			t.Errorf("got %+v", gap)
		}
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "no space left") || !strings.Contains(got, "lost=31") {
			t.Errorf("log: %s", got)
		}
		if err := errors.Join(w.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseTellsOfALossThatNobodyWillSee(t *testing.T) {
	files := newFaulty()
	d, err := open(Config{Path: t.TempDir()}, files)
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.Writer("p", launch.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	files.broke.Store(true)
	write(t, w, "nobody hears this\n")
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "18 bytes lost") {
		t.Errorf("got %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestFilesTakenAway checks that a Writer finds out when somebody removes or
// truncates its files, and goes on with new ones.
func TestFilesTakenAway(t *testing.T) {
	for name, take := range map[string]func(d *Dir, s segment) error{
		"directory": func(d *Dir, _ segment) error { return os.RemoveAll(d.cfg.Path) },
		"data":      func(d *Dir, s segment) error { return os.Remove(d.file(s, plainExt)) },
		"index":     func(d *Dir, s segment) error { return os.Remove(d.file(s, indexExt)) },
		"bytes":     func(d *Dir, s segment) error { return os.Truncate(d.file(s, plainExt), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDir(t, Config{Path: filepath.Join(t.TempDir(), "out")})
				w := newWriter(t, d, "p", launch.Stdout)
				write(t, w, "one\n")
				if err := take(d, segment{Source: w.source}); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				write(t, w, "two\n")
				if s := w.Stats(); s != (Stats{Bytes: 8}) {
					t.Errorf("got %+v", s)
				}
				lines := collect(t, d.Reader(), Query{From: []Position{{Source: w.source}}})
				if n := len(lines); n != 2 || string(lines[1].Text) != "two" || lines[1].Offset != 4 {
					t.Fatalf("got\n%s", text(lines))
				}
				if first := lines[0]; name != "index" && first.Gap != (Gap{Bytes: 4, Reason: Removed}) || name == "index" && string(first.Text) != "one" {
					t.Errorf("got %+v", first)
				}
				if _, err := Open(d.cfg); !errors.Is(err, ErrInUse) {
					t.Errorf("the directory is not locked any more: %v", err)
				}
			})
		})
	}
}

// TestIndexIsBounded checks that an index does not outgrow its segment.
func TestIndexIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{MaxBytes: 40_000, MaxFiles: 1000, PackAfter: -1})
		w := newWriter(t, d, "p", launch.Stdout)
		for range 1000 {
			write(t, w, "x\n")
			<-time.After(100 * time.Millisecond)
		}
		entries, err := os.ReadDir(d.cfg.Path)
		if err != nil || len(entries) < 4 {
			t.Fatalf("got %d files, %v", len(entries), err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err != nil || info.Size() > 10_000+2*recordSize {
				t.Errorf("%s has %d bytes, %v", e.Name(), info.Size(), err)
			}
		}
		if lines := collect(t, d.Reader(), Query{}); len(lines) != 1000 {
			t.Errorf("got %d lines", len(lines))
		}
	})
}

// TestNoTryWithinTheInterval checks that a broken disk costs no time per chunk.
func TestNoTryWithinTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newFaulty()
		files.broke.Store(true)
		d, err := open(Config{Path: t.TempDir()}, files)
		if err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, d, "p", launch.Stdout)
		for range 1000 { // ten seconds
			write(t, w, "x\n")
			<-time.After(10 * time.Millisecond)
		}
		if n := files.opened.Load(); n != 10 {
			t.Errorf("tried %d times, want 10", n)
		}
		files.heal()
		<-time.After(time.Second)
		write(t, w, "y\n")
		if got := collect(t, d.Reader(), Query{}); len(got) != 2 || got[0].Gap.Bytes != 2000 {
			t.Errorf("got\n%s", text(got))
		}
		if err := errors.Join(w.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
}
