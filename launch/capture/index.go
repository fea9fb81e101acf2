package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// index reads the index of one segment, which may be growing. A nil index is
// an empty one.
type index struct {
	f *os.File
}

// openIndex opens the index of s. A missing or foreign file is an empty index.
func openIndex(dir string, s segment) (*index, error) {
	f, err := os.Open(filepath.Join(dir, s.name(indexExt)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	magic := make([]byte, len(indexMagic))
	if _, err := f.ReadAt(magic, 0); err != nil || !bytes.Equal(magic, []byte(indexMagic)) {
		return nil, f.Close()
	}
	return &index{f}, nil
}

func (x *index) close() {
	if x != nil {
		x.f.Close()
	}
}

// len returns how many whole records there are by now.
func (x *index) len() (int, error) {
	if x == nil {
		return 0, nil
	}
	info, err := x.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("capture: %w", err)
	}
	return int(max(0, info.Size()-int64(len(indexMagic))) / recordSize), nil
}

// read appends the valid ones of the records i, i+1, …, at most n, to to, and
// returns how many records it passed.
func (x *index) read(to []record, i, n int) ([]record, int, error) {
	if x == nil {
		return to, 0, nil
	}
	b := make([]byte, n*recordSize)
	m, err := x.f.ReadAt(b, int64(len(indexMagic))+int64(i)*recordSize)
	if err != nil && err != io.EOF {
		return to, 0, fmt.Errorf("capture: %w", err)
	}
	passed := 0
	for b = b[:m]; len(b) >= recordSize; b = b[recordSize:] {
		if r, ok := decode(b); ok {
			to = append(to, r)
		}
		passed++
	}
	return to, passed, nil
}

// search returns the number of the first record for which after holds, and
// the valid record before it. Records for which after holds follow those for
// which it does not. What is not valid is passed over.
func (x *index) search(after func(record) bool) (i int, before record, ok bool, err error) {
	n, err := x.len()
	lo, hi := 0, n
	for lo < hi && err == nil {
		mid := int(uint(lo+hi) / 2)
		var r record
		var next int
		if r, next, err = x.valid(mid, hi); next == hi {
			hi = mid
		} else if after(r) {
			hi = mid
		} else {
			lo, before, ok = next+1, r, true
		}
	}
	return lo, before, ok, err
}

// valid returns the first valid record from i on and its number, or limit.
func (x *index) valid(i, limit int) (record, int, error) {
	for ; i < limit; i++ {
		recs, passed, err := x.read(nil, i, 1)
		if err != nil || passed == 0 {
			return record{}, limit, err
		}
		if len(recs) > 0 {
			return recs[0], i, nil
		}
	}
	return record{}, limit, nil
}
