package capture

import (
	"io/fs"
	"os"
)

// files is what a Writer needs of a file system.
type files interface {
	OpenFile(name string, flag int, perm fs.FileMode) (file, error)
	Stat(name string) (fs.FileInfo, error)
	Remove(name string) error
}

// file is an open file. What cannot be written whole is written as far as
// possible.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Close() error
}

// system is the file system of the operating system.
type system struct{}

func (system) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not a nil *os.File in the interface
	}
	return f, nil
}

func (system) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (system) Remove(name string) error { return os.Remove(name) }
