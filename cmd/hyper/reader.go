package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hyperactor/hyperactor/actor"
)

// reader is the actor that counts words. It keeps nothing from one message to
// the next but memory.
type reader struct{ scanner scanner }

// What a reader understands, and how one is made.
var (
	countWords = actor.On("demo.count", (*reader).Count)

	readerType = actor.Define("demo.reader", newReader, countWords)
)

// place is where to read. The path is bytes since file names need not be text.
type place struct {
	Path   []byte
	Offset int64
}

// counted is what a reader has found. The words are one string, with a space
// between two of them: they contain none.
type counted struct {
	Piece  piece
	Words  string
	Counts []uint64
}

// errUnreadable is what a reader says of a file that cannot be read.
var errUnreadable = unreadable{}

// unreadable keeps its identity on the way from one proc to another.
type unreadable struct{ err error }

func (u unreadable) Error() string   { return fmt.Sprint(u.err) }
func (unreadable) ErrorCode() string { return "demo.unreadable" }

func newReader(context.Context, actor.None) (*reader, error) { return &reader{}, nil }

// Count counts the words of a piece of a file.
func (r *reader) Count(ctx context.Context, at place) (counted, error) {
	p, err := r.scanner.readPiece(ctx, string(at.Path), at.Offset, pieceSize)
	switch {
	case ctx.Err() != nil:
		return counted{}, context.Cause(ctx) // it is the actor that ends
	case err != nil:
		return counted{}, unreadable{err}
	case p.Binary:
		return counted{Piece: p}, nil
	}
	return counted{Piece: p, Words: strings.Join(r.scanner.tally.words, " "), Counts: r.scanner.tally.counts}, nil
}

// each calls add for each word.
func (c *counted) each(add func(word string, n uint64)) error {
	i := 0
	for w := range strings.FieldsSeq(c.Words) {
		if i == len(c.Counts) {
			return errGarbled
		}
		add(w, c.Counts[i])
		i++
	}
	if i != len(c.Counts) {
		return errGarbled
	}
	return nil
}

var errGarbled = errors.New("a reply has not one count for each word")
