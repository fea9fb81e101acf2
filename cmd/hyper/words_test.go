package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// slowCount is the definition of what a text contains, word by word.
func slowCount(text string) (counts map[string]uint64, isText bool) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, false
	}
	counts = map[string]uint64{}
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }) {
		if w = strings.Map(unicode.ToLower, w); len(w) <= maxWord {
			counts[w]++
		}
	}
	return counts, true
}

// aText draws texts with characters of all lengths, long words and, if it may
// be binary, what text does not have.
func aText(t *rapid.T) string {
	part := rapid.OneOf(
		rapid.StringOf(rapid.RuneFrom([]rune("abzABZ019_ -.\n\té߀ẞİ日𝔘\u0301٣ſ\ufffd"))),
		rapid.Just(strings.Repeat("x", maxWord)),
		rapid.Just(strings.Repeat("Y", maxWord+1)),
		rapid.Just(strings.Repeat("é", maxWord/2)+"z"),
		rapid.Custom(func(t *rapid.T) string { return strings.Repeat("ab ", rapid.IntRange(0, readSize/2).Draw(t, "n")) }),
		rapid.SampledFrom([]string{"", "", "\x00", "\xff", "\xe2\x82"}),
	)
	return strings.Join(rapid.SliceOfN(part, 0, 6).Draw(t, "parts"), "")
}

func TestPiecesCountLikeTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := aText(t)
		limit := rapid.Int64Range(1, 300).Draw(t, "limit")
		want, isText := slowCount(text)
		var s scanner
		var got tally
		var at, total int64
		for {
			var r io.Reader = strings.NewReader(text[at:])
			if rapid.Bool().Draw(t, "slow") && len(text) < 1000 {
				r = iotest.OneByteReader(r)
			}
			p, err := s.scanPiece(context.Background(), r, limit)
			if err != nil {
				t.Fatal(err)
			}
			if p.Binary {
				if isText {
					t.Fatalf("%q is binary, want text", text)
				}
				return
			}
			got.merge(&s.tally)
			total += p.Bytes
			if p.Next == 0 {
				break
			}
			if at += p.Next; p.Bytes != p.Next {
				t.Fatalf("%d bytes up to %d", p.Bytes, p.Next)
			}
		}
		if !isText {
			t.Fatalf("%q is text, want binary", text)
		}
		if total != int64(len(text)) {
			t.Fatalf("%d bytes, want %d", total, len(text))
		}
		sameCounts(t, &got, want)
	})
}

func sameCounts(t rapid.TB, got *tally, want map[string]uint64) {
	t.Helper()
	var sum uint64
	for w, n := range want {
		sum += n
		if got.of(w) != n {
			t.Fatalf("%q: %d times, want %d", w, got.of(w), n)
		}
	}
	if len(got.words) != len(want) || got.total != int64(sum) {
		t.Fatalf("%d words, %d distinct; want %d, %d", got.total, len(got.words), sum, len(want))
	}
}

func TestScanStops(t *testing.T) {
	var s scanner
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := s.scanPiece(ctx, strings.NewReader("a"), noLimit); err != stop {
		t.Errorf("with a ctx that is over: %v", err)
	}
	if _, err := s.scanPiece(t.Context(), iotest.ErrReader(io.ErrClosedPipe), noLimit); err != io.ErrClosedPipe {
		t.Errorf("with a file that cannot be read: %v", err)
	}
}

func TestTally(t *testing.T) {
	var a, b tally
	a.add("x", 2)
	a.add("y", 5)
	b.add("y", 5)
	b.addBytes([]byte("x"))
	if w, found := a.differ(&b); !found || w != "x" {
		t.Errorf("differ: %q %v", w, found)
	}
	b.addBytes([]byte("x"))
	if w, found := a.differ(&b); found {
		t.Errorf("differ in %q", w)
	}
	b.add("z", 1)
	if w, found := a.differ(&b); !found || w != "z" {
		t.Errorf("differ: %q %v, want z, which only one has", w, found)
	}
	b.add("w", 1)
	got := b.top(3)
	want := []wordCount{{"y", 5}, {"x", 2}, {"w", 1}}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("top: %v, want %v", got, want)
		}
	}
	b.reset()
	if b.of("y") != 0 || b.total != 0 || len(b.top(9)) != 0 {
		t.Error("there are words after reset")
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{"", "Ab_1 c\n", "\x00", "é\xff", strings.Repeat("a", 65), "日本 語"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s scanner
		p, err := s.scanPiece(t.Context(), iotest.HalfReader(bytes.NewReader(b)), noLimit)
		if err != nil {
			t.Fatal(err)
		}
		want, isText := slowCount(string(b))
		if p.Binary == isText {
			t.Fatalf("binary is %v", p.Binary)
		}
		if isText {
			sameCounts(t, &s.tally, want)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	text := strings.Repeat("func (t *tally) addBytes(word []byte) { // counts a word\n\treturn t.counts[i]\n", 1000)
	b.SetBytes(int64(len(text)))
	var s scanner
	for b.Loop() {
		if _, err := s.scanPiece(b.Context(), strings.NewReader(text), noLimit); err != nil {
			b.Fatal(err)
		}
	}
}
