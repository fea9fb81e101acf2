package native

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// output reads what a process writes.
type output struct {
	stdout, stderr stream
	readers        sync.WaitGroup // one per stream
}

// stream is one pipe from a process.
type stream struct {
	r, w *os.File
	tail *launch.Tail
	cut  atomic.Bool // somebody held the pipe open past the bound
}

// newOutput makes the pipes of a process. The write ends block, as programs
// expect; the read ends cost no thread.
func newOutput(spec launch.Spec) (*output, error) {
	o := &output{}
	if err := o.stdout.open(spec, launch.Stdout); err != nil {
		return nil, err
	}
	if err := o.stderr.open(spec, launch.Stderr); err != nil {
		o.stdout.r.Close()
		o.stdout.w.Close()
		return nil, err
	}
	return o, nil
}

func (s *stream) open(spec launch.Spec, which launch.Stream) (err error) {
	var each func([]byte)
	if spec.Output != nil {
		each = func(line []byte) { spec.Output(which, line) }
	}
	s.tail = launch.NewTail(spec.TailLines, each)
	s.r, s.w, err = pipe()
	return err
}

func (o *output) closeWriters() {
	o.stdout.w.Close()
	o.stderr.w.Close()
}

func (o *output) closeReaders() {
	o.stdout.r.Close()
	o.stderr.r.Close()
}

// read starts the readers; drain waits for them.
func (o *output) read() {
	o.readers.Go(o.stdout.read)
	o.readers.Go(o.stderr.read)
}

// drain lets the readers go on for bound and reports whether one of them had
// to be stopped then (PS-9).
func (o *output) drain(bound time.Duration) (cut bool) {
	end := time.Now().Add(bound)
	// An error means that the reader is done and has closed its end.
	_ = o.stdout.r.SetReadDeadline(end)
	_ = o.stderr.r.SetReadDeadline(end)
	o.readers.Wait()
	return o.stdout.cut.Load() || o.stderr.cut.Load()
}

// read reads to the end of the stream. The buffer starts small, since most
// processes say little, and grows when one says much.
func (s *stream) read() {
	defer s.r.Close()
	defer s.tail.Flush()
	buf := make([]byte, 2<<10)
	for {
		n, err := s.r.Read(buf)
		_, _ = s.tail.Write(buf[:n]) // never fails
		if err != nil {
			s.cut.Store(!errors.Is(err, io.EOF))
			return
		}
		if n == len(buf) && n < 64<<10 {
			buf = make([]byte, 64<<10)
		}
	}
}
