package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A fork of Go's lasts until the child has run its program, and holds meanwhile a
// thread, a processor of the runtime and the lock of all forks. So of a program
// that may hang, what is run first is the hop: a few instructions in memory, whose
// exec waits for nobody.
// They enter the working directory, run the program, and tell us if that
// failed. Whatever hangs then, on a dead network file system say, is a process of
// its own that can be killed, and holds nothing of ours.

// What the hop finds as its descriptors, next to what is for the program. The
// assembly knows the numbers.
const (
	hopTells = 4 // the pipe for the error; it is closed when the program runs
	hopImage = 5 // its own image
	hopSelf  = 6 // ours, if that is the program
)

// The same as paths that the child can run.
const (
	hopPath     = "/proc/self/fd/5"
	hopSelfPath = "/proc/self/fd/6"
)

// selfExe is our own image, as a child sees it that has run nothing yet.
const selfExe = "/proc/self/exe"

// openHop puts the image of the hop into memory. Where that cannot be done there
// is none, and an error is a want of descriptors or memory.
func openHop() (*os.File, error) {
	code := hopCode()
	if code == nil {
		return nil, nil
	}
	fd, err := unix.MemfdCreate("hyper-start", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, onlyWant(err)
	}
	f := os.NewFile(uintptr(fd), "hop")
	if _, err := f.Write(hopELF(code)); err != nil {
		return nil, errors.Join(onlyWant(err), f.Close())
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	if err != nil {
		return nil, errors.Join(onlyWant(err), f.Close())
	}
	return f, nil
}

// onlyWant drops errors that mean that something does not work here at all.
func onlyWant(err error) error {
	if wanting(err) {
		return err
	}
	return nil
}

// wanting reports whether err is a want of descriptors, memory or processes.
func wanting(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EAGAIN)
}

// hopELF makes a program of code: one segment that can be read and executed,
// which begins with the file's header.
func hopELF(code []byte) []byte {
	const (
		base    = 0x400000
		headers = 64 + 56
		page    = 64 << 10 // the largest that there is
	)
	machine := uint16(62) // x86-64
	if runtime.GOARCH == "arm64" {
		machine = 183
	}
	size := uint64(headers + len(code))
	le := binary.LittleEndian
	b := append(make([]byte, 0, size), "\x7fELF\x02\x01\x01"...) // 64 bits, little-endian
	b = append(b, make([]byte, 16-len(b))...)
	for _, v := range []uint16{2, machine} { // an executable
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1)
	for _, v := range []uint64{base + headers, 64, 0} { // entry, program headers, no sections
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 0, 0, 0} { // sizes, and one program header
		b = le.AppendUint16(b, v)
	}
	for _, v := range []uint32{unix.PT_LOAD, 4 | 1} { // readable, executable
		b = le.AppendUint32(b, v)
	}
	for _, v := range []uint64{0, base, base, size, size, page} {
		b = le.AppendUint64(b, v)
	}
	return append(b, code...)
}

// hopArgs are the arguments of the hop: where to go, what to run, and the
// program's own.
func hopArgs(dir, path string, argv []string) []string {
	return append([]string{dir, path}, argv...)
}

// hopErr reads what the hop has to tell, and nothing when the program runs, or
// the process has been killed before.
func hopErr(tells *os.File) error {
	var b [8]byte
	n, err := tells.Read(b[:])
	if n < len(b) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil
	}
	return unix.Errno(-int64(binary.NativeEndian.Uint64(b[:])))
}

// hopPipe makes the pipe from the hop to us. Neither end is inherited by others.
func hopPipe() (ours *os.File, theirs int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, -1, fmt.Errorf("pipe for the error of a start: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "start"), fds[1], nil
}
