package keeper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shed gives back the pages of our image that this process has needed for its
// start only, and does not share with anybody then: a large program has much to
// initialise, of which guard and keeper use nothing. What is needed again comes
// from the page cache. Nothing is lost: a mapping that has been written to, be
// it by the loader, is left alone.
func shed() {
	image, err := os.Readlink(selfExe)
	if err != nil {
		return
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var from, to uint64 // the last mapping of the image that cannot be written
	for line := range strings.Lines(string(smaps)) {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case !strings.HasSuffix(f[0], ":"): // the first line of a mapping
			from, to = ofImage(f, image)
		case from < to && f[0] == "Anonymous:" && f[1] == "0":
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
		}
	}
}

// ofImage parses the first line of a mapping: addresses, mode, offset, device,
// inode, path. It returns nothing if that is not of the image or can be written.
func ofImage(f []string, image string) (from, to uint64) {
	if len(f) != 6 || f[5] != image || strings.Contains(f[1], "w") {
		return 0, 0
	}
	lo, hi, _ := strings.Cut(f[0], "-")
	from, err1 := strconv.ParseUint(lo, 16, 64)
	to, err2 := strconv.ParseUint(hi, 16, 64)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return from, to
}
