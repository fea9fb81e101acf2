package capture

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Reader reads a directory of captured output, while others may write there.
// It holds nothing open between calls. Its methods may be called concurrently.
type Reader struct {
	path  string
	watch func(dir string) (*bell, error)
}

// NewReader returns a reader of the directory that some process captures to.
// It follows by inotify; on systems without that it looks five times a second.
func NewReader(path string) *Reader { return &Reader{path: path, watch: watch} }

// Query says what to read. The zero Query reads everything there is. A line
// longer than launch.MaxLine may be cut into other pieces when reading begins
// within it.
type Query struct {
	Procs   []string        // only these; all if empty
	Streams []launch.Stream // only these; both if empty

	Since time.Time  // only lines from then on; zero: from the beginning
	Until time.Time  // only lines up to then; zero: to the end
	Tail  int        // at most the last so many lines of each stream; 0: all
	From  []Position // the streams named here begin there, not before

	Follow bool // wait for more at the end, until ctx is over
}

// Sources returns the streams that have files, in order.
func (r *Reader) Sources() ([]Source, error) {
	all, err := list(r.path)
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Keys(all), compareSource), nil
}

func compareSource(a, b Source) int {
	return cmp.Or(cmp.Compare(a.Proc, b.Proc), cmp.Compare(a.Stream, b.Stream))
}

// Read returns the lines that q asks for and that were stored when the loop
// over them began, merged in the order of their times;
// lines of one stream stay in their order. What Follow finds later is merged
// as it comes, and a line is held back until it has ended. Streams that begin
// later are followed, too, also in a directory that somebody has made in the
// place of the first one. Two descriptors are open per stream.
//
// After an error, which is ctx's cause if ctx is over, there is nothing more.
// A stream that is not there is no error, a directory that is not there is.
func (r *Reader) Read(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		v, err := r.open(q)
		if err != nil {
			yield(Line{}, err)
			return
		}
		defer v.close()
		for {
			line, err := v.next(ctx)
			if err == io.EOF {
				return
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// Raw returns the stored bytes of one stream from an offset on: those of all
// runs, with nothing where bytes are missing. A damaged file is an error when it
// is reached. The error of Raw wraps fs.ErrNotExist if there is no such stream.
// The caller closes the reader; one goroutine may read.
func (r *Reader) Raw(from Position) (io.ReadCloser, error) {
	all, err := list(r.path)
	if err != nil {
		return nil, err
	}
	segs := all[from.Source]
	if len(segs) == 0 {
		return nil, fmt.Errorf("read %v in %s: %w", from.Source, r.path, fs.ErrNotExist)
	}
	return &raw{chain{dir: r.path, source: from.Source, segs: segs, pos: from.Offset, limit: math.MaxInt64}}, nil
}

// raw reads a chain and passes over what is missing.
type raw struct{ chain chain }

func (r *raw) Read(p []byte) (int, error) {
	for len(p) > 0 {
		n, skipped, err := r.chain.read(p)
		if n > 0 || skipped == 0 {
			return n, err
		}
		if r.chain.fault != nil {
			return 0, fmt.Errorf("read %v: %w", r.chain.source, r.chain.fault)
		}
	}
	return 0, nil
}

func (r *raw) Close() error {
	r.chain.close()
	return nil
}

// open prepares the streams that q asks for. The bell comes before the list,
// so that nothing falls between.
func (r *Reader) open(q Query) (*view, error) {
	v := &view{dir: r.path, watch: r.watch, query: q}
	if q.Follow {
		if err := v.listen(); err != nil {
			return nil, err
		}
	}
	if err := v.look(); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (q *Query) wants(s Source) bool {
	return (len(q.Procs) == 0 || slices.Contains(q.Procs, s.Proc)) &&
		(len(q.Streams) == 0 || slices.Contains(q.Streams, s.Stream))
}

// start returns a cursor at the first line that q asks for, or before it.
func (q *Query) start(dir string, source Source, segs []segment) (*cursor, error) {
	from := segs[0].base
	for _, p := range q.From {
		if p.Source == source {
			from = p.Offset
		}
	}
	if !q.Since.IsZero() {
		r, ok, err := lastBefore(dir, segs, func(r record) bool { return r.time >= q.Since.UnixNano() })
		if err != nil {
			return nil, err
		}
		if ok {
			from = max(from, r.offset)
		}
	}
	if q.Tail > 0 {
		return q.tail(dir, source, segs, from)
	}
	return newCursor(dir, source, segs, from)
}

// tail returns a cursor at the last lines, not before from.
func (q *Query) tail(dir string, source Source, segs []segment, from int64) (*cursor, error) {
	end, err := findEnd(dir, segs[len(segs)-1])
	if err != nil {
		return nil, err
	}
	end.cut()
	first := end.line - int64(q.Tail) // the number of the first line
	r, ok, err := lastBefore(dir, segs, func(r record) bool { return r.line > first || r.line == first && r.open })
	if err != nil {
		return nil, err
	}
	if !ok || r.offset < from {
		return newCursor(dir, source, segs, from)
	}
	c, err := newCursor(dir, source, segs, r.offset)
	for line := r.line; err == nil && line < first; line++ {
		err = c.passLine()
	}
	return c, err
}

// lastBefore returns the last record for which after does not hold.
func lastBefore(dir string, segs []segment, after func(record) bool) (record, bool, error) {
	for _, s := range slices.Backward(segs) {
		x, err := openIndex(dir, s)
		if err != nil {
			return record{}, false, err
		}
		_, r, ok, err := x.search(after)
		x.close()
		if ok || err != nil {
			return r, ok, err
		}
	}
	return record{}, false, nil
}
