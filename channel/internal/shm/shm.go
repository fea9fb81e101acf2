// Package shm is memory that one process writes and another one on the same
// machine reads in place (MS-9): pieces of memory without a name or a file,
// which the kernel takes back when nobody has them mapped, whoever dies.
//
// The writer makes a Segment and tells the reader its Key. The reader opens it
// through /proc, for which it must be the same user, or root, and maps it
// read-only. A segment cannot shrink, so that reading it is safe whatever the
// writer does: the worst that it can do is to change the bytes.
//
// Arena keeps the books of the segments on the writer's side, Lodgings on the
// reader's. Both are pure: they say what is to be done.
package shm

import "errors"

// ErrUnsupported says that there is no such memory on this system.
var ErrUnsupported = errors.New("no shared memory on this system")

// Key is what the reader must know of a segment: how to find it in the
// writer's process, and how to be sure that it is the right one.
type Key struct {
	FD    uint32 // the writer's descriptor, open until the reader has answered
	Size  uint64 // bytes
	Inode uint64 // the identity of the memory itself: descriptors and processes are numbered again
}

// MinSize and MaxSize bound a segment.
const (
	MinSize = 256 << 10
	MaxSize = 1 << 30
)
