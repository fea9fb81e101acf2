package keeper

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// image is where the image of this process is mapped, as far as nothing of that
// was ever written to, be it by the loader.
type image []span

type span struct{ from, to uint64 }

// shed gives back what this process has needed and does not need while it
// waits: garbage, and the pages of its image that others do not share. A large
// program has much to initialise, of which guard and keeper use nothing, and a
// start touches a lot for a moment. What is needed again comes from the page
// cache.
func (i image) shed() {
	debug.FreeOSMemory()
	for _, s := range i {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(s.from), uintptr(s.to-s.from), unix.MADV_DONTNEED)
	}
}

// findImage finds out once what shed may give back.
func findImage() (i image) {
	path, err := os.Readlink(selfExe)
	if err != nil {
		return nil
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return nil
	}
	var last span // the last mapping of the image that cannot be written
	for line := range strings.Lines(string(smaps)) {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case !strings.HasSuffix(f[0], ":"): // the first line of a mapping
			last = ofImage(f, path)
		case last.from < last.to && f[0] == "Anonymous:" && f[1] == "0":
			i = append(i, last)
		}
	}
	return i
}

// ofImage parses the first line of a mapping: addresses, mode, offset, device,
// inode, path. It returns nothing if that is not of the image or can be written.
func ofImage(f []string, path string) (s span) {
	if len(f) != 6 || f[5] != path || strings.Contains(f[1], "w") {
		return span{}
	}
	lo, hi, _ := strings.Cut(f[0], "-")
	from, err1 := strconv.ParseUint(lo, 16, 64)
	to, err2 := strconv.ParseUint(hi, 16, 64)
	if err1 != nil || err2 != nil {
		return span{}
	}
	return span{from, to}
}
