// Package output reads what a process writes to stdout and stderr (PS-8, PS-9).
// It is the part of a launcher that lives with whoever wants the output.
package output

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// Output reads the two streams of one process. Open makes it; either Close or
// Read and Drain end it.
type Output struct {
	stdout, stderr stream
	readers        sync.WaitGroup // one per stream
}

// stream is one pipe from a process.
type stream struct {
	r, w *os.File
	tail *launch.Tail
	copy io.Writer   // nil, or gets every byte
	cut  atomic.Bool // somebody held the pipe open past the bound
}

// Open makes the pipes of a process. The write ends block, as programs expect;
// the read ends cost no thread.
func Open(spec launch.Spec) (*Output, error) {
	o := &Output{}
	if err := o.stdout.open(spec, launch.Stdout, spec.Stdout); err != nil {
		return nil, err
	}
	if err := o.stderr.open(spec, launch.Stderr, spec.Stderr); err != nil {
		o.stdout.r.Close()
		o.stdout.w.Close()
		return nil, err
	}
	return o, nil
}

func (s *stream) open(spec launch.Spec, which launch.Stream, all io.Writer) (err error) {
	var each func([]byte)
	if spec.Output != nil {
		each = func(line []byte) { spec.Output(which, line) }
	}
	s.tail, s.copy = launch.NewTail(spec.TailLines, each), all
	s.r, s.w, err = pipe()
	return err
}

// Writers returns the ends that the process gets as stdout and stderr.
func (o *Output) Writers() (stdout, stderr *os.File) { return o.stdout.w, o.stderr.w }

// CloseWriters closes our copies of the ends that the process has.
func (o *Output) CloseWriters() {
	o.stdout.w.Close()
	o.stderr.w.Close()
}

// Close closes the ends that Read would read.
func (o *Output) Close() {
	o.stdout.r.Close()
	o.stderr.r.Close()
}

// Read starts the readers; Drain waits for them.
func (o *Output) Read() {
	o.readers.Go(o.stdout.read)
	o.readers.Go(o.stderr.read)
}

// Drain lets the readers go on for bound and reports whether one of them had
// to be stopped then (PS-9).
func (o *Output) Drain(bound time.Duration) (cut bool) {
	end := time.Now().Add(bound)
	// An error means that the reader is done and has closed its end.
	_ = o.stdout.r.SetReadDeadline(end)
	_ = o.stderr.r.SetReadDeadline(end)
	o.readers.Wait()
	return o.stdout.cut.Load() || o.stderr.cut.Load()
}

// Tail returns the last lines of a stream. It may be called at any time.
func (o *Output) Tail(s launch.Stream) []string {
	if s == launch.Stderr {
		return o.stderr.tail.Lines()
	}
	return o.stdout.tail.Lines()
}

// LastWords returns the last lines of stderr as a record of an exit has them.
func (o *Output) LastWords() string { return strings.Join(o.Tail(launch.Stderr), "\n") }

// The buffer of a reader is small, since most processes say little, and large
// while one says much: then fewer and larger steps are half of the work. The
// pipe grows with the first large buffer, as far as the user's limit allows.
const (
	smallBuffer = 1 << 10
	largeBuffer = 256 << 10
	largePipe   = 1 << 20
	calm        = 64 // so many small reads in a row, and the buffer is small again
)

// read reads to the end of the stream.
func (s *stream) read() {
	defer s.r.Close()
	defer s.tail.Flush()
	buf := make([]byte, smallBuffer)
	for small := 0; ; {
		n, err := s.r.Read(buf)
		s.take(buf[:n])
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.cut.Store(!s.rest(buf))
			}
			return
		}
		switch {
		case n == len(buf) && n < largeBuffer:
			enlarge(s.r, largePipe)
			buf, small = make([]byte, largeBuffer), 0
		case n > smallBuffer:
			small = 0
		case len(buf) > smallBuffer:
			if small++; small == calm {
				buf = make([]byte, smallBuffer)
			}
		}
	}
}

// rest reads what the pipe still has when its time is up: the bound is for
// waiting, and what was written before is not to be lost because we are slow. It
// reports whether that was the end of the stream.
func (s *stream) rest(buf []byte) (ended bool) {
	_ = s.r.SetReadDeadline(time.Time{})
	for left := largePipe; left > 0; { // somebody may go on writing
		n, err := readNow(s.r, buf)
		s.take(buf[:n])
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		left -= n
	}
	return false
}

// errNothing is that there is nothing to read now.
var errNothing = errors.New("nothing to read")

// readNow reads what is there, and does not wait.
func readNow(f *os.File, buf []byte) (n int, err error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno error
	err = rc.Read(func(fd uintptr) bool {
		for n, errno = syscall.Read(int(fd), buf); errno == syscall.EINTR; {
			n, errno = syscall.Read(int(fd), buf)
		}
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errno == syscall.EAGAIN:
		return 0, errNothing
	case errno != nil:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// take hands on the next bytes. A writer that fails is to count that itself:
// the process must not suffer for it.
func (s *stream) take(p []byte) {
	if s.copy != nil && len(p) > 0 {
		_, _ = s.copy.Write(p)
	}
	_, _ = s.tail.Write(p) // never fails
}
