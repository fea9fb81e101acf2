package osproc

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// catchCrash has a crash of this very process written to a new file in memory,
// too. It returns nil if that cannot be done: then stderr has to do.
func catchCrash() *os.File {
	fd, err := unix.MemfdCreate(crashName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), crashName)
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		f.Close()
		return nil
	}
	return f
}

const crashName = "hyperactor-crash"

// openCrash opens the file that a child of ours has as a descriptor.
func openCrash(pid, fd int) *os.File {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	if name, err := os.Readlink(path); err != nil || !strings.HasPrefix(name, "/memfd:"+crashName) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	return f
}

// readCrash returns what was written, and closes the file.
func readCrash(f *os.File) string {
	if f == nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, maxCrash))
	return strings.ToValidUTF8(string(b), "?")
}
