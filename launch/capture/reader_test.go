package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"pgregory.net/rapid"
)

// shown returns lines as "proc text", with "…" behind a partial one.
func shown(lines []Line) string {
	var b []byte
	for _, l := range lines {
		b = Format{}.Append(b, l)
	}
	return string(b)
}

func TestMergedInTimeOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{MaxBytes: 20, MaxFiles: 100})
		begin := time.Now()
		a, b, e := newWriter(t, d, "a", launch.Stdout), newWriter(t, d, "b", launch.Stdout), newWriter(t, d, "a", launch.Stderr)
		var want strings.Builder
		for i := range 20 {
			for _, w := range []*Writer{b, a, e} {
				line := fmt.Sprintf("%s %d\n", w.source.Proc, i)
				want.WriteString(line)
				write(t, w, line[2:])
				<-time.After(50 * time.Millisecond)
			}
		}
		r := d.Reader()
		if got := shown(collect(t, r, Query{})); got != want.String() {
			t.Errorf("got\n%swant\n%s", got, want.String())
		}
		middle := Query{Procs: []string{"a"}, Streams: []launch.Stream{launch.Stderr}, Since: begin.Add(time.Second), Until: begin.Add(2 * time.Second)}
		if got, want := shown(collect(t, r, middle)), "a 6\na 7\na 8\na 9\na 10\na 11\na 12\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if got, want := shown(collect(t, r, Query{Tail: 1})), "b 19\na 19\na 19\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if got := collect(t, r, Query{Procs: []string{"nobody"}}); got != nil {
			t.Errorf("got\n%s", shown(got))
		}
	})
}

// follower reads in a goroutine of its own and keeps what it got.
type follower struct {
	lines []Line
	err   error
	stop  context.CancelCauseFunc
	done  chan struct{}
}

var errEnough = errors.New("enough")

func follow(t *testing.T, r *Reader, q Query) *follower {
	ctx, stop := context.WithCancelCause(t.Context())
	f := &follower{stop: stop, done: make(chan struct{})}
	q.Follow = true
	go func() {
		defer close(f.done)
		for l, err := range r.Read(ctx, q) {
			if f.err = err; err == nil {
				l.Text = slices.Clone(l.Text)
				f.lines = append(f.lines, l)
			}
		}
	}()
	return f
}

func (f *follower) end(t *testing.T) {
	f.stop(errEnough)
	<-f.done
	if !errors.Is(f.err, errEnough) {
		t.Errorf("got %v, want the cause of ctx", f.err)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{MaxBytes: 8, MaxFiles: 100, PackAfter: time.Second})
		a := newWriter(t, d, "a", launch.Stdout)
		write(t, a, "0\n1\n")
		f := follow(t, d.Reader(), Query{Tail: 1})
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := shown(f.lines); got != want {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
			f.lines = nil
		}
		expect("a 1\n")
		write(t, a, "half a ")
		expect("")
		write(t, a, "line\nand more\n")
		expect("a half a line\na and more\n")
		b := newWriter(t, d, "b", launch.Stderr)
		write(t, b, "new\n")
		expect("b new\n")
		for range 10 { // rotation and compression
			<-time.After(time.Second)
			write(t, a, "12345678\n")
			expect("a 12345678\n")
		}
		write(t, a, "last words")
		expect("")
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		expect("a last words…\n")
		again := newWriter(t, d, "a", launch.Stdout)
		write(t, again, "back\n")
		expect("a back\n")
		f.end(t)
		if d.bells.some.Load() {
			t.Error("the reader still listens")
		}
	})
}

// TestFollowRemoved checks that a name can be used again under a follower.
func TestFollowRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{})
		f := follow(t, d.Reader(), Query{})
		for _, line := range []string{"first\n", "second\n"} {
			w := newWriter(t, d, "p", launch.Stdout)
			write(t, w, line)
			synctest.Wait()
			if err := errors.Join(w.Close(), d.Remove("p")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got, want := shown(f.lines), "p first\np second\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		f.end(t)
	})
}

// TestFollowReplaced has a stream removed and begun again before its reader
// looks: it reads the old one to its end, and then the new one.
func TestFollowReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, Config{})
		w := newWriter(t, d, "p", launch.Stdout)
		write(t, w, "first\n")
		f := follow(t, d.Reader(), Query{})
		synctest.Wait()
		if err := errors.Join(w.Close(), d.Remove("p")); err != nil {
			t.Fatal(err)
		}
		write(t, newWriter(t, d, "p", launch.Stdout), "second\n")
		synctest.Wait()
		if got, want := shown(f.lines), "p first\np second\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		f.end(t)
	})
}

