package launch

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestRealUnmarked asks for processes of all kinds.
func TestRealUnmarked(t *testing.T) {
	const marker = "UNMARKED_TEST=1"
	for _, env := range [][]string{{marker}, {"OTHER=" + strings.Repeat("x", 10000), marker}, {"OTHER=1"}, {}} {
		cmd := exec.Command("/bin/sh", "-c", "echo; read x")
		cmd.Env = env
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // the exec is over
			t.Fatal(err)
		}
		pid := cmd.Process.Pid
		has := len(env) > 0 && env[len(env)-1] == marker
		if Marked(pid, marker) != has || Unmarked(pid, marker) == has {
			t.Errorf("%.40q: marked %v, unmarked %v", env, Marked(pid, marker), Unmarked(pid, marker))
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if !Unmarked(pid, marker) || Marked(pid, marker) {
			t.Errorf("%.40q: not unmarked after its end", env)
		}
	}
	if Unmarked(os.Getpid(), "PATH=") && os.Getenv("PATH") != "" {
		t.Error("we have a PATH")
	}
}
