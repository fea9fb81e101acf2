package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"
)

// piece is what one reading of a file finds: its words up to some place
// between two words. The zero Next is the end of the file.
type piece struct {
	Bytes  int64
	Binary bool  // it is not text; nothing else is set then
	Next   int64 // where to go on
}

const (
	pieceSize = 1 << 20 // bytes that are counted at once, and lost with a proc
	noLimit   = math.MaxInt64
	readSize  = 64 << 10
)

// readPiece counts the words of a file, from offset on and until the first
// place between two words after limit bytes. They are in s.tally then.
func (s *scanner) readPiece(ctx context.Context, path string, offset, limit int64) (piece, error) {
	f, err := openRegular(path)
	if err != nil {
		return piece{}, err
	}
	defer f.Close()
	p, err := s.scanPiece(ctx, io.NewSectionReader(f, offset, noLimit-offset), limit)
	if err != nil {
		return piece{}, fmt.Errorf("read %s: %w", path, err)
	}
	if p.Next > 0 {
		p.Next += offset
	}
	return p, nil
}

// openRegular opens a regular file. It does not wait for the writer of a FIFO
// that has taken its place.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("is no longer a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// scanPiece is readPiece for what r reads.
func (s *scanner) scanPiece(ctx context.Context, r io.Reader, limit int64) (piece, error) {
	s.reset()
	buf, have := s.buf[:], 0
	for {
		if err := ctx.Err(); err != nil {
			return piece{}, context.Cause(ctx)
		}
		n, err := r.Read(buf[have:])
		have += n
		used, text := s.scan(buf[:have])
		have = copy(buf, buf[used:have])
		switch {
		case !text, err == io.EOF && have > 0: // half a character
			return piece{Binary: true}, nil
		case err == io.EOF:
			s.endWord()
			return piece{Bytes: s.pos}, nil
		case err != nil:
			return piece{}, err
		}
		at := s.pos
		if s.n > 0 {
			at = s.start // the word that is not over goes to the next piece
		}
		if s.pos >= limit && at > 0 {
			return piece{Bytes: at, Next: at}, nil
		}
	}
}
