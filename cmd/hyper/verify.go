package main

import (
	"context"
	"fmt"
	"sync/atomic"
)

// recount counts files in this process, one after the other, each in one go.
func recount(ctx context.Context, files []file, read *atomic.Int64) (*tally, []outcome, error) {
	total, s := &tally{}, &scanner{}
	outcomes := make([]outcome, len(files))
	for i, f := range files {
		p, err := s.readPiece(ctx, f.path, 0, noLimit)
		switch {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case err != nil:
			outcomes[i] = outcome{kind: unread, why: err.Error()}
		case p.Binary:
			outcomes[i] = outcome{kind: binary}
		default:
			outcomes[i] = outcome{kind: text, bytes: p.Bytes, words: s.tally.total}
			total.merge(&s.tally)
		}
		read.Add(f.size)
	}
	return total, outcomes, nil
}

// maxDoubts is how many differences are told one by one.
const maxDoubts = 10

// compare returns why the count of the procs cannot be relied on; nothing if
// it is the same as the count in this process.
func compare(files []file, procs, here []outcome, procsTotal, total *tally) []string {
	var doubts []string
	differ := 0
	for i, f := range files {
		a, b := procs[i], here[i]
		if a.kind == b.kind && a.bytes == b.bytes && a.words == b.words {
			continue
		}
		if differ++; differ <= maxDoubts {
			doubts = append(doubts, fmt.Sprintf("%q: %v in a proc, %v in this process%s", f.path, a, b, because(f)))
		}
	}
	if differ > maxDoubts {
		doubts = append(doubts, fmt.Sprintf("and %d more files", differ-maxDoubts))
	}
	if w, found := procsTotal.differ(total); found {
		doubts = append(doubts, fmt.Sprintf("the word %q: %d times in the procs, %d times in this process", w, procsTotal.of(w), total.of(w)))
		if differ == 0 {
			doubts = append(doubts, changes(files)...)
		}
	}
	return doubts
}

// because explains a difference by what has happened to f, if anything has.
func because(f file) string {
	if c := f.changed(); c != "" {
		return "; " + c
	}
	return ""
}

// changes lists files that have changed.
func changes(files []file) []string {
	var all []string
	for _, f := range files {
		if c := f.changed(); c != "" && len(all) < maxDoubts {
			all = append(all, fmt.Sprintf("%q: %s", f.path, c))
		}
	}
	return all
}

// String says what became of a file.
func (o outcome) String() string {
	switch o.kind {
	case text:
		return fmt.Sprintf("%d words in %d bytes", o.words, o.bytes)
	case unread:
		return "unreadable (" + o.why + ")"
	}
	return o.kind.String()
}