// TestFollowAnotherDirectory has the directory removed and made again: a reader
// that hears no more of the old one listens to the new one.
func TestFollowAnotherDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []*bell
		stopped := 0
		d := newDir(t, Config{Path: filepath.Join(t.TempDir(), "out")})
		r := &Reader{path: d.cfg.Path, watch: func(string) (*bell, error) {
			b := newBell()
			b.stop = func() { stopped++ }
			heard = append(heard, b)
			return b, nil
		}}
		w := newWriter(t, d, "p", launch.Stdout)
		write(t, w, "one\n")
		f := follow(t, r, Query{})
		synctest.Wait()
		if err := os.RemoveAll(d.cfg.Path); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		write(t, w, "two\n")
		heard[0].deaf.Store(true)
		heard[0].ring(true)
		synctest.Wait()
		write(t, w, "three\n")
		if len(heard) != 2 || stopped != 1 {
			t.Fatalf("%d bells, of which %d were stopped", len(heard), stopped)
		}
		heard[1].ring(false)
		synctest.Wait()
		if got, want := shown(f.lines), "p one\np two\np three\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		f.end(t)
	})
}

// TestFollowOvertaken checks that a reader that is too slow is told so.
func TestFollowOvertaken(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 4, MaxFiles: 2, PackAfter: -1})
	w := newWriter(t, d, "p", launch.Stdout)
	write(t, w, "0000\n")
	var got []Line
	for l, err := range d.Reader().Read(t.Context(), Query{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		l.Text = slices.Clone(l.Text)
		got = append(got, l)
		if len(got) == 1 {
			for i := range 9 {
				write(t, w, fmt.Sprintf("000%d\n", i+1))
			}
		}
		if string(l.Text) == "0009" {
			break
		}
	}
	if want := "p 0000\np --- 35 bytes removed ---\np 0008\np 0009\n"; shown(got) != want {
		t.Errorf("got\n%swant\n%s", shown(got), want)
	}
}

// TestReadEnds checks that reading a stream that grows as it is read ends.
func TestReadEnds(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 1000})
	w := newWriter(t, d, "p", launch.Stdout)
	write(t, w, "x\nx\nhalf")
	n := 0
	for l, err := range d.Reader().Read(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, "y\n")
		if n++; n > 3 || l.Partial != (n == 3) {
			t.Fatalf("line %d: %+v", n, l)
		}
	}
	if n != 3 {
		t.Errorf("got %d lines", n)
	}
}

// TestFollowFlood checks that one stream that never pauses does not hide
// another one.
func TestFollowFlood(t *testing.T) {
	d := newDir(t, Config{})
	flood, quiet := newWriter(t, d, "flood", launch.Stdout), newWriter(t, d, "quiet", launch.Stdout)
	write(t, flood, strings.Repeat("x\n", 1000))
	n := 0
	for l, err := range d.Reader().Read(t.Context(), Query{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Proc == "quiet" {
			break
		}
		n++
		write(t, flood, "y\n")
		if n == 100 {
			write(t, quiet, "hello\n")
		}
		if n > 10*askAfter {
			t.Fatal("the quiet stream is not heard")
		}
	}
}

func TestTailOfAnUnfinishedLine(t *testing.T) {
	d := newDir(t, Config{})
	write(t, newWriter(t, d, "p", launch.Stdout), "a\nb\nc")
	if got, want := shown(collect(t, d.Reader(), Query{Tail: 2})), "p b\np c…\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestResumeFromPosition(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 10, MaxFiles: 100})
	w := newWriter(t, d, "p", launch.Stdout)
	write(t, w, "one\ntwo\nthree\nfour\n")
	var at string
	for l, err := range d.Reader().Read(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if at = l.Resume().String(); string(l.Text) == "two" {
			break
		}
	}
	p, err := ParsePosition(at)
	if err != nil || at != "p/stdout@8" {
		t.Fatalf("got %s, %v", at, err)
	}
	if got, want := shown(collect(t, NewReader(d.cfg.Path), Query{From: []Position{p}})), "p three\np four\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReadErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for name, q := range map[string]Query{"read": {}, "follow": {Follow: true}} {
		n := 0
		for _, err := range NewReader(missing).Read(t.Context(), q) {
			if n++; !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: got %d answers", name, n)
		}
	}
	d := newDir(t, Config{})
	write(t, newWriter(t, d, "p", launch.Stdout), "x\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	for _, err := range d.Reader().Read(ctx, Query{}) {
		if !errors.Is(err, errEnough) {
			t.Errorf("got %v", err)
		}
	}
}

// TestDamagedFile checks that one bad file hides neither the rest of its
// stream nor other streams.
func TestDamagedFile(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 4, PackAfter: -1})
	w := newWriter(t, d, "p", launch.Stdout)
	write(t, w, "one\ntwo\nthree\n")
	two := segment{Source: w.source, base: 4}
	if err := os.Rename(d.file(two, plainExt), d.file(two, packedExt)); err != nil { // no frame of zstd
		t.Fatal(err)
	}
	lines := collect(t, d.Reader(), Query{})
	if len(lines) != 3 || lines[1].Gap != (Gap{Bytes: 4, Reason: Damaged}) || lines[2].String() != "p three" {
		t.Errorf("got\n%s", text(lines))
	}
	in, err := d.Reader().Raw(Position{Source: w.source})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if b, err := io.ReadAll(in); err == nil || string(b) != "one\n" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestLongLine reads a line of 10 MB of zeros, as a wild pointer writes it.
