package cgroup

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openParent(t *testing.T) *Parent {
	t.Helper()
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func needGroup(t *testing.T, p *Parent, l Limits) *Group {
	t.Helper()
	g, err := p.New(l)
	if e, ok := errors.AsType[*LimitError](err); ok {
		t.Skip("no limits here: ", e)
	}
	if err != nil {
		t.Fatal(err)
	}
	if g == nil || g.v2 == "" {
		t.Skip("no cgroup of version 2 can be made here")
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Errorf("Remove: %v", err)
		}
	})
	return g
}

// start starts a script in the group; it lives until the returned pipe is closed.
func start(t *testing.T, g *Group, script string) (*exec.Cmd, io.Closer) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD()}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	return cmd, in
}

func TestRealKill(t *testing.T) {
	g := needGroup(t, openParent(t), Limits{})
	if !g.Empty() || g.PIDs() != nil || g.Late() || g.OOMKills() != 0 {
		t.Errorf("new, and not empty: %+v", g)
	}
	cmd, _ := start(t, g, "setsid /bin/sleep 1000 & /bin/sleep 1000 & echo ready; read x")
	if pids := g.PIDs(); len(pids) < 3 || !g.Has(cmd.Process.Pid) || g.Has(os.Getpid()) || g.Empty() {
		t.Errorf("got %v, %d is in it: %v", pids, cmd.Process.Pid, g.Has(cmd.Process.Pid))
	}
	if err := removeTree(g.v2); !errors.Is(err, unix.EBUSY) {
		t.Errorf("removed with processes in it: %v", err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
}

// TestRealRemoveWaits removes a group whose processes are dying.
func TestRealRemoveWaits(t *testing.T) {
	p := openParent(t)
	for range 20 {
		g := needGroup(t, p, Limits{})
		cmd, _ := start(t, g, "/bin/sleep 1000 & /bin/sleep 1000 & echo ready; read x")
		if err := g.Kill(); err != nil {
			t.Fatal(err)
		}
		dir := g.v2
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
		_ = cmd.Wait()
	}
}

// TestRealStale removes what a launcher has left that was killed, and nothing
// else.
func TestRealStale(t *testing.T) {
	p := openParent(t)
	g := needGroup(t, p, Limits{})
	name := func(s string) string { return filepath.Join(p.base, s+t.Name()) }
	dead, leaf, living, busy, foreign, like := name(prefix+"1-"), name(leafPrefix+"1-"), name(prefix+"2-"), name(prefix+"3-"), name("x-"), name(prefix+"web-")
	for _, dir := range []string{dead + "/1/2", dead + "/3", leaf, living, busy + "/1", foreign, like} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, dir := range []string{dead, leaf, living, busy, foreign, like} {
			if err := removeTree(dir); err != nil {
				t.Error(err)
			}
		}
	})
	lock, err := lockDir(living, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if again, err := lockDir(living, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		again.Close()
		t.Error("locked twice")
	}
	cmd, in := start(t, g, "echo ready; read x")
	if err := write(filepath.Join(busy, "1", "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	openParent(t)
	for dir, want := range map[string]bool{dead: false, leaf: false, living: true, busy: true, busy + "/1": true, foreign: true, like: true, g.v2: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: there: %v, want %v", dir, err == nil, want)
		}
	}
	in.Close()
	_ = cmd.Wait()
}

// TestRealRemovedByOthers loses its directory to somebody who has not seen the
// lock.
func TestRealRemovedByOthers(t *testing.T) {
	p := openParent(t)
	for _, l := range []Limits{{}, {PIDs: 10, Memory: 1 << 26}} {
		if err := needGroup(t, p, l).Remove(); err != nil {
			t.Fatal(err)
		}
		for _, dir := range p.dirs {
			if err := removeTree(dir); err != nil {
				t.Fatal(err)
			}
		}
		if g := needGroup(t, p, l); g.Remove() != nil || (l.PIDs > 0) != (g.bound || g.Late()) {
			t.Errorf("got %+v", g)
		}
	}
}

// TestRealCloseRemoves leaves nothing in any hierarchy.
func TestRealCloseRemoves(t *testing.T) {
	p := openParent(t)
	for _, l := range []Limits{{}, {PIDs: 10}, {Memory: 1 << 26, PIDs: 10}} {
		g := needGroup(t, p, l)
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}
	dirs := p.dirs
	if len(dirs) == 0 {
		t.Error("has made nothing")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	if g, err := p.New(Limits{}); g != nil || err != nil {
		t.Errorf("after Close: %v, %v", g, err)
	}
}

// TestRealExhausted has no descriptor left for the directory: that is an error,
// and not the lack of a cgroup.
func TestRealExhausted(t *testing.T) {
	p := openParent(t)
	needGroup(t, p, Limits{})
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	g, err := p.New(Limits{})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if g != nil || !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %v, %v", g, err)
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), "0") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestRealPrepared makes a directory ahead, which the next group gets, unless
// somebody has removed it.
func TestRealPrepared(t *testing.T) {
	p := openParent(t)
	needGroup(t, p, Limits{})
	for _, removed := range []bool{false, true} {
		p.Prepare()
		p.Prepare()
		ahead := filepath.Join(p.dir, strconv.Itoa(p.next))
		made, err := os.Stat(ahead)
		if err != nil {
			t.Fatal(err)
		}
		if removed {
			if err := os.Remove(ahead); err != nil {
				t.Fatal(err)
			}
		}
		g := needGroup(t, p, Limits{})
		got, err := os.Stat(g.v2)
		if err != nil || g.v2 != ahead || os.SameFile(made, got) == removed {
			t.Errorf("removed %t: got %s, %v, want %s", removed, g.v2, err, ahead)
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}
	p.Prepare()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// TestRealOpenedAtOnce opens many at the same time, each of which removes what
// it takes for the directories of the dead.
func TestRealOpenedAtOnce(t *testing.T) {
	if openParent(t).dir == "" {
		t.Skip("no cgroup of version 2 can be made here")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 30 {
				p, err := Open()
				if err != nil || p.dir == "" {
					t.Errorf("got %v, %v", err, p.why)
					return
				}
				g, err := p.New(Limits{})
				if err != nil || g == nil {
					t.Errorf("got %v, %v", g, err)
				}
				if err := errors.Join(g.Remove(), p.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestRealDiscard removes groups later than they end, and with the parent at the
// latest.
func TestRealDiscard(t *testing.T) {
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	p.tidyAfter = time.Hour
	there := func(g *Group) bool {
		_, err := os.Stat(g.v2)
		return err == nil
	}
	first, second := needGroup(t, p, Limits{}), needGroup(t, p, Limits{})
	first.Discard()
	if !there(first) {
		t.Error("somebody has waited for the removal")
	}
	p.tidy()
	if there(first) || !there(second) {
		t.Errorf("tidied: the first is there: %v, the second: %v", there(first), there(second))
	}
	second.Discard()
	if err := p.Close(); err != nil || there(second) {
		t.Errorf("closed: %v, the second is there: %v", err, there(second))
	}
	second.Discard()
}
