package capture

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"pgregory.net/rapid"
)

// model is the slow obvious version of a stream: every byte that was written,
// when, and in which run.
type model struct {
	bytes []byte
	times []time.Time
	runs  []int
	run   int
}

func (m *model) write(p []byte) {
	for _, b := range p {
		m.bytes = append(m.bytes, b)
		m.times = append(m.times, time.Now())
		m.runs = append(m.runs, m.run)
	}
}

// check compares lines with what was written: every byte is there or told to
// be lost, lines end where they should, times are right. It returns which run
// each line is from, 0 for gaps.
func (m *model) check(t *rapid.T, lines []Line) []int {
	i := 0
	runs := make([]int, len(lines))
	for n, l := range lines {
		if l.Gap != (Gap{}) {
			if l.Gap.Reason != Lost || l.Gap.Bytes < 1 || i+int(l.Gap.Bytes) > len(m.bytes) {
				t.Fatalf("line %d: gap %+v at byte %d of %d", n, l.Gap, i, len(m.bytes))
			}
			last := i + int(l.Gap.Bytes)
			if got, want := l.Gap.Since, m.times[i]; !got.Equal(want) {
				t.Fatalf("line %d: lost since %v, want %v", n, got, want)
			}
			i = last
			continue
		}
		text := string(l.Text)
		if !l.Partial {
			text += "\n"
		}
		if len(text) == 0 || len(l.Text) > launch.MaxLine {
			t.Fatalf("line %d has %d bytes", n, len(l.Text))
		}
		if i+len(text) > len(m.bytes) || string(m.bytes[i:i+len(text)]) != text {
			t.Fatalf("line %d: got %.80q, want %.80q", n, text, m.bytes[i:])
		}
		if strings.IndexByte(text, '\n') >= 0 && strings.IndexByte(text, '\n') < len(text)-1 {
			t.Fatalf("line %d: %q are two", n, text)
		}
		if d := m.times[i].Sub(l.Time); d < 0 || d > recordMax {
			t.Fatalf("line %d: time is %v off", n, d)
		}
		first, after := m.runs[i], i+len(text)
		runs[n] = first
		if m.runs[after-1] != first {
			t.Fatalf("line %d: %q is of two runs", n, text)
		}
		whole := len(l.Text) == launch.MaxLine || after == len(m.bytes) || m.runs[after] != first || n+1 < len(lines) && lines[n+1].Gap != (Gap{})
		if l.Partial && !whole {
			t.Fatalf("line %d: %q was cut before %.20q", n, text, m.bytes[after:])
		}
		i = after
	}
	if i != len(m.bytes) {
		t.Fatalf("%d bytes are neither there nor lost: %.80q", len(m.bytes)-i, m.bytes[i:])
	}
	return runs
}

// collect reads all lines that q asks for.
func collect(t interface{ Fatal(...any) }, r *Reader, q Query) []Line {
	var lines []Line
	for l, err := range r.Read(context.Background(), q) {
		if err != nil {
			t.Fatal(err)
		}
		l.Text = bytes.Clone(l.Text)
		lines = append(lines, l)
	}
	return lines
}

func readRaw(t interface{ Fatal(...any) }, r *Reader, from Position) []byte {
	in, err := r.Raw(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestModel writes random chunks to a file system with faults, with crashes
// and restarts, and reads them in every way.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, testModel) // without Deadline, which a bubble does not have
	})
}

func testModel(t *rapid.T) {
	dir, err := os.MkdirTemp("", "capture")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	h := &harness{files: newFaulty(), cfg: Config{
		Path: dir, MaxFiles: 1 << 20,
		MaxBytes:  rapid.SampledFrom([]int64{1, 10, 100, 1000, 70 << 10}).Draw(t, "max"),
		PackAfter: rapid.SampledFrom([]time.Duration{-1, time.Millisecond, time.Minute}).Draw(t, "pack"),
		Log:       slog.New(slog.DiscardHandler),
	}}
	h.start(t)
	defer func() { h.dir.Close() }() // also if the test fails
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		h.step(t)
	}
	h.files.heal()
	<-time.After(2 * time.Second)
	h.write(t, []byte("the end\n"))
	h.stop(t)

	r := NewReader(dir)
	lines := collect(t, r, Query{})
	h.checkQueries(t, r, lines, h.check(t, lines))
}

// harness drives one stream.
type harness struct {
	model
	files *faulty
	cfg   Config
	dir   *Dir
	w     *Writer
	n     int
}

var source = Source{"worker.1", launch.Stdout}

func (h *harness) start(t *rapid.T) {
	var err error
	if h.dir, err = open(h.cfg, h.files); err != nil {
		t.Fatal(err)
	}
	if h.w, err = h.dir.Writer(source.Proc, source.Stream); err != nil {
		t.Fatal(err)
	}
	h.run++
}

func (h *harness) stop(t *rapid.T) {
	if err := h.w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.dir.Close(); err != nil {
		t.Fatal(err)
	}
}