func TestLongLine(t *testing.T) {
	d := newDir(t, Config{MaxBytes: 1 << 20, MaxFiles: 100})
	w := newWriter(t, d, "p", launch.Stdout)
	chunk := make([]byte, 64<<10)
	for range 160 {
		write(t, w, string(chunk))
	}
	write(t, w, "end\n")
	var n int
	var last Line
	for l, err := range d.Reader().Read(t.Context(), Query{}) {
		if err != nil || len(l.Text) > launch.MaxLine {
			t.Fatalf("got %d bytes, %v", len(l.Text), err)
		}
		n += len(l.Text)
		last = l
		last.Text = slices.Clone(l.Text)
	}
	if n != 10<<20+3 || last.Partial || string(last.Text) != "end" {
		t.Errorf("got %d bytes, ending with %.10q", n, last.Text)
	}
	if got := collect(t, d.Reader(), Query{Tail: 1}); len(got) != 161 {
		t.Errorf("the last line has %d pieces", len(got))
	}
}

// TestMaxLine reads lines about as long as a line may be.
func TestMaxLine(t *testing.T) {
	for n, want := range map[int]string{launch.MaxLine - 1: "65535", launch.MaxLine: "65536", launch.MaxLine + 1: "65536… 1"} {
		d := newDir(t, Config{})
		write(t, newWriter(t, d, "p", launch.Stdout), strings.Repeat("x", n)+"\n")
		var got []string
		for _, l := range collect(t, d.Reader(), Query{}) {
			length := fmt.Sprint(len(l.Text))
			if l.Partial {
				length += "…"
			}
			got = append(got, length)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d bytes: got %v, want %s", n, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 11, 12, 13e6, time.UTC)
	line := func(proc, text string) Line {
		return Line{Time: at, Position: Position{Source: Source{proc, launch.Stderr}}, Text: []byte(text)}
	}
	partial, gap := line("p", "so"), line("p", "")
	partial.Partial = true
	gap.Gap = Gap{Bytes: 5, Reason: Lost, Since: at.Add(-time.Second)}
	tests := []struct {
		f    Format
		l    Line
		want string
	}{
		{Format{}, line("trainer-12", "hi\r"), "trainer[12] hi\n"},
		{Format{}, line("trainer-x", ""), "trainer-x \n"},
		{Format{Width: 8}, line("p-3", "hi"), "p[3]     hi\n"},
		{Format{Streams: true, Time: "15:04:05.000"}, line("p", "hi"), "10:11:12.013 p err hi\n"},
		{Format{Label: func(string) (string, int, bool) { return "x", 7, true }}, line("p", "hi"), "x[7] hi\n"},
		{Format{}, partial, "p so…\n"},
		{Format{}, gap, "p --- 5 bytes lost between 2026-11-22T10:11:11.013Z and 2026-11-22T10:11:12.013Z ---\n"},
	}
	for _, tt := range tests {
		if got := string(tt.f.Append(nil, tt.l)); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	sources := []Source{{"a", launch.Stdout}, {"trainer-12", launch.Stdout}}
	if got := (Format{}).FitWidth(sources); got.Width != len("trainer[12]") {
		t.Errorf("got width %d", got.Width)
	}
}

// TestMergeKeepsStreams checks random writers: each stream in its order, the
// whole in the order of time.
func TestMergeKeepsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			d, err := Open(Config{Path: filepath.Join(t.TempDir(), "out"), MaxBytes: 50, MaxFiles: 1000, PackAfter: -1})
			if err != nil {
				rt.Fatal(err)
			}
			defer d.Close()
			var writers []*Writer
			for i := range 4 {
				w, err := d.Writer(fmt.Sprintf("p-%d", i), launch.Stdout)
				if err != nil {
					rt.Fatal(err)
				}
				defer w.Close()
				writers = append(writers, w)
			}
			total := rapid.IntRange(1, 40).Draw(rt, "lines")
			for i := range total {
				w := rapid.SampledFrom(writers).Draw(rt, "writer")
				_, _ = w.Write(fmt.Appendf(nil, "%d\n", i))
				<-time.After(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second}).Draw(rt, "pause"))
			}
			last := map[Source]int{}
			var before time.Time
			lines := collect(rt, d.Reader(), Query{})
			for _, l := range lines {
				var n int
				if _, err := fmt.Sscan(string(l.Text), &n); err != nil || n < last[l.Source] || l.Time.Before(before) {
					rt.Fatalf("%v %q after %d and %v: %v", l.Time, l.Text, last[l.Source], before, err)
				}
				last[l.Source], before = n, l.Time
			}
			if len(lines) != total {
				rt.Fatalf("got %d lines, want %d", len(lines), total)
			}
		})
	})
}
