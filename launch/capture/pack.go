package capture

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// packer compresses the rotated segments of a Dir, one after the other, in a
// goroutine of its own.
type packer struct {
	dir  *Dir
	wg   sync.WaitGroup
	quit chan struct{}
	wake chan struct{} // has room for one: the queue has grown

	mu    sync.Mutex // guards the following, and the files while they change places
	queue []job
	now   segment // what is being compressed; the zero segment if nothing is, or if that has been removed
}

// job is a segment and when to compress it.
type job struct {
	segment
	due time.Time
}

// start starts the goroutine; what earlier processes have left comes first.
func (p *packer) start(d *Dir, found map[Source][]segment) {
	p.dir, p.quit, p.wake = d, make(chan struct{}), make(chan struct{}, 1)
	if d.cfg.PackAfter < 0 {
		return
	}
	for _, segs := range found {
		p.addRotated(segs)
	}
	p.wg.Go(p.run)
}

// stop ends the goroutine and waits for it.
func (p *packer) stop() {
	close(p.quit)
	p.wg.Wait()
}

// addRotated queues what there is to compress of a stream.
func (p *packer) addRotated(segs []segment) {
	for i, s := range segs {
		if i < len(segs)-1 && !s.packed {
			p.add(s)
		}
	}
}

// add queues a segment that is plain and will not grow any more.
func (p *packer) add(s segment) {
	if p.dir.cfg.PackAfter < 0 {
		return
	}
	p.mu.Lock()
	if !slices.ContainsFunc(p.queue, func(j job) bool { return j.segment == s }) {
		p.queue = append(p.queue, job{s, time.Now().Add(p.dir.cfg.PackAfter)})
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *packer) take() (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return job{}, false
	}
	j := p.queue[0]
	p.queue = p.queue[1:]
	p.now = j.segment
	return j, true
}

// forget drops all segments of a proc. Their names may be used again once that
// is done: nothing is put in their place or removed any more.
func (p *packer) forget(proc string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = slices.DeleteFunc(p.queue, func(j job) bool { return j.Proc == proc })
	if p.now.Proc == proc {
		p.now = segment{}
	}
}

func (p *packer) run() {
	for {
		j, ok := p.take()
		if !ok {
			select {
			case <-p.wake:
				continue
			case <-p.quit:
				return
			}
		}
		select {
		case <-time.After(time.Until(j.due)):
		case <-p.quit:
			return
		}
		switch err := p.pack(j.segment); {
		case errors.Is(err, ErrClosed):
			return
		case err != nil && !errors.Is(err, fs.ErrNotExist): // rotated away meanwhile
			p.dir.cfg.Log.Warn("output not compressed", "source", j.Source.String(), "error", err)
		}
	}
}

// pack replaces the file of s by a compressed one. After an error the file is
// as it was.
func (p *packer) pack(s segment) error {
	in, err := os.Open(p.dir.file(s, plainExt))
	if err != nil {
		return err
	}
	defer in.Close()
	temp := p.dir.file(s, tempExt)
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = compress(out, in, p.quit)
	if err == nil {
		err = out.Sync() // what the disk has of the plain file must not go before
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return p.replace(s, temp)
}

// replace puts temp into the place of the plain file. If that is gone by then,
// the segment has been deleted, and perhaps too early to find the packed file.
func (p *packer) replace(s segment, temp string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != s {
		return errors.Join(fs.ErrNotExist, os.Remove(temp))
	}
	if err := os.Rename(temp, p.dir.file(s, packedExt)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	err := os.Remove(p.dir.file(s, plainExt))
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, os.Remove(p.dir.file(s, packedExt)))
	}
	p.dir.bells.ring(true)
	return err
}

// compress copies in to out, block by block: between two blocks the readers of
// pipes get their turn, and quit is seen.
func compress(out io.Writer, in io.Reader, quit <-chan struct{}) error {
	zw, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	defer zw.Close()
	block := make([]byte, 128<<10)
	for {
		select {
		case <-quit:
			return ErrClosed
		default:
			runtime.Gosched()
		}
		n, err := in.Read(block)
		if _, err := zw.Write(block[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return zw.Close()
		}
		if err != nil {
			return err
		}
	}
}

// window bounds the memory that packing and unpacking take.
const window = 1 << 20

// unpack reads what compress wrote.
func unpack(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}
