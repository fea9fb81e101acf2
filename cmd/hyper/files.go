package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// file is a file that is to be counted, as it was when it was listed.
type file struct {
	path     string
	size     int64
	modified time.Time
}

// listing is what there is to count.
type listing struct {
	dir     string // absolute, without symbolic links
	files   []file
	size    int64
	links   int     // symbolic links, which are not followed
	special int     // neither files nor directories
	failed  []error // what could not be listed
}

// list finds the regular files under dir. dir itself may be a symbolic link:
// whoever names it means what it leads to.
func list(ctx context.Context, dir string) (*listing, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	if info, err := os.Stat(root); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", dir)
	}
	l := &listing{dir: root}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		l.add(path, e, err)
		return ctx.Err()
	})
	if err != nil {
		return nil, context.Cause(ctx)
	}
	return l, nil
}

func (l *listing) add(path string, e fs.DirEntry, err error) {
	switch {
	case err != nil:
		l.failed = append(l.failed, err)
	case e.IsDir():
	case e.Type()&fs.ModeSymlink != 0:
		l.links++
	case !e.Type().IsRegular():
		l.special++
	default:
		info, err := e.Info()
		if err != nil {
			l.failed = append(l.failed, err)
			return
		}
		l.files = append(l.files, file{path, info.Size(), info.ModTime()})
		l.size += info.Size()
	}
}

// changed says what has happened to f since it was listed; "" is nothing.
func (f file) changed() string {
	info, err := os.Lstat(f.path)
	switch {
	case err != nil:
		return err.Error()
	case info.Size() != f.size:
		return fmt.Sprintf("it had %d bytes when it was listed, and %d now", f.size, info.Size())
	case !info.ModTime().Equal(f.modified):
		return "it was modified since it was listed"
	}
	return ""
}
