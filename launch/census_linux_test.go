package launch

import (
	"strings"
	"testing"
)

func TestEnvironSize(t *testing.T) {
	stat := func(state, flags, from, to string) string {
		f := strings.Fields(strings.Repeat("1 ", 50))
		f[0], f[6], f[47], f[48] = state, flags, from, to
		return "7 (a) b) " + strings.Join(f, " ") + "\n"
	}
	tests := []struct {
		stat  string
		size  int
		known bool
	}{
		{stat("S", "4194560", "1000", "1300"), 300, true},
		{stat("R", "4194560", "1000", "1000"), 0, true},
		{stat("R", "4194560", "0", "0"), 0, false},      // in an exec
		{stat("Z", "4194564", "0", "0"), -1, true},      // its first thread has ended
		{stat("S", "2129984", "0", "0"), -1, true},      // of the kernel
		{"7 (sh) S 1 7 7 0 -1 4194560 1 2 3", 0, false}, // a kernel that does not tell
		{"", 0, false},
	}
	for _, tt := range tests {
		if size, known := environSize(tt.stat); size != tt.size || known != tt.known {
			t.Errorf("%q: got %d %v, want %d %v", tt.stat, size, known, tt.size, tt.known)
		}
	}
}

func FuzzEnvironSize(f *testing.F) {
	f.Add("7 (sh) S 1 7 7 0 -1 4194560")
	f.Add(")")
	f.Fuzz(func(t *testing.T, stat string) {
		if size, known := environSize(stat); !known && size < 0 {
			t.Errorf("%q: %d", stat, size)
		}
	})
}
