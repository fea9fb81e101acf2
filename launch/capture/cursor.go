package capture

import (
	"bytes"
	"io"
	"math"

	"github.com/hyperactor/hyperactor/launch"
)

// cursor reads the lines of one stream.
type cursor struct {
	chain chain
	marks marks
	all   bool // at the end of what there is, an unfinished line counts

	buf   []byte // read, not passed yet
	used  int    // how much of buf has been passed
	at    int64  // the offset of buf[used]
	scan  int    // how many bytes behind at are known to be of one line
	now   int64  // the time of what is at at+scan
	began int64  // the time of what is at at
	gone  int64  // how many bytes behind buf are not there any more
	dry   bool   // there are no more records about buf

	line  Line
	ended bool // line is the last piece of its line
}

// newCursor returns a cursor at an offset. segs is not empty.
func newCursor(dir string, source Source, segs []segment, offset int64) (*cursor, error) {
	c := &cursor{chain: chain{dir: dir, source: source, segs: segs, pos: offset, limit: math.MaxInt64}, marks: marks{dir: dir}, at: offset}
	now, err := c.marks.seek(segs, offset)
	if err != nil {
		c.close()
		return nil, err
	}
	c.now = now
	return c, nil
}

func (c *cursor) close() {
	c.chain.close()
	c.marks.close()
}

// advance puts the next line into c.line. It is not ok if there is none by now.
func (c *cursor) advance() (ok bool, err error) {
	end := false // all that was stored has been read, and all records about it
	for {
		r, known, err := c.peek()
		switch {
		case err != nil:
			return false, err
		case known && r.offset <= c.at+int64(c.scan):
			if c.pass(r) {
				return true, nil
			}
			continue
		}
		if c.scan == 0 {
			c.began = c.now
		}
		rest := c.rest()
		if known && r.offset < c.at+int64(len(rest)) {
			rest = rest[:r.offset-c.at]
		}
		if c.within(rest) {
			return true, nil
		}
		if c.scan < len(c.rest()) {
			continue // to the record
		}
		if c.gone > 0 {
			c.jump()
			return true, nil
		}
		if end {
			return c.all && c.scan > 0 && c.emit(c.scan, 0), nil
		}
		if end, err = c.fill(); err != nil {
			return false, err
		}
	}
}

// passLine goes to the end of a line, or of what there is.
func (c *cursor) passLine() error {
	for {
		ok, err := c.advance()
		if err != nil || !ok || c.ended {
			return err
		}
	}
}

func (c *cursor) rest() []byte { return c.buf[c.used:] }

// peek returns the next record, if it is known and not behind what was read.
func (c *cursor) peek() (record, bool, error) {
	if c.dry && len(c.marks.queue) == 0 {
		return record{}, false, nil
	}
	r, ok, err := c.marks.peek(c.chain.segs)
	c.dry = !ok
	return r, ok && r.offset <= c.at+int64(len(c.rest())), err
}

// pass takes a record that has been reached, and reports whether that makes a
// line. A mark that ends a line is looked at again when that line is out.
func (c *cursor) pass(r record) bool {
	if r.kind != chunk && c.scan > 0 {
		return c.emit(c.scan, 0)
	}
	c.marks.take()
	c.now = max(c.now, r.time)
	if r.kind != lossMark {
		return false
	}
	c.emitGap(c.at, Gap{Bytes: r.lost, Reason: Lost, Since: stamp(r.since)})
	return true
}

// within looks for the end of the line in what follows scan.
func (c *cursor) within(rest []byte) bool {
	window := rest[:min(len(rest), launch.MaxLine+1)]
	if i := bytes.IndexByte(window[min(c.scan, len(window)):], '\n'); i >= 0 {
		return c.emit(c.scan+i, 1)
	}
	c.scan = max(c.scan, len(window))
	if c.scan > launch.MaxLine {
		c.emit(launch.MaxLine, 0)
		c.ended = false
		return true
	}
	return false
}

// emit makes a line of n bytes and its newline, if it has one. It returns true.
func (c *cursor) emit(n, newline int) bool {
	next := c.at + int64(n+newline)
	c.line = Line{
		Time: stamp(c.began), Position: Position{c.chain.source, c.at}, Next: next,
		Text: c.rest()[:n:n], Partial: newline == 0,
	}
	c.ended = true
	c.used += n + newline
	c.at, c.scan = next, 0
	return true
}

// jump goes over bytes that are not there any more; first it ends the line.
func (c *cursor) jump() {
	if c.scan > 0 {
		c.emit(c.scan, 0)
		return
	}
	reason := Removed
	if c.chain.fault != nil {
		reason = Damaged
	}
	c.emitGap(c.at+c.gone, Gap{Bytes: c.gone, Reason: reason})
	c.gone = 0
}

// emitGap makes a line of a gap and goes on behind it.
func (c *cursor) emitGap(next int64, gap Gap) {
	c.line = Line{Time: stamp(c.now), Position: Position{c.chain.source, c.at}, Next: next, Gap: gap}
	c.ended = false
	c.at = next
}

// fill reads more. At the end it asks for new records, too: after that, end is true.
func (c *cursor) fill() (end bool, err error) {
	if c.used > 0 {
		c.buf = c.buf[:copy(c.buf, c.rest())]
		c.used = 0
	}
	if n := len(c.buf); n == cap(c.buf) {
		bigger := make([]byte, n, max(32<<10, min(2*n, 2*launch.MaxLine)))
		copy(bigger, c.buf)
		c.buf = bigger
	}
	n, gone, err := c.chain.read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	c.gone, c.dry = gone, false
	if err == io.EOF {
		return true, nil
	}
	return false, err
}
