package shm

import (
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Segment is one piece of memory, in the process that writes it. Its methods
// may be called by anyone, but Close only when nobody uses the bytes.
type Segment struct {
	bytes []byte
	key   Key

	mu     sync.Mutex // guards the following
	fd     int        // -1 when it is closed
	closed bool
}

// seals are what makes a segment safe to read: it keeps its size for good.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// Make makes a segment of size bytes, which is a multiple of the page size.
// All its memory is there when Make returns. That takes a while, but nobody
// faults later.
func Make(size int) (*Segment, error) {
	if size < MinSize || size > MaxSize { // the kernel would go on until it kills somebody
		return nil, fmt.Errorf("make %d bytes of shared memory: want %d to %d: %w", size, MinSize, MaxSize, unix.EINVAL)
	}
	fd, err := unix.MemfdCreate("hyperactor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	s := &Segment{fd: fd}
	if err := s.fill(size); err != nil {
		s.CloseDescriptor()
		return nil, fmt.Errorf("make %d bytes of shared memory: %w", size, err)
	}
	return s, nil
}

func (s *Segment) fill(size int) error {
	if err := unix.Fallocate(s.fd, 0, 0, int64(size)); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(s.fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return err
	}
	s.key = Key{FD: uint32(s.fd), Size: uint64(size), Inode: st.Ino}
	var err error
	s.bytes, err = unix.Mmap(s.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return err
}

// Bytes returns the memory. It is there until Close.
func (s *Segment) Bytes() []byte { return s.bytes }

// Key returns what the reader must know.
func (s *Segment) Key() Key { return s.key }

// CloseDescriptor makes the segment impossible to open; who has it keeps it.
func (s *Segment) CloseDescriptor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

// Close gives the memory back; a reader that has it open keeps it. To close it
// again does nothing: the same addresses may be somebody else's by then.
func (s *Segment) Close() {
	s.CloseDescriptor()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		unix.Munmap(s.bytes)
	}
}

// Open maps the segment that key names in process pid, which must be told to
// us by the kernel, not by the peer. The bytes can be read until Close.
func Open(pid int, key Key) ([]byte, error) {
	b, err := open(pid, key)
	if err != nil {
		return nil, fmt.Errorf("open shared memory %+v of process %d: %w", key, pid, err)
	}
	return b, nil
}

func open(pid int, key Key) ([]byte, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("the process is in another namespace: %w", unix.ESRCH)
	}
	if key.Size < MinSize || key.Size > MaxSize {
		return nil, fmt.Errorf("want %d to %d bytes: %w", MinSize, MaxSize, unix.EINVAL)
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, key.FD)
	// O_PATH first: opening what is not memory could have an effect, or block.
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	if err := checkStat(at, key); err != nil {
		return nil, err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	// Only memory has seals, and with them its size is what was checked.
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, err
	}
	if got&seals != seals {
		return nil, fmt.Errorf("it has seals %#x, want %#x: %w", got, seals, unix.EPERM)
	}
	if err := checkStat(fd, key); err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, int(key.Size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
}

func checkStat(fd int, key Key) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Ino != key.Inode || uint64(st.Size) != key.Size {
		return fmt.Errorf("it is another file: mode %#o, inode %d, %d bytes: %w", st.Mode, st.Ino, st.Size, unix.EPERM)
	}
	return nil
}

// Close ends what Open began.
func Close(b []byte) { unix.Munmap(b) }

// PeerPID returns the process at the other end of a unix socket, as the kernel
// knows it, or 0.
func PeerPID(c syscall.Conn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}
