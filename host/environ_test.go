package host

import (
	"slices"
	"testing"
)

// TestInheritable: a proc does not hear what was said to us alone.
func TestInheritable(t *testing.T) {
	ours := []string{"NOTIFY_SOCKET=/ours", "A=NOTIFY_SOCKET=1", "LISTEN_FDS=1", "B="}
	got := Inheritable(ours)
	if want := []string{"A=NOTIFY_SOCKET=1", "B="}; !slices.Equal(got, want) || ours[0] != "NOTIFY_SOCKET=/ours" {
		t.Errorf("got %q of %q, want %q", got, ours, want)
	}
}

// TestEnviron puts layers over each other.
func TestEnviron(t *testing.T) {
	got := Environ("m", []string{"A=1", "B=2", "A=3"}, nil, []string{"B=4", "C=", "ODD", "HYPERACTOR_MARK=x"})
	if want := []string{"A=3", "B=4", "C=", "ODD", "HYPERACTOR_MARK=m"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Environ(""); got != nil {
		t.Errorf("of nothing: got %q", got)
	}
}
