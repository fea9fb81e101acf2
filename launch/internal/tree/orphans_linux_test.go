package tree

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// busyVariable asks a process of this binary for holdWhileBusy.
const busyVariable = "TREE_TEST_BUSY"

func TestMain(m *testing.M) {
	if os.Getenv(busyVariable) != "" {
		fmt.Println(holdWhileBusy())
		return
	}
	os.Exit(m.Run())
}

// holdWhileBusy takes the first thread while that is busy for a moment, as it
// can be with a collection of garbage on a loaded machine.
func holdWhileBusy() error {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		return nil // busy already
	}
	o, err := Adopt()
	if err != nil {
		return err
	}
	ended := make(chan error)
	go func() { ended <- o.Hold() }()
	pause := unix.NsecToTimespec(int64(200 * time.Millisecond))
	unix.Nanosleep(&pause, nil)
	runtime.UnlockOSThread()
	select {
	case <-o.Held():
		o.Release()
		return <-ended
	case err := <-ended:
		return err
	}
}

func TestRealHoldWaitsForTheFirstThread(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), busyVariable+"=1")
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "<nil>" {
		t.Errorf("%v: %s", err, got)
	}
}
