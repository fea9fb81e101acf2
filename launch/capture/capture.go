package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Config says where output is kept and how much. Only Path is needed.
type Config struct {
	Path string // the directory; made if it does not exist

	// MaxBytes is the size of a segment before compression; 64 MiB if zero. A
	// segment is longer only by the rest of its last line, at most launch.MaxLine
	// bytes, and shorter if its index has grown to a quarter of MaxBytes.
	MaxBytes int64

	// MaxFiles is how many segments are kept of each stream, with the one that
	// is written; 5 if zero. One stream takes at most about 1.25 × MaxBytes × MaxFiles.
	MaxFiles int

	// PackAfter is how long a rotated segment stays before it is compressed; 10 s
	// if zero, never if negative. Segments that are deleted earlier cost nothing.
	PackAfter time.Duration

	// Retry is how long nothing is written after an error, and how often a
	// Writer looks whether its files are still there; 1 s if zero.
	Retry time.Duration

	Log *slog.Logger // is told once when bytes begin to be lost and once when that is over; nil: nobody is
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 20
	}
	if c.MaxFiles <= 0 {
		c.MaxFiles = 5
	}
	if c.PackAfter == 0 {
		c.PackAfter = 10 * time.Second
	}
	if c.Retry <= 0 {
		c.Retry = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// The errors to compare with.
var (
	// ErrInUse means that somebody else writes there: another process to the
	// directory, or another Writer to the stream.
	ErrInUse = errors.New("in use by another writer")

	// ErrClosed means that the Dir or the Writer is closed.
	ErrClosed = errors.New("capture is closed")
)

// Dir is a directory with captured output that this process writes. Its
// methods may be called concurrently. Its files stay when it is closed, and
// those of procs that have ended stay until Remove.
type Dir struct {
	cfg   Config
	files files
	bells bells // of the readers that follow
	pack  packer

	mu      sync.Mutex // guards the following
	writers map[Source]bool
	closed  bool

	holding sync.Mutex // guards the following; not taken with mu
	lock    *os.File   // the directory; its lock says that it is ours. Nil when we are closed
}

// Open makes the directory if need be (mode 0700) and locks it. The error
// wraps ErrInUse if another process writes there. The caller closes the Dir,
// after its writers.
func Open(cfg Config) (*Dir, error) { return open(cfg, system{}) }

func open(cfg Config, files files) (*Dir, error) {
	d := &Dir{cfg: cfg.withDefaults(), files: files, writers: map[Source]bool{}}
	lock, err := lockDir(cfg.Path)
	if err != nil {
		return nil, err
	}
	found, err := d.sweep()
	if err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	d.lock = lock
	d.pack.start(d, found)
	return d, nil
}

// lockDir makes the directory if it does not exist, and locks it.
func lockDir(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("capture %s: %w", path, err), f.Close())
	}
	return f, nil
}

// unlock gives the directory free at once. A mere Close does not: a child that
// is just being forked has the descriptor, and the lock, until its exec.
func unlock(f *os.File) error { return errors.Join(funlock(f), f.Close()) }

// sweep removes what an interrupted compression or deletion has left, and
// returns the rest. What cannot be removed does no harm.
func (d *Dir) sweep() (map[Source][]segment, error) {
	entries, err := os.ReadDir(d.cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	found := group(entries)
	have := map[string]bool{}
	for _, segs := range found {
		for _, s := range segs {
			have[s.name(indexExt)] = true
			if s.packed {
				continue
			}
			have[s.name(plainExt)] = true
		}
	}
	for _, e := range entries {
		s, ext, ok := parseName(e.Name())
		twice := ext == packedExt && have[s.name(plainExt)]
		alone := ext == indexExt && !have[e.Name()]
		if ok && (twice || alone || ext == tempExt) {
			_ = d.files.Remove(d.file(s, ext))
		}
	}
	return found, nil
}

func (d *Dir) file(s segment, ext string) string { return filepath.Join(d.cfg.Path, s.name(ext)) }

// Writer returns the writer of one stream of the proc called proc. The error
// wraps ErrInUse while another one is open, and ErrClosed. The caller closes
// the Writer.
func (d *Dir) Writer(proc string, stream launch.Stream) (*Writer, error) {
	source := Source{proc, stream}
	if err := source.check(); err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, fmt.Errorf("capture %v: %w", source, ErrClosed)
	case d.writers[source]:
		return nil, fmt.Errorf("capture %v: %w", source, ErrInUse)
	}
	d.writers[source] = true
	return &Writer{dir: d, source: source}, nil
}

