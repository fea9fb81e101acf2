//go:build !linux

package shm

import "syscall"

// Segment is one piece of memory, in the process that writes it. There is none
// on this system.
type Segment struct{}

// Make returns ErrUnsupported.
func Make(size int) (*Segment, error) { return nil, ErrUnsupported }

// Bytes returns nil.
func (*Segment) Bytes() []byte { return nil }

// Key returns the zero Key.
func (*Segment) Key() Key { return Key{} }

// CloseDescriptor does nothing.
func (*Segment) CloseDescriptor() {}

// Close does nothing.
func (*Segment) Close() {}

// Open returns ErrUnsupported.
func Open(pid int, key Key) ([]byte, error) { return nil, ErrUnsupported }

// Close does nothing.
func Close(b []byte) {}

// PeerPID returns 0.
func PeerPID(c syscall.Conn) int { return 0 }
