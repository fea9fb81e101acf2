package cgroup

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix begins the name of a launcher's directory.
const prefix = "hyperactor-"

// newName returns a name for the directories of a launcher of this process.
func newName() string { return prefix + strconv.Itoa(os.Getpid()) + "-" + rand.Text() }

// makeGroup makes the directory of a group, in our directory in base. That one
// is made first if it is not there: a launcher that does not see our lock,
// because it is in another cgroup namespace, may have removed it while it was
// empty.
func (p *Parent) makeGroup(base, name string) (dir string, err error) {
	dir = filepath.Join(base, p.name, name)
	err = os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err = p.makeDir(base, p.name); err == nil {
			err = os.Mkdir(dir, 0o755)
		}
	}
	return dir, err
}

// makeDir makes a directory in base and holds its lock, after it has removed
// what launchers that have died left there.
func (p *Parent) makeDir(base, name string) error {
	removeStale(base)
	dir := filepath.Join(base, name)
	lock, err := makeLocked(dir)
	if err != nil {
		return err
	}
	p.dirs, p.locks = append(p.dirs, dir), append(p.locks, lock)
	return nil
}

// makeLocked makes a directory and takes its lock. In between, another launcher
// may take it for that of a dead one: it holds the lock for a moment, and removes
// the directory.
func makeLocked(dir string) (*os.File, error) {
	for {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		lock, err := lockDir(dir, unix.LOCK_EX)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, removeTree(dir))
		}
		locked, err := lock.Stat()
		if err == nil {
			var there fs.FileInfo
			if there, err = os.Stat(dir); err == nil && os.SameFile(there, locked) {
				return lock, nil
			}
		}
		lock.Close()
		if err != nil && ignoreMissing(err) != nil {
			return nil, errors.Join(err, removeTree(dir))
		}
	}
}

// removeStale removes the directories in base whose launchers have died: the
// kernel has released their locks. What cannot be removed stays, it has
// processes or is another user's.
func removeStale(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !isLaunchers(e.Name()) {
			continue
		}
		dir := filepath.Join(base, e.Name())
		if lock, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			_ = removeTree(dir)
			lock.Close()
		}
	}
}

// isLaunchers reports whether a launcher would make a directory with this name.
// Who else calls his hyperactor-something keeps it.
func isLaunchers(name string) bool {
	for _, p := range []string{prefix, leafPrefix} {
		if rest, ok := strings.CutPrefix(name, p); ok {
			pid, random, _ := strings.Cut(rest, "-")
			_, err := strconv.ParseUint(pid, 10, 31)
			return err == nil && random != ""
		}
	}
	return false
}

// lockDir takes the lock of a directory in the given way, until the file is
// closed.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	rc, err := f.SyscallConn()
	if err == nil {
		cerr := rc.Control(func(fd uintptr) {
			for err = unix.Flock(int(fd), how); err == unix.EINTR; {
				err = unix.Flock(int(fd), how)
			}
		})
		err = errors.Join(cerr, err)
	}
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	return f, nil
}

// removeTree removes a directory and those in it, all of which must be without
// processes. The files in them are the kernel's.
func removeTree(dir string) error {
	err := removeDir(dir)
	if !errors.Is(err, unix.EBUSY) {
		return ignoreMissing(err)
	}
	entries, rerr := os.ReadDir(dir)
	if rerr != nil {
		return ignoreMissing(rerr)
	}
	nested := false
	for _, e := range entries {
		if e.IsDir() {
			nested = true
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if nested {
		err = removeDir(dir)
	}
	return ignoreMissing(err)
}

// removeDir is os.Remove for what is a directory for sure: it tries no unlink.
func removeDir(dir string) error {
	if err := unix.Rmdir(dir); err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
