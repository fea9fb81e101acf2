package probe

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestParseMessage(t *testing.T) {
	tests := []struct {
		text string
		want message
	}{
		{"", message{}},
		{"READY=1", message{ready: true}},
		{"READY=1\n", message{ready: true}},
		{"READY=1\nSTATUS=serving a=b\nMAINPID=7", message{ready: true, hasStatus: true, status: "serving a=b"}},
		{"STATUS=", message{hasStatus: true}},
		{"STATUS=a\x1b[2Jb\xff", message{hasStatus: true, status: "a�[2Jb�"}},
		{"READY=0", message{}},
		{"READY", message{}},
		{" READY=1", message{}},
		{"READY=1\nREADY=0", message{}},
		{"STOPPING=1", message{stopping: true}},
		{"WATCHDOG=1", message{alive: true}},
		{"WATCHDOG=trigger", message{trigger: true}},
		{"EXTEND_TIMEOUT_USEC=1500", message{patience: 1500 * time.Microsecond}},
		{"EXTEND_TIMEOUT_USEC=99999999999999999999999", message{patience: MaxPatience}},
		{"EXTEND_TIMEOUT_USEC=-1", message{}},
		{"EXTEND_TIMEOUT_USEC=5s", message{}},
		{"BARRIER=1", message{}},
	}
	for _, tt := range tests {
		if got := parseMessage([]byte(tt.text)); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.text, got, tt.want)
		}
	}
}

// FuzzParseMessage compares the parser with one that looks for each key by itself.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{"READY=1", "STATUS=\xff\nWATCHDOG=1", "EXTEND_TIMEOUT_USEC=18446744073709551615", "STOPPING=1\nREADY=1\n\n=", "WATCHDOG=trigger"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := parseMessage([]byte(text))
		lines := strings.Split(text, "\n")
		slices.Reverse(lines)
		last := func(key string) (string, bool) {
			i := slices.IndexFunc(lines, func(line string) bool { return line == key || strings.HasPrefix(line, key+"=") })
			if i < 0 {
				return "", false
			}
			return strings.TrimPrefix(strings.TrimPrefix(lines[i], key), "="), true
		}
		is := func(key, value string) bool {
			got, ok := last(key)
			return ok && got == value
		}
		want := message{
			ready: is("READY", "1"), stopping: is("STOPPING", "1"), alive: is("WATCHDOG", "1"), trigger: is("WATCHDOG", "trigger"),
			status: m.status, patience: m.patience,
		}
		_, want.hasStatus = last("STATUS")
		if m != want {
			t.Errorf("%q: got %+v, want %+v", text, m, want)
		}
		if !utf8.ValidString(m.status) || strings.ContainsFunc(m.status, unicode.IsControl) || m.patience < 0 || m.patience > MaxPatience {
			t.Errorf("%q: %+v is not fit to be shown", text, m)
		}
	})
}
