package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// chain reads the bytes of one stream, from segment to segment.
type chain struct {
	dir    string
	source Source
	segs   []segment // as listed; the last one may grow
	pos    int64     // where the stream is read next
	limit  int64     // what lies behind is not read
	cur    *data     // open, at pos; nil if not
	fault  error     // why the last skip was necessary; nil if nothing was there
}

// bound sets limit to what is stored by now, so that a stream that is written
// faster than it is read has an end.
func (c *chain) bound() {
	last := c.segs[len(c.segs)-1]
	if info, err := os.Stat(filepath.Join(c.dir, last.name(plainExt))); err == nil {
		c.limit = last.base + info.Size()
	}
}

// read reads what comes next. If skipped is not zero, nothing was read, and
// that many bytes are not there any more. io.EOF means that there is no more yet.
// A segment that was removed while it is open is read to its end all the same.
func (c *chain) read(p []byte) (n int, skipped int64, err error) {
	for {
		if c.pos >= c.limit {
			return 0, 0, io.EOF
		}
		if c.cur == nil {
			i := at(c.segs, c.pos)
			if i < 0 {
				return c.skip(0)
			}
			if err := c.open(i); err != nil {
				return c.giveUp(i+1, err)
			}
			continue
		}
		next := at(c.segs, c.cur.seg.base) + 1
		q := p[:min(int64(len(p)), c.limit-c.pos)]
		if next < len(c.segs) {
			q = q[:min(int64(len(q)), c.segs[next].base-c.pos)]
		}
		n, err := 0, io.EOF
		if len(q) > 0 {
			n, err = c.cur.Read(q)
		}
		switch {
		case n > 0:
			c.pos += int64(n)
			return n, 0, nil
		case err != nil && err != io.EOF:
			return c.giveUp(next, fmt.Errorf("capture: %w", err))
		case err == io.EOF && next == len(c.segs):
			return 0, 0, io.EOF
		case err == io.EOF: // with the next one there it does not grow any more
			c.close()
			if c.segs[next].base > c.pos {
				return c.skip(next)
			}
		}
	}
}

// giveUp goes to the i-th segment because of err, or stays and fails if there
// is none.
func (c *chain) giveUp(i int, err error) (int, int64, error) {
	if i >= len(c.segs) {
		return 0, 0, fmt.Errorf("read %v: %w", c.source, err)
	}
	c.close()
	_, n, _ := c.skip(i)
	c.fault = err
	return 0, n, nil
}

// skip goes to the beginning of the i-th segment, if there is one.
func (c *chain) skip(i int) (int, int64, error) {
	c.fault = nil
	if i >= len(c.segs) {
		return 0, 0, io.EOF
	}
	n := c.segs[i].base - c.pos
	c.pos += n
	return 0, n, nil
}

// open opens the i-th segment at pos. It may have been compressed or removed
// since the listing; then cur stays nil, and the list is new.
func (c *chain) open(i int) error {
	d, err := openData(c.dir, c.segs[i], c.pos)
	if errors.Is(err, fs.ErrNotExist) {
		return c.relist(i)
	}
	if err == nil {
		c.cur = d
	}
	return err
}

// relist looks again, after the i-th segment was not there.
func (c *chain) relist(i int) error {
	all, err := list(c.dir)
	if err != nil {
		return err
	}
	gone, segs := c.segs[i], all[c.source]
	if slices.Contains(segs, gone) {
		return fmt.Errorf("capture: %s is listed but cannot be opened: %w", gone.name(""), fs.ErrNotExist)
	}
	c.segs = segs
	return nil
}

// replaced reports whether another file has the name of the one that is read:
// the stream was removed, and has begun again.
func (c *chain) replaced() bool {
	if c.cur == nil {
		return false
	}
	there, err := os.Stat(filepath.Join(c.dir, c.cur.seg.name(plainExt)))
	if err != nil {
		return false
	}
	here, err := c.cur.f.Stat()
	return err == nil && !os.SameFile(here, there)
}

func (c *chain) close() {
	if c.cur != nil {
		c.cur.Close()
		c.cur = nil
	}
}
