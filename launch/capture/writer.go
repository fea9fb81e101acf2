package capture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// How often a chunk gets a record: after recordBytes, but not within
// recordMin, and in any case after recordMax.
const (
	recordMin   = time.Millisecond
	recordMax   = 50 * time.Millisecond
	recordBytes = 512
)

// Writer stores one stream of one run of a proc. One goroutine writes and
// closes; any may call Stats.
type Writer struct {
	dir    *Dir
	source Source

	at      place     // where the stream has come to
	known   bool      // at is: the files of earlier runs were looked at
	base    int64     // where the segment begins
	out     *output   // the segment; nil if there is none, or it cannot be written
	size    int64     // of its index
	started bool      // the start mark is stored
	noted   record    // the last record
	next    time.Time // when to look at the files again, or to try again
	closed  bool
	lost    record // a loss that is not stored yet: lost and since
	scratch []byte

	mu    sync.Mutex // guards the following
	stats Stats
}

// output is the open files of a segment.
type output struct{ data, index file }

func (o *output) close() error { return errors.Join(o.data.Close(), o.index.Close()) }

// Stats is what a Writer has done so far.
type Stats struct {
	Bytes int64 // stored
	Lost  int64 // not stored
	Err   error // why nothing can be stored just now; nil if it can
}

// Stats returns the counts.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// Write stores p, in the order of calls and with the time of the call. It
// costs one system call of its own per chunk and never waits for anything but
// the file system. It takes all of p, whatever happens: what cannot be stored
// is lost, counted and marked. The only error is ErrClosed.
func (w *Writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, fmt.Errorf("capture %v: %w", w.source, ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	now := time.Now()
	n, files, err := w.store(now, p)
	w.account(now, n, len(p)-n, err)
	if n > 0 || files {
		w.dir.bells.ring(files)
	}
	return len(p), nil
}

// Close stores what is left to mark and closes the files. It returns an error
// if bytes were lost whose loss no reader will see.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	defer w.dir.release(w.source)
	err := w.finish(time.Now())
	if w.out != nil {
		err = errors.Join(err, w.out.close())
		w.out = nil
	}
	w.dir.bells.ring(false)
	if err != nil {
		return fmt.Errorf("capture %v: %w", w.source, err)
	}
	return nil
}

// finish stores the last marks.
func (w *Writer) finish(now time.Time) error {
	if w.lost.lost > 0 {
		w.next = time.Time{} // try once more, now
		_, err := w.ready(now)
		if err == nil {
			err = w.note(now)
		}
		if err != nil {
			return fmt.Errorf("%d bytes lost: %w", w.lost.lost, err)
		}
	}
	if w.out != nil && w.at.open {
		_ = w.mark(now, endMark) // without it the start of the next run ends the line
	}
	return nil
}

// store stores as much of p as possible and reports whether files were made.
func (w *Writer) store(now time.Time, p []byte) (n int, files bool, err error) {
	for n < len(p) {
		made, err := w.ready(now)
		files = files || made
		if err != nil {
			return n, files, err
		}
		limit := w.dir.cfg.MaxBytes
		stored := w.at.offset - w.base
		if w.size >= max(limit/4, 4096) {
			limit = min(limit, stored)
		}
		m := room(stored, limit, w.at.open, p[n:])
		if m > 0 {
			m, err = w.write(now, p[n:n+m])
			n += m
			if err == nil {
				continue
			}
			if !errors.Is(err, syscall.EFBIG) || w.at.offset-w.base < launch.MaxLine {
				return n, files, err
			}
			// A file may not be larger than this one: the next may be as large.
		}
		files = true
		if err := w.rotate(now); err != nil {
			return n, files, err
		}
	}
	return n, files, nil
}

// room returns how many bytes of p go into a segment that has size bytes and
// should have limit bytes at most; 0 if p begins the next one. A line is cut
// only if it goes on for more than launch.MaxLine bytes beyond the limit.
func room(size, limit int64, open bool, p []byte) int {
	free := limit - size
	if int64(len(p)) <= free {
		return len(p)
	}
	if free > 0 {
		if i := bytes.LastIndexByte(p[:free], '\n'); i >= 0 {
			return i + 1
		}
	}
	if !open && size > 0 {
		return 0
	}
	p = p[:min(int64(len(p)), max(0, free+launch.MaxLine))]
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return i + 1
	}
	return len(p)
}

// write stores the records that belong before p, and p.
func (w *Writer) write(now time.Time, p []byte) (int, error) {
	if err := w.note(now); err != nil {
		return 0, err
	}
	n, err := w.out.data.WriteAt(p, w.at.offset-w.base)
	w.at.feed(p[:n])
	return n, err
}

