package launch

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// slowLines is what a Tail of n lines must keep of a whole stream, and all
// lines that it must report once the stream has ended.
func slowLines(stream string, n int) (kept, all []string) {
	parts := strings.Split(stream, "\n")
	for i, part := range parts {
		if last := i == len(parts)-1; last && part == "" {
			break
		}
		for len(part) > MaxLine {
			all = append(all, part[:MaxLine])
			part = part[MaxLine:]
		}
		all = append(all, part)
	}
	for bytes := 0; len(kept) < min(n, len(all)); {
		line := all[len(all)-1-len(kept)]
		if bytes += len(line); bytes > MaxTail {
			break
		}
		kept = append(kept, line)
	}
	slices.Reverse(kept)
	return kept, all
}

// checkTail feeds the chunks to a Tail and compares it with slowLines.
func checkTail(t interface{ Fatalf(string, ...any) }, n int, chunks []string) {
	var reported []string
	tail, silent := NewTail(n, func(line []byte) { reported = append(reported, string(line)) }), NewTail(n, nil)
	kept, all := slowLines(strings.Join(chunks, ""), n)
	for _, tail := range []*Tail{tail, silent} {
		for _, chunk := range chunks {
			if got, err := tail.Write([]byte(chunk)); got != len(chunk) || err != nil {
				t.Fatalf("Write: %d, %v", got, err)
			}
		}
		tail.Flush()
		if got := tail.Lines(); !slices.Equal(got, kept) {
			t.Fatalf("kept %d lines %.100q, want %d lines %.100q", len(got), got, len(kept), kept)
		}
	}
	if !slices.Equal(reported, all) {
		t.Fatalf("reported %d lines %.100q, want %d lines %.100q", len(reported), reported, len(all), all)
	}
}

func TestTailProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Pieces around the bounds, glued together without regard to lines.
		piece := rapid.OneOf(
			rapid.StringMatching(`[a-c\n]{0,20}`),
			rapid.Custom(func(t *rapid.T) string {
				n := MaxLine + rapid.IntRange(-2, 2).Draw(t, "off")
				return strings.Repeat("x", n) + rapid.SampledFrom([]string{"", "\n", "y", "\ny"}).Draw(t, "end")
			}),
			rapid.Custom(func(t *rapid.T) string {
				return strings.Repeat("z", rapid.IntRange(0, 3000).Draw(t, "n")) + "\n"
			}),
		)
		checkTail(t, rapid.IntRange(1, 12).Draw(t, "lines"), rapid.SliceOfN(piece, 0, 20).Draw(t, "chunks"))
	})
}

func FuzzTail(f *testing.F) {
	f.Add(3, 2, "a\nbb\n\nc")
	f.Add(1, 1, "\n")
	f.Add(100, 7, strings.Repeat("x", MaxLine+1)+"\n")
	f.Fuzz(func(t *testing.T, lines, size int, stream string) {
		if lines < 1 || lines > 1000 || size < 1 {
			t.Skip()
		}
		var chunks []string
		for c := range slices.Chunk([]byte(stream), size) {
			chunks = append(chunks, string(c))
		}
		checkTail(t, lines, chunks)
	})
}

func TestTailShowsTheOpenLine(t *testing.T) {
	tail := NewTail(2, nil)
	for _, step := range []struct{ write, want string }{
		{"a", "a"}, {"b\nc", "ab|c"}, {"\n", "ab|c"}, {"prompt> ", "c|prompt> "}, {"\n", "c|prompt> "},
	} {
		_, _ = tail.Write([]byte(step.write))
		if got := strings.Join(tail.Lines(), "|"); got != step.want {
			t.Errorf("after %q: got %q, want %q", step.write, got, step.want)
		}
	}
}

func TestTailMemory(t *testing.T) {
	tail := NewTail(1000, nil)
	long := bytes.Repeat([]byte("x"), 1000*MaxLine)
	_, _ = tail.Write(long)
	for range 1000 {
		_, _ = tail.Write([]byte("short\n"))
	}
	total := cap(tail.open)
	for _, slot := range tail.ring {
		total += cap(slot)
	}
	if total > 2*MaxTail {
		t.Errorf("holds %d bytes", total)
	}
}

func TestTailReadWhileWritten(t *testing.T) {
	tail := NewTail(3, nil)
	var readers sync.WaitGroup
	written := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				for _, line := range tail.Lines() {
					if !strings.HasPrefix("abcdef", line) {
						t.Errorf("torn line %q", line)
					}
				}
				select {
				case <-written:
					return
				default:
				}
			}
		})
	}
	for range 2000 {
		_, _ = tail.Write([]byte("abc"))
		_, _ = tail.Write([]byte("def\n"))
	}
	close(written)
	readers.Wait()
}

func BenchmarkTail(b *testing.B) {
	for _, line := range []string{"a line of output of the usual length, some sixty bytes of it\n", "y\n"} {
		b.Run(strconv.Itoa(len(line)), func(b *testing.B) {
			chunk := bytes.Repeat([]byte(line), 32<<10/len(line))
			tail := NewTail(100, nil)
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = tail.Write(chunk)
			}
		})
	}
}
