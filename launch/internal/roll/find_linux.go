package roll

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// remote reports whether the kernel may have to wait for somebody else before it
// can run a program in a directory: unless both are known to lie on this machine.
// The interpreter of a script may lie anywhere.
func remote(dir, path string) bool {
	if dir != "" {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) != nil || !local(int64(fs.Type)) {
			return true
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return true // the start says what is wrong with it
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	var head [2]byte
	if unix.Fstatfs(fd, &fs) != nil || !local(int64(fs.Type)) {
		return true
	}
	_, err = unix.Pread(fd, head[:], 0)
	return err != nil || string(head[:]) == "#!"
}

// local reports whether a file system is of a kind that asks nobody else. Those
// made of others, as overlayfs is, do not count: nobody knows of which.
func local(kind int64) bool {
	switch kind {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.SQUASHFS_MAGIC, unix.EROFS_SUPER_MAGIC_V1:
		return true
	}
	return false
}
