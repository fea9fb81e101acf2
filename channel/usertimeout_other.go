//go:build !linux

package channel

import (
	"syscall"
	"time"
)

// setUserTimeout does nothing: keepalive and heartbeats find a peer that does
// not acknowledge.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
