package shm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const writerVariable = "SHM_TEST_WRITER"

func TestMain(m *testing.M) {
	if os.Getenv(writerVariable) != "" {
		beWriter()
		return
	}
	os.Exit(m.Run())
}

// beWriter makes a segment, says how to open it, and does what it is told.
func beWriter() {
	s, err := Make(1 << 20)
	if err != nil {
		panic(err)
	}
	copy(s.Bytes(), "first")
	json.NewEncoder(os.Stdout).Encode(s.Key())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "write":
			copy(s.Bytes(), rest)
		case "shrink":
			if unix.Ftruncate(s.fd, 0) == nil {
				rest = "shrunk"
			}
		case "punch":
			if err := unix.Fallocate(s.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20); err != nil {
				rest = err.Error()
			}
		case "close":
			s.CloseDescriptor()
		}
		fmt.Println("did", rest)
	}
}

type writer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	key Key
}

func startWriter(t *testing.T) *writer {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), writerVariable+"=1")
	cmd.Stderr = os.Stderr
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
	w := &writer{cmd: cmd, in: in, out: bufio.NewReader(out)}
	t.Cleanup(w.kill)
	line, err := w.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &w.key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *writer) kill() {
	w.cmd.Process.Kill()
	w.cmd.Wait()
}

func (w *writer) tell(t *testing.T, what string) string {
	t.Helper()
	fmt.Fprintln(w.in, what)
	answer, err := w.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// census returns how many descriptors and mappings of shared memory this
// process has.
func census(t *testing.T) (descriptors, mappings int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + f.Name()); strings.Contains(to, "memfd:hyperactor") {
			descriptors++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return descriptors, bytes.Count(maps, []byte("memfd:hyperactor"))
}

func TestRealSegmentBetweenProcesses(t *testing.T) {
	w := startWriter(t)
	b, err := Open(w.cmd.Process.Pid, w.key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("first")) || len(b) != 1<<20 {
		t.Errorf("%d bytes, %q", len(b), b[:5])
	}
	if got := w.tell(t, "close"); got != "did" {
		t.Error(got)
	}
	if _, err := Open(w.cmd.Process.Pid, w.key); err == nil {
		t.Error("opened after the descriptor was closed")
	}
	w.tell(t, "write again")
	if !bytes.HasPrefix(b, []byte("again")) {
		t.Errorf("%q is not what was written", b[:5])
	}
	w.kill()
	sum := 0
	for _, c := range b { // all of it is still there
		sum += int(c)
	}
	if sum == 0 || !bytes.HasPrefix(b, []byte("again")) {
		t.Error("the memory died with its writer")
	}
	if fds, maps := census(t); fds != 0 || maps != 1 {
		t.Errorf("%d descriptors, %d mappings, want 0 and 1", fds, maps)
	}
	Close(b)
	if fds, maps := census(t); fds != 0 || maps != 0 {
		t.Errorf("%d descriptors, %d mappings are left", fds, maps)
	}
}

func TestRealSegmentCannotBeTakenAway(t *testing.T) {
	w := startWriter(t)
	b, err := Open(w.cmd.Process.Pid, w.key)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(b)
	if got := w.tell(t, "shrink"); got == "did shrunk" {
		t.Error("a segment can shrink under its reader")
	}
	if got := w.tell(t, "punch"); got != "did" {
		t.Log("no holes can be made:", got)
	}
	if b[0] != 0 && b[0] != 'f' || b[len(b)-1] != 0 { // faults if it is not there
		t.Errorf("%q", b[0])
	}
}

func TestRealOpenRefuses(t *testing.T) {
	s, err := Make(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	loose, err := unix.MemfdCreate("hyperactor", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(loose)
	if err := unix.Ftruncate(loose, 1<<20); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	key, pid := s.Key(), os.Getpid()
	for name, c := range map[string]struct {
		pid int
		key Key
	}{
		"no process":            {0, key},
		"another process":       {1 << 30, key},
		"another descriptor":    {pid, Key{0, key.Size, key.Inode}},
		"a descriptor too many": {pid, Key{1 << 20, key.Size, key.Inode}},
		"another size":          {pid, Key{key.FD, key.Size + 1<<15, key.Inode}},
		"no size":               {pid, Key{key.FD, 0, key.Inode}},
		"a huge size":           {pid, Key{key.FD, 1 << 63, key.Inode}},
		"another inode":         {pid, Key{key.FD, key.Size, key.Inode + 1}},
		"memory without seals":  {pid, Key{uint32(loose), 1 << 20, inode(t, loose)}},
		"a file":                {pid, Key{uint32(file.Fd()), 1 << 20, inode(t, int(file.Fd()))}},
		"a pipe":                {pid, Key{uint32(r.Fd()), 1 << 20, inode(t, int(r.Fd()))}},
	} {
		if b, err := Open(c.pid, c.key); err == nil {
			t.Errorf("%s is opened", name)
			Close(b)
		}
	}
	b, err := Open(pid, key)
	if err != nil {
		t.Fatal(err)
	}
	Close(b)
	if fds, maps := census(t); fds != 2 || maps != 1 {
		t.Errorf("%d descriptors, %d mappings, want our own: 2 and 1", fds, maps)
	}
}

func inode(t *testing.T, fd int) uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestRealSegmentIsClosedOnce(t *testing.T) {
	s, err := Make(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	other, err := Make(1 << 20) // the kernel gives it the same addresses
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s.Close()
	if _, maps := census(t); maps != 1 {
		t.Errorf("%d mappings, want that of the other segment", maps)
	}
}

func TestRealMakeRefuses(t *testing.T) {
	for _, size := range []int{0, -1, MinSize - 1, MaxSize + 1} {
		if s, err := Make(size); err == nil {
			t.Errorf("%d bytes are made", size)
			s.Close()
		}
	}
	if fds, maps := census(t); fds != 0 || maps != 0 {
		t.Errorf("%d descriptors, %d mappings are left", fds, maps)
	}
}

// BenchmarkRealSegment writes 16 MiB into a warm segment, and into a fresh
// slice, which is what a copy on the heap is.
func BenchmarkRealSegment(b *testing.B) {
	const size = 16 << 20
	from, to := make([]byte, size), make([]byte, size)
	s, err := Make(size)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for name, into := range map[string][]byte{"segment": s.Bytes(), "memcpy": to} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				copy(into, from)
			}
		})
	}
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			s, err := Make(size)
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}
