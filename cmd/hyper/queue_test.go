package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQueueCountsEachFileOnce has procs die at any moment, and compares what
// was counted with what there was.
func TestQueueCountsEachFileOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.IntRange(1, 4), 0, 8).Draw(t, "pieces") // of each file
		files := make([]file, len(pieces))
		want := 0
		for i, n := range pieces {
			files[i].size = int64(10 * n)
			want += n
		}
		q := newQueue(files)
		for {
			it := q.take(context.Background())
			if it == nil {
				break
			}
			for last := false; !last; {
				if rapid.IntRange(0, 3).Draw(t, "dies") == 0 {
					q.putBack(it)
					break
				}
				c := counted{Piece: piece{Bytes: 10, Next: it.offset + 10}, Words: "a b", Counts: []uint64{2, 1}}
				if int(it.offset)/10 == pieces[it.n]-1 {
					c.Piece.Next = 0
				}
				var err error
				if last, err = q.add(it, c); err != nil {
					t.Fatal(err)
				}
			}
		}
		if q.total.of("a") != uint64(2*want) || q.total.total != int64(3*want) {
			t.Fatalf("%d times a, %d words, of %d pieces", q.total.of("a"), q.total.total, want)
		}
		if bytes, n := q.progress(); bytes != int64(10*want) || n != len(files) {
			t.Fatalf("progress: %d bytes, %d files", bytes, n)
		}
		for i, o := range q.outcomes {
			if o != (outcome{kind: text, bytes: int64(10 * pieces[i]), words: int64(3 * pieces[i])}) {
				t.Fatalf("file %d: %v", i, o)
			}
		}
	})
}

func TestQueueRefuses(t *testing.T) {
	one := counted{Piece: piece{Bytes: 1, Next: 1}, Words: "a", Counts: []uint64{1}}
	for name, test := range map[string]struct {
		do   func(q *queue, it *item) error
		want string
	}{
		"a file twice": {func(q *queue, it *item) error {
			q.finish(it, outcome{kind: binary})
			return q.finish(it, outcome{kind: text})
		}, "counted twice"},
		"a piece that does not go on": {func(q *queue, it *item) error {
			q.add(it, one)
			_, err := q.add(it, one)
			return err
		}, "a piece from 1 on ends at 1"},
		"fewer counts than words": {func(q *queue, it *item) error {
			_, err := q.add(it, counted{Words: "a b", Counts: []uint64{1}})
			return err
		}, errGarbled.Error()},
		"more counts than words": {func(q *queue, it *item) error {
			_, err := q.add(it, counted{Counts: []uint64{1}})
			return err
		}, errGarbled.Error()},
	} {
		q := newQueue([]file{{path: "f"}, {path: "g"}})
		if err := test.do(q, q.take(t.Context())); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// A file that turns out to be binary in a later piece has no words.
func TestQueueForgetsTheBeginningOfABinaryFile(t *testing.T) {
	q := newQueue([]file{{path: "f", size: 9}})
	it := q.take(t.Context())
	q.add(it, counted{Piece: piece{Bytes: 4, Next: 4}, Words: "a", Counts: []uint64{1}})
	if last, err := q.add(it, counted{Piece: piece{Binary: true}}); !last || err != nil {
		t.Fatal(last, err)
	}
	if bytes, _ := q.progress(); q.total.total != 0 || q.outcomes[0] != (outcome{kind: binary}) || bytes != 9 {
		t.Errorf("%d words, %v, %d bytes", q.total.total, q.outcomes[0], bytes)
	}
}

func TestQueueEndsWithCtx(t *testing.T) {
	q := newQueue([]file{{path: "f"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	q.take(ctx)
	cancel()
	if it := q.take(ctx); it != nil {
		t.Errorf("took %v", it)
	}
}
