package capture

import (
	"cmp"
	"container/heap"
	"context"
	"io"
)

// view merges the streams of one Read.
type view struct {
	dir     string
	watch   func(dir string) (*bell, error)
	query   Query
	bell    *bell              // nil if the query does not follow
	cursors map[Source]*cursor // nil for a stream that is over

	ready heads     // have a line
	idle  []*cursor // have none by now
	last  *cursor   // the line that was given out is its
	given int       // how many lines were given out since the idle ones were asked
}

// askAfter bounds how many lines of some streams are given out before others,
// which had none, are asked again.
const askAfter = 256

// next returns the next line; io.EOF if there is none and nobody follows.
func (v *view) next(ctx context.Context) (Line, error) {
	if c := v.last; c != nil {
		v.last = nil
		if err := v.ask(c); err != nil {
			return Line{}, err
		}
	}
	for {
		if ctx.Err() != nil {
			return Line{}, context.Cause(ctx)
		}
		if len(v.ready) == 0 || v.given >= askAfter {
			if err := v.askIdle(); err != nil {
				return Line{}, err
			}
		}
		if len(v.ready) > 0 {
			v.last = heap.Pop(&v.ready).(*cursor)
			v.given++
			return v.last.line, nil
		}
		if v.bell == nil {
			return Line{}, io.EOF
		}
		select {
		case <-v.bell.c:
		case <-ctx.Done():
		}
	}
}

// askIdle asks the streams that had no line, and those that are new.
func (v *view) askIdle() error {
	v.given = 0
	if v.bell != nil && v.bell.deaf.Load() {
		if err := v.listen(); err != nil {
			return err
		}
		v.bell.files.Store(true)
	}
	if v.bell != nil && v.bell.files.Swap(false) {
		if err := v.look(); err != nil {
			return err
		}
	}
	idle := v.idle
	v.idle = nil
	for _, c := range idle {
		if err := v.ask(c); err != nil {
			return err
		}
	}
	return nil
}

// listen gets a bell for the directory that is there now, instead of the one
// there may be for an older one.
func (v *view) listen() error {
	b, err := v.watch(v.dir)
	if err != nil {
		return err
	}
	if v.bell != nil {
		v.bell.stop()
	}
	v.bell = b
	return nil
}

// ask puts c where it belongs: to those with a line that the query wants, or
// to the idle ones, or away if it is beyond the end of the query.
func (v *view) ask(c *cursor) error {
	for {
		ok, err := c.advance()
		switch {
		case err != nil:
			return err
		case !ok && v.bell != nil && len(c.chain.segs) == 0: // perhaps there is a new stream of this name
			c.close()
			delete(v.cursors, c.chain.source)
			v.bell.ring(true)
			return nil
		case !ok && v.bell != nil:
			v.idle = append(v.idle, c)
			return nil
		case !ok:
			v.drop(c)
			return nil
		case c.line.Time.Before(v.query.Since):
			continue
		case !v.query.Until.IsZero() && c.line.Time.After(v.query.Until):
			v.drop(c)
			return nil
		}
		heap.Push(&v.ready, c)
		return nil
	}
}

// drop ends the reading of a stream.
func (v *view) drop(c *cursor) {
	v.cursors[c.chain.source] = nil
	c.close()
}

// look lists the files. Streams that were not there at first are read from
// their beginning.
func (v *view) look() error {
	all, err := list(v.dir)
	if err != nil {
		return err
	}
	query := v.query
	if v.cursors == nil {
		v.cursors = map[Source]*cursor{}
	} else {
		query = Query{}
	}
	for source, c := range v.cursors {
		switch {
		case c == nil || len(c.chain.segs) == 0: // once removed, it is read to its end, see ask
		case c.chain.replaced():
			c.chain.segs = nil
		default:
			c.chain.segs = all[source]
		}
	}
	for source, segs := range all {
		if _, known := v.cursors[source]; known || !v.query.wants(source) {
			continue
		}
		c, err := query.start(v.dir, source, segs)
		if err != nil {
			return err
		}
		if c.all = !v.query.Follow; c.all {
			c.chain.bound()
		}
		v.cursors[source] = c
		v.idle = append(v.idle, c)
	}
	return nil
}

func (v *view) close() {
	for _, c := range v.cursors {
		if c != nil {
			c.close()
		}
	}
	if v.bell != nil {
		v.bell.stop()
	}
}

// heads is a heap of cursors by the time of their lines.
type heads []*cursor

func (h heads) Len() int { return len(h) }

func (h heads) Less(i, j int) bool {
	return cmp.Or(h[i].line.Time.Compare(h[j].line.Time), compareSource(h[i].line.Source, h[j].line.Source)) < 0
}

func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push appends a cursor. It is for package heap.
func (h *heads) Push(c any) { *h = append(*h, c.(*cursor)) }

// Pop removes the last cursor. It is for package heap.
func (h *heads) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}
