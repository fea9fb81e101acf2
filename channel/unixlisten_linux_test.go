package channel

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRealListenWithoutDescriptors listens with one descriptor left, which is one
// too few: nothing remains that would be in the way of the next one.
func TestRealListenWithoutDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	warm, err := listenUnix(path) // the netpoller has its descriptors
	if err != nil {
		t.Fatal(err)
	}
	warm.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	lowest := uint64(f.Fd())
	f.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: lowest + 1, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	_, err = listenUnix(path)
	if rerr := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); rerr != nil {
		t.Fatal(rerr)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %v, want %v", err, unix.EMFILE)
	}
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left after Close")
	}
}
