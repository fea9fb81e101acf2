package actor

import (
	"testing"
	"unsafe"
)

// What there may be a million of: an idle actor (AC-12), and a message that
// waits for one.
func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"an idle actor", unsafe.Sizeof(cell{}), 312},
		{"a waiting message of 8 bytes", unsafe.Sizeof(request[*agent, int, int]{}), 24},
	} {
		if tt.got > tt.want {
			t.Errorf("%s has %d bytes, at most %d are allowed", tt.name, tt.got, tt.want)
		}
	}
}
