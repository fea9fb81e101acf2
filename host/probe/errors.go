package probe

import (
	"fmt"
	"strings"
)

// NotReadyError reports that there was no more time to become ready.
type NotReadyError struct {
	Probe string // what was asked or awaited
	Tries int    // how often it was asked; 0 if the probe does not ask
	Last  error  // what was missing at last; nil if nothing is known
	Err   error  // why there was no more time: the cause of the context
}

func (e *NotReadyError) Error() string {
	var b strings.Builder
	b.WriteString(e.Probe + ": not ready")
	if e.Tries > 0 {
		fmt.Fprintf(&b, " after %s", times(e.Tries, "try", "tries"))
	}
	if e.Last != nil {
		fmt.Fprintf(&b, " (%v)", e.Last)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the cause of the context.
func (e *NotReadyError) Unwrap() error { return e.Err }

// FailedError reports that what had been well no longer is.
type FailedError struct {
	Probe  string // what was asked or awaited
	Misses int    // in a row
	Last   error  // the last of them
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("%s: %s in a row: %v", e.Probe, times(e.Misses, "miss", "misses"), e.Last)
}

// Unwrap returns the last miss.
func (e *FailedError) Unwrap() error { return e.Last }

func times(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
