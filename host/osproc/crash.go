package osproc

import (
	"strconv"
	"strings"
)

// A Go program that crashes writes what happened first and every goroutine
// after that: the last lines of stderr, which an exit keeps, may no longer have
// the reason. So the child has its runtime write the crash to a file in memory
// as well, which the host holds open, too, and reads when the child has ended.

// crashLines is how many lines of a crash go into the record of an exit, and
// maxCrash how many bytes of it are looked at.
const (
	crashLines = 100
	maxCrash   = 64 << 10
)

// lastWords is the stderr of an exit, given its last lines and the crash, which
// may be empty. The beginning of the crash counts more than the end.
func lastWords(stderr, crash string) string {
	reason, _, _ := strings.Cut(crash, "\n")
	if reason == "" || strings.Contains(stderr, reason) {
		return stderr
	}
	lines := strings.Split(strings.TrimRight(crash, "\n"), "\n")
	if more := len(lines) - crashLines; more > 0 {
		lines = append(lines[:crashLines], "… and "+strconv.Itoa(more)+" more lines")
	}
	return strings.Join(lines, "\n")
}
