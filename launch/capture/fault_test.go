package capture

import (
	"io/fs"
	"sync/atomic"
	"syscall"
)

// faulty is the file system with the faults of real ones.
type faulty struct {
	system
	room  atomic.Int64 // bytes that the disk has left
	broke atomic.Bool  // nothing can be opened or written
	limit atomic.Int64 // the size that a file may have

	opened atomic.Int64 // how often somebody tried to open a file
}

func newFaulty() *faulty {
	f := &faulty{}
	f.heal()
	return f
}

func (f *faulty) heal() {
	f.room.Store(1 << 40)
	f.limit.Store(1 << 40)
	f.broke.Store(false)
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	f.opened.Add(1)
	if f.broke.Load() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	inner, err := f.system.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{inner, f}, nil
}

type faultyFile struct {
	file
	fs *faulty
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.broke.Load() {
		return 0, syscall.EIO
	}
	n, err := len(p), error(nil)
	if room := f.fs.room.Load(); int64(n) > room {
		n, err = int(room), syscall.ENOSPC
	}
	if limit := max(0, f.fs.limit.Load()-off); int64(n) > limit {
		n, err = int(limit), syscall.EFBIG
	}
	f.fs.room.Add(-int64(n))
	if m, werr := f.file.WriteAt(p[:n], off); werr != nil {
		return m, werr
	}
	return n, err
}
