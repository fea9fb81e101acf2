package main

import (
	"context"
	"fmt"
	"sync"
)

// outcome is what became of a file.
type outcome struct {
	kind  kind
	bytes int64
	words int64
	why   string // it is unreadable
}

// kind is the kind of an outcome.
type kind uint8

const (
	pending kind = iota
	text
	binary
	unread
)

func (k kind) String() string {
	return [...]string{"not counted", "text", "binary", "unreadable"}[k]
}

// item is a file on its way through the queue. It belongs to whoever took it.
// What was counted of it stays with it when it is put back: only the piece in
// hand is counted again.
type item struct {
	file
	n      int   // its place in the listing
	offset int64 // how far it is counted
	found  []counted
	deaths int // procs that died over it by themselves
}

// queue hands out files, and takes what was found in them. Each file is
// finished once.
type queue struct {
	items chan *item // holds all that nobody has; closed when every file is finished

	mu       sync.Mutex // guards the following
	left     int
	read     int64 // bytes, of finished files and of pieces
	total    tally
	outcomes []outcome
}

func newQueue(files []file) *queue {
	q := &queue{items: make(chan *item, len(files)), left: len(files), outcomes: make([]outcome, len(files))}
	for i, f := range files {
		q.items <- &item{file: f, n: i}
	}
	if q.left == 0 {
		close(q.items)
	}
	return q
}

// take waits for a file that nobody has. It returns nil when all are finished,
// or ctx has ended.
func (q *queue) take(ctx context.Context) *item {
	if ctx.Err() != nil {
		return nil
	}
	select {
	case it := <-q.items:
		return it
	case <-ctx.Done():
		return nil
	}
}

// putBack gives up a file that was taken, for others to take.
func (q *queue) putBack(it *item) { q.items <- it } // there is room for all

// add keeps what a piece of it has, and reports whether that was the last one.
func (q *queue) add(it *item, c counted) (last bool, err error) {
	switch {
	case c.Piece.Binary:
		return true, q.finish(it, outcome{kind: binary})
	case c.Piece.Next != 0 && c.Piece.Next <= it.offset:
		return false, fmt.Errorf("%s: a piece from %d on ends at %d", it.path, it.offset, c.Piece.Next)
	}
	it.found = append(it.found, c)
	if c.Piece.Next != 0 {
		it.offset = c.Piece.Next
		q.mu.Lock()
		defer q.mu.Unlock()
		q.read += c.Piece.Bytes
		return false, nil
	}
	return true, q.finish(it, outcome{kind: text})
}

// finish adds what was found in it to the total.
func (q *queue) finish(it *item, o outcome) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.outcomes[it.n].kind != pending {
		return fmt.Errorf("%s was counted twice", it.path)
	}
	if o.kind == text {
		for _, c := range it.found {
			before := q.total.total
			if err := c.each(q.total.add); err != nil {
				return fmt.Errorf("%s: %w", it.path, err)
			}
			o.bytes += c.Piece.Bytes
			o.words += q.total.total - before
		}
	}
	q.outcomes[it.n] = o
	q.read += max(0, it.size-it.offset)
	if q.left--; q.left == 0 {
		close(q.items)
	}
	return nil
}

// progress returns how many bytes are done, and how many files.
func (q *queue) progress() (bytes int64, files int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.read, len(q.outcomes) - q.left
}