// crash ends the writer as the end of its process does, after it has written
// some of its next record.
func (h *harness) crash(t *rapid.T) {
	if o := h.w.out; o != nil {
		torn := record{kind: chunk, place: h.w.at, time: h.w.noted.time}.append(nil)
		torn = torn[:rapid.IntRange(0, recordSize-1).Draw(t, "torn")]
		_, _ = o.index.WriteAt(torn, h.w.size)
		_ = o.close()
	}
	h.dir.pack.stop()
	_ = h.dir.lock.Close()
}

func (h *harness) write(t *rapid.T, p []byte) {
	if n, err := h.w.Write(p); n != len(p) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	h.model.write(p)
}

func (h *harness) step(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0, 1, 2, 3:
		h.write(t, h.chunk(t))
	case 4:
		d := rapid.SampledFrom([]time.Duration{1, time.Millisecond, 20 * time.Millisecond, time.Second, time.Hour}).Draw(t, "wait")
		<-time.After(d)
	case 5:
		h.files.room.Store(int64(rapid.IntRange(0, 200).Draw(t, "room")))
	case 6:
		h.files.broke.Store(true)
	case 7:
		h.files.limit.Store(rapid.SampledFrom([]int64{0, 60, 400, 66 << 10}).Draw(t, "limit"))
	case 8:
		h.files.heal()
	case 9:
		if h.w.lost.lost > 0 {
			return // a loss that was never marked is gone with its writer
		}
		if rapid.Bool().Draw(t, "crash") {
			h.crash(t)
		} else {
			h.stop(t)
		}
		h.start(t)
	}
}

// chunk returns bytes that are not found anywhere else.
func (h *harness) chunk(t *rapid.T) []byte {
	var b []byte
	for range rapid.IntRange(1, 3).Draw(t, "lines") {
		h.n++
		b = fmt.Appendf(b, "%d %s\n", h.n, strings.Repeat("x", rapid.SampledFrom([]int{0, 1, 50, 1000, 65530, 65536, 140_000}).Draw(t, "length")))
	}
	return b[:len(b)-rapid.IntRange(0, 2).Draw(t, "open")]
}

// checkQueries compares what queries find with what reading everything found.
func (h *harness) checkQueries(t *rapid.T, r *Reader, all []Line, runs []int) {
	i := rapid.IntRange(0, len(all)-1).Draw(t, "line")
	l := all[i]
	since := filter(all, func(o Line) bool { return !o.Time.Before(l.Time) })
	same(t, "since", aligned(all, collect(t, r, Query{Since: l.Time})), aligned(all, since))
	same(t, "until", collect(t, r, Query{Until: l.Time}), filter(all, func(o Line) bool { return !o.Time.After(l.Time) }))
	if i+1 < len(all) && all[i+1].Gap == (Gap{}) && l.Gap == (Gap{}) { // a gap at the position is told again
		same(t, "resume", collect(t, r, Query{From: []Position{l.Resume()}}), all[i+1:])
	}
	same(t, "tail", collect(t, r, Query{Tail: i + 1}), tail(all, runs, i+1))
	var stored []byte
	for _, l := range all {
		stored = append(stored, l.Text...)
		if !l.Partial && l.Gap == (Gap{}) {
			stored = append(stored, '\n')
		}
	}
	if got := readRaw(t, r, Position{Source: source}); !bytes.Equal(got, stored) {
		t.Fatalf("raw: got %d bytes, want %d", len(got), len(stored))
	}
	if got := readRaw(t, r, l.Position); !bytes.Equal(got, stored[l.Offset:]) {
		t.Fatalf("raw from %v: got %d bytes, want %d", l.Position, len(got), len(stored)-int(l.Offset))
	}
}

func filter(lines []Line, want func(Line) bool) (out []Line) {
	for _, l := range lines {
		if want(l) {
			out = append(out, l)
		}
	}
	return out
}

// aligned leaves out the first lines up to one that is not a later piece of a
// long line: where those are cut depends on where the reading begins.
func aligned(all, lines []Line) []Line {
	starts := map[int64]bool{0: true}
	for _, l := range all {
		if !l.Partial || len(l.Text) < launch.MaxLine {
			starts[l.Next] = true
		}
	}
	for len(lines) > 0 && !starts[lines[0].Offset] {
		lines = lines[1:]
	}
	return lines
}

// tail returns the last n whole lines, with the gaps in and before them.
func tail(lines []Line, runs []int, n int) []Line {
	for i := len(lines) - 1; i >= 0; i-- {
		l := lines[i]
		if l.Gap != (Gap{}) {
			continue
		}
		piece := i+1 < len(lines) && len(l.Text) == launch.MaxLine && l.Partial && runs[i+1] == runs[i]
		if piece {
			continue
		}
		if n--; n < 0 {
			return lines[i+1:]
		}
	}
	return lines
}

func same(t *rapid.T, what string, got, want []Line) {
	if text(got) != text(want) {
		t.Fatalf("%s: got\n%swant\n%s", what, text(got), text(want))
	}
}

func text(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%v %v-%d %.20q %v %v\n", l.Time.UnixNano(), l.Position, l.Next, l.Text, l.Partial, l.Gap)
	}
	return b.String()
}
