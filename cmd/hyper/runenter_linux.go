package main

import (
	"bytes"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// eachEnter calls pressed for each read of the terminal that ends a line, until
// the terminal is gone.
//
// A read in the background would stop us, and with us what our procs say: the
// kernel sends SIGTTIN, unless the reader has that signal blocked. Then the read
// fails, and is tried again when somebody has us continue, perhaps in front.
func eachEnter(fd int, pressed func()) {
	runtime.LockOSThread() // for good: the mask goes with the thread
	mask := unix.Sigset_t{}
	mask.Val[0] = 1 << (unix.SIGTTIN - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &mask, nil); err != nil {
		return
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err == unix.EIO:
			<-continued
		case n <= 0 || err != nil:
			return
		case bytes.IndexByte(buf[:n], '\n') >= 0:
			pressed()
		}
	}
}