func (d *Dir) release(source Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.writers, source)
}

// Remove deletes the files of a proc. Its positions mean nothing then: a new
// proc of that name begins at 0. The error wraps ErrInUse while one of its
// streams has a Writer.
func (d *Dir) Remove(proc string) error {
	var writers [2]*Writer // nobody else may begin to write meanwhile
	for i, stream := range [...]launch.Stream{launch.Stdout, launch.Stderr} {
		w, err := d.Writer(proc, stream)
		if err != nil {
			return err
		}
		defer d.release(w.source)
		writers[i] = w
	}
	d.pack.forget(proc)
	all, err := list(d.cfg.Path)
	if err != nil {
		return err
	}
	for _, w := range writers {
		err = errors.Join(err, d.remove(all[w.source]))
	}
	d.bells.ring(true)
	return err
}

// remove deletes segments. The order lets the packer see that the segment it
// works at is gone, see packer.replace.
func (d *Dir) remove(segs []segment) error {
	var errs []error
	for _, s := range segs {
		for _, ext := range []string{plainExt, packedExt, indexExt} {
			if err := d.files.Remove(d.file(s, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("capture: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// rotated is called by the writer of source after it has begun a segment.
func (d *Dir) rotated(source Source) {
	all, err := list(d.cfg.Path)
	segs := all[source]
	old := max(0, len(segs)-d.cfg.MaxFiles)
	if err = errors.Join(err, d.remove(segs[:old])); err != nil {
		d.cfg.Log.Warn("old output not removed", "source", source.String(), "error", err)
	}
	d.pack.addRotated(segs[old:])
}

// hold sees to it that the directory is there and ours: somebody may have
// removed it, and even made and locked another one in its place.
func (d *Dir) hold() error {
	d.holding.Lock()
	defer d.holding.Unlock()
	if d.lock == nil {
		return fmt.Errorf("capture %s: %w", d.cfg.Path, ErrClosed)
	}
	ours, err := d.lock.Stat()
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if there, err := os.Stat(d.cfg.Path); err == nil && os.SameFile(ours, there) {
		return nil
	}
	lock, err := lockDir(d.cfg.Path)
	if err != nil {
		return err
	}
	old := d.lock
	d.lock = lock
	return old.Close()
}

// letGo unlocks the directory.
func (d *Dir) letGo() error {
	d.holding.Lock()
	defer d.holding.Unlock()
	lock := d.lock
	d.lock = nil
	return unlock(lock)
}

// Reader returns a reader of d. Unlike one from NewReader it hears of new
// output directly from the writers. It may be used after Close.
func (d *Dir) Reader() *Reader {
	return &Reader{path: d.cfg.Path, watch: func(string) (*bell, error) { return d.bells.add(), nil }}
}

// Close stops the compression, waits for it and unlocks the directory. What
// was not compressed yet will be by the next Dir. It is an error to close a
// Dir before its writers.
func (d *Dir) Close() error {
	d.mu.Lock()
	open, closed := len(d.writers), d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	d.pack.stop()
	err := d.letGo()
	if open > 0 {
		err = errors.Join(err, fmt.Errorf("capture %s: closed before %d of its writers", d.cfg.Path, open))
	}
	return err
}
