package osproc

import (
	"strings"
	"testing"
)

func TestLastWords(t *testing.T) {
	long := "panic: oh dear\n" + strings.Repeat("goroutine\n", 149)
	tests := []struct{ name, stderr, crash, want string }{
		{"no crash", "bye", "", "bye"},
		{"all of it is there", "hello\npanic: oh dear\n", "panic: oh dear\n\ngoroutine 1", "hello\npanic: oh dear\n"},
		{"it went elsewhere", "hello", "panic: oh dear\n\ngoroutine 1\n", "panic: oh dear\n\ngoroutine 1"},
		{"too long", "goroutine", long, "panic: oh dear\n" + strings.Repeat("goroutine\n", 99) + "… and 50 more lines"},
	}
	for _, tt := range tests {
		if got := lastWords(tt.stderr, tt.crash); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
