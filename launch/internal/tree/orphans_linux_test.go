package tree

import (
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRealAdoptOnAnotherThread: orphans come to the first thread, so that
// nobody else can wait for them.
func TestRealAdoptOnAnotherThread(t *testing.T) {
	var both sync.WaitGroup
	met := make(chan struct{})
	try := func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		select { // two have a thread each at the same time: one of them is not the first
		case met <- struct{}{}:
		case <-met:
		}
		if unix.Gettid() == unix.Getpid() {
			return
		}
		if _, err := Adopt(); err == nil {
			t.Error("orphans are adopted on a thread that they do not come to")
		}
	}
	both.Go(try)
	both.Go(try)
	both.Wait()
}
