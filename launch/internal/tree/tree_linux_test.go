package tree

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// TestRealStolenUnknown has no pidfd that could be asked.
func TestRealStolenUnknown(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	lead := &Leader{PID: 42, fd: int(null.Fd())}
	e := lead.stolen(unix.ECHILD).Exit()
	if e.Kind != launch.Unknown || e.Code != 0 || e.Signal != 0 || !strings.Contains(e.Cause, "process 42") {
		t.Errorf("got %+v", e)
	}
}

func TestRealParseStat(t *testing.T) {
	tests := []struct {
		line string
		want stat
		ok   bool
	}{
		{"7 (sh) S 1 7 7 0 -1", stat{'S', 1, 7, 7, 0}, true},
		{"7 (a) T 1 (b) Z 1 70 700 0", stat{'Z', 1, 70, 700, 0}, true},
		{"7 (a b) t 1 -1 0 0", stat{'t', 1, -1, 0, 0}, true},
		{"7 (sh) S 1 70 700 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9", stat{'S', 1, 70, 700, 4711}, true},
		{"7 (sh) S 1 7", stat{}, false},
		{"7 (sh) S 1 x 7 0", stat{state: 'S', parent: 1, session: 7}, false},
		{"", stat{}, false},
		{")", stat{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseStat(tt.line); got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %+v %v, want %+v %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a) T 1 (b) Z 1 70 700 0")
	f.Add(")")
	f.Add(")\x00 0 0 0")
	f.Fuzz(func(t *testing.T, line string) {
		if st, ok := parseStat(line); ok && !letter(st.state) {
			t.Errorf("%q: accepted without a state", line)
		}
	})
}
