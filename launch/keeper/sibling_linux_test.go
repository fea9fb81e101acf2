package keeper

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
)

const siblingEnv = "HYPER_TEST_SIBLING"

// playParent starts a process that is not its child but its parent's, tells its
// number and in which cgroup both are, and ends.
func playParent(session bool) {
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "lifeline")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT, Setsid: session}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Print(cmd.Process.Pid, " ", ownCgroup())
	os.Exit(0)
}

// ownCgroup returns the path of our cgroup of version 2.
func ownCgroup() string {
	file, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(file)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return "no cgroup"
}

// TestRealSibling ends a process that has made another one a child of its own
// parent, the keeper: no orphan, and part of its tree all the same (PS-3).
func TestRealSibling(t *testing.T) {
	for _, where := range []string{"group", "session"} {
		t.Run("in its own "+where, func(t *testing.T) {
			l := New(Config{})
			defer closeLauncher(t, l)
			r, w := lifeline(t)
			said := make(chan string, 10)
			p, err := l.Launch(t.Context(), launch.Spec{
				Path: os.Args[0], Env: []string{siblingEnv + "=" + where}, Control: w,
				Output: func(_ launch.Stream, b []byte) { said <- string(b) },
			})
			if err != nil {
				t.Fatal(err)
			}
			e := p.Wait()
			w.Close()
			pid, group, _ := strings.Cut(<-said, " ")
			if where == "session" && group == ownCgroup() {
				t.Skip("without a cgroup it lives as long as the keeper")
			}
			if e.Code != 0 || e.Swept != 1 {
				t.Errorf("got %+v, want 1 process swept", e)
			}
			if _, err := os.Stat("/proc/" + pid); err == nil {
				t.Errorf("process %s was not reaped", pid)
			}
			awaitEnd(t, r)
		})
	}
}