// note stores the records that are due. Marks have to be stored before any
// byte is; a chunk without a record of its own has the time of the one before.
func (w *Writer) note(now time.Time) error {
	if !w.started {
		if err := w.mark(now, startMark); err != nil {
			return err
		}
		w.started = true
	}
	if w.lost.lost > 0 {
		return w.mark(now, lossMark)
	}
	since, bytes := time.Duration(now.UnixNano()-w.noted.time), w.at.offset-w.noted.offset
	if since >= recordMax || since >= recordMin && bytes >= recordBytes {
		w.noted.time = now.UnixNano() // also if it fails: not again for each chunk
		_ = w.mark(now, chunk)
	}
	return nil
}

// mark stores a record.
func (w *Writer) mark(now time.Time, k kind) error {
	r := record{kind: k, place: w.at, time: max(now.UnixNano(), w.noted.time)}
	if k != chunk {
		r.cut()
	}
	if k == lossMark {
		r.lost, r.since = w.lost.lost, w.lost.since
	}
	w.scratch = r.append(w.scratch[:0])
	if _, err := w.out.index.WriteAt(w.scratch, w.size); err != nil {
		return err // what was written of it is overwritten by the next one
	}
	w.size += recordSize
	w.noted, w.at = r, r.place
	if k == lossMark {
		w.lost = record{}
	}
	return nil
}

// ready sees to it that there are files to write to, and reports whether it
// made them.
func (w *Writer) ready(now time.Time) (made bool, err error) {
	if now.Before(w.next) {
		if w.out == nil {
			return false, w.Stats().Err
		}
		return false, nil
	}
	w.next = now.Add(w.dir.cfg.Retry)
	if w.out != nil {
		if w.intact(w.out) {
			return false, nil
		}
		err := w.out.close()
		w.out = nil
		if err != nil {
			return false, err
		}
	}
	if err := w.dir.hold(); err != nil {
		return false, err
	}
	if !w.known {
		if err := w.resume(); err != nil {
			return false, err
		}
	}
	if w.reopen() {
		return false, nil
	}
	return true, w.create(now)
}

// intact reports whether the files are still where readers look for them.
func (w *Writer) intact(o *output) bool {
	s := segment{Source: w.source, base: w.base}
	size := w.at.offset - w.base
	return w.same(o.data, s.name(plainExt), size) && w.same(o.index, s.name(indexExt), -1)
}

func (w *Writer) same(f file, name string, size int64) bool {
	here, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := w.dir.files.Stat(w.dir.cfg.Path + "/" + name)
	return err == nil && os.SameFile(here, there) && (size < 0 || here.Size() == size)
}

// reopen opens the files of the current segment, if it is as it was left.
func (w *Writer) reopen() bool {
	if w.size == 0 {
		return false
	}
	o, err := w.open(os.O_RDWR)
	if err != nil {
		return false
	}
	if !w.intact(o) || o.index.Truncate(w.size) != nil { // what follows was torn, or speaks of bytes that never came
		_ = o.close() // nothing was written
		return false
	}
	w.out = o
	return true
}

func (w *Writer) open(flag int) (*output, error) {
	s := segment{Source: w.source, base: w.base}
	index, err := w.dir.files.OpenFile(w.dir.file(s, indexExt), flag, 0o600)
	if err != nil {
		return nil, err
	}
	data, err := w.dir.files.OpenFile(w.dir.file(s, plainExt), flag, 0o600)
	if err != nil {
		return nil, errors.Join(err, index.Close())
	}
	return &output{data, index}, nil
}

// create begins a segment: its index first, since readers look for the data.
func (w *Writer) create(now time.Time) error {
	w.base, w.size = w.at.offset, 0
	if err := w.dir.hold(); err != nil {
		return err
	}
	o, err := w.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC)
	if err != nil {
		return err
	}
	w.out = o
	if _, err := o.index.WriteAt([]byte(indexMagic), 0); err != nil {
		return err
	}
	w.size = int64(len(indexMagic))
	w.dir.rotated(w.source)
	return w.mark(now, chunk)
}

// rotate goes on in a new segment.
func (w *Writer) rotate(now time.Time) error {
	err := w.out.close()
	w.out = nil
	if err != nil {
		return err
	}
	return w.create(now)
}

// account counts, and after an error closes the files until it is time to try again.
func (w *Writer) account(now time.Time, stored, lost int, err error) {
	if lost > 0 {
		if w.lost.lost == 0 {
			w.lost.since = now.UnixNano()
		}
		w.lost.lost += int64(lost)
	}
	if err != nil && w.out != nil {
		_ = w.out.close() // the error that led here says more
		w.out, w.next = nil, now.Add(w.dir.cfg.Retry)
	}
	w.mu.Lock()
	before := w.stats
	w.stats.Bytes += int64(stored)
	w.stats.Lost += int64(lost)
	w.stats.Err = err
	total := w.stats.Lost
	w.mu.Unlock()
	switch log := w.dir.cfg.Log; {
	case before.Err == nil && err != nil:
		log.Warn("output is being lost", "source", w.source.String(), "error", err)
	case before.Err != nil && err == nil:
		log.Info("output is stored again", "source", w.source.String(), "lost", total)
	}
}
