package torture

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/launch/keeper"
)

// outputRows is about what processes write, and where it is kept.
func outputRows() []row {
	return []row{
		{number: 74, name: "damaged records", with: onlyKeeper,
			done:  "the keeper's records of ten ends: cut in the last one, with a bit flipped, empty, missing",
			holds: "a torn end is left out, a flipped bit is an error that names the line, nothing is guessed",
			run:   damagedRecords},
		{number: 75, name: "no room for records", with: onlyKeeper,
			done:  "the keeper may write no more to any file (RLIMIT_FSIZE) while children run and end",
			holds: "every exit is told nevertheless, Kill works",
			run:   noRoomForRecords},
		{number: 76, name: "logs on a full disk", with: everyKind, needs: root,
			done:  "2 MB of output captured into a file system of 1 MB, in a mount namespace of its own",
			holds: "the process is not held up; what was stored is intact, the rest is counted and marked",
			run: func(f *fixture) {
				dir := f.scratch()
				a := f.launching(spaces(unix.CLONE_NEWNS))
				a.does("mount", "tmpfs", dir, "size=1m")
				f.captured(a.does("capture", dir+"/logs", "2"), 2<<20, true)
			}},
		{number: 76, name: "logs directory that becomes read-only", with: everyKind, needs: root,
			done:  "the directory is made immutable while output is captured into it, in segments of 256 KB",
			holds: "the same",
			run: func(f *fixture) {
				dir := f.scratch()
				a := f.launching(spaces(unix.CLONE_NEWNS))
				a.does("mount", "tmpfs", dir, "size=20m")
				f.captured(a.does("capture", dir+"/logs", "2", dir+"/logs"), 2<<20, true)
			}},
		{number: 76, name: "log files limited", with: everyKind,
			done:  "RLIMIT_FSIZE of 100 KB, less than a segment, on who captures 2 MB of output",
			holds: "the same; nothing is lost if it can go on in another file",
			run: func(f *fixture) {
				a := f.launching()
				limit := unix.Rlimit{Cur: 100 << 10, Max: unix.RLIM_INFINITY}
				f.must(unix.Prlimit(a.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil))
				f.captured(a.does("capture", f.scratch()+"/logs", "2"), 2<<20, false)
			}},
		{number: 77, name: "slow reader", with: everyKind,
			done:  "who gets the output reads nothing for 200 ms while 1 MB is written",
			holds: "the process waits, and no byte is lost; its stderr is not held up",
			run:   slowReader},
		{number: 78, name: "a long line of NUL", with: everyKind,
			done:  "one line of 10 MB that has nothing but NUL bytes",
			holds: "every byte arrives, in lines of bounded length; the tail stays small",
			run:   longLine},
		{number: 78, name: "bytes that are no text", with: everyKind,
			done:  "1 MB of random bytes, invalid UTF-8 and all, captured and read back",
			holds: "the same bytes",
			run:   noText},
		{number: 78, name: "full speed, then SIGKILL", with: everyKind,
			done:  "a process writes 64 MB as fast as it can and is killed in the middle of it",
			holds: "all that the kernel took arrives, byte for byte, and nothing else",
			run:   func(f *fixture) { fullSpeed(f, 64<<20) }},
		{number: 78, name: "1 GB at full speed, then SIGKILL", with: everyKind, slow: true,
			done: "the same with 1 GB", holds: "the same",
			run: func(f *fixture) { fullSpeed(f, 1<<30) }},
		{number: 79, name: "other launchers come and go", with: everyKind, needs: root,
			done:  "while a launcher starts 60 processes, others start and end: as usual, in a PID namespace, in a time namespace, killed",
			holds: "each of the 60 starts works: nobody takes what belongs to a living launcher for left over",
			run:   neighbours},
		{number: 79, name: "groups of a dead launcher", with: everyKind, needs: unified,
			done:  "a program that has launched children is killed; then another launcher starts one",
			holds: "the cgroups of the dead one are gone",
			run:   groupsOfTheDead},
		{number: 79, name: "two owners of one directory", with: everyKind,
			done:  "a second process wants to capture into a directory that has an owner; the owner is killed",
			holds: "refused; after the end of the first the second may, and goes on behind what is there",
			run:   twoOwners},
	}
}

// keeperOf returns the keeper that a process belongs to.
func (f *fixture) keeperOf(pid int) process {
	f.Helper()
	p, ok := readProcess(pid)
	k, ok2 := readProcess(p.parent)
	if !ok || !ok2 || k.pid == os.Getpid() {
		f.Fatalf("process %d has no keeper: %v, %v", pid, p, k)
	}
	return k
}

// recording opens a keeper that keeps records, and lets ten children end.
func (f *fixture) recording() (path string, l launch.Launcher) {
	f.Helper()
	path = f.scratch() + "/records"
	l = keeper.New(keeper.Config{Records: path})
	for code := range 10 {
		f.want(f.run(l, sh(fmt.Sprint("exit ", code))).Code == code, "exit", code)
	}
	return path, l
}

func damagedRecords(f *fixture) {
	path, l := f.recording()
	f.no(l.Close())
	whole, err := os.ReadFile(path)
	f.must(err)
	all, err := keeper.ReadRecords(path)
	f.want(err == nil && len(all) == 10 && all[7].Code == 7, "ten records", fmt.Sprint(all, err))
	read := func(content []byte) ([]keeper.Record, error) {
		f.must(os.WriteFile(path, content, 0o600))
		return keeper.ReadRecords(path)
	}
	all, err = read(whole[:len(whole)-3])
	f.want(err == nil && len(all) == 9, "a torn end is left out", fmt.Sprint(len(all), err))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0x40
	all, err = read(flipped)
	f.want(err != nil && strings.Contains(err.Error(), path+":") && len(all) < 10, "a flipped bit is told", fmt.Sprint(len(all), err))
	all, err = read(nil)
	f.want(err == nil && len(all) == 0, "empty is nothing", fmt.Sprint(all, err))
	f.must(os.Remove(path))
	_, err = keeper.ReadRecords(path)
	f.want(errors.Is(err, os.ErrNotExist), "missing is told", err)
}

func noRoomForRecords(f *fixture) {
	path, l := f.recording()
	defer func() { f.no(l.Close()) }()
	c := f.start(l, sh("echo ready; exec sleep 60"))
	f.line(c)
	k := f.keeperOf(c.PID())
	f.must(unix.Prlimit(k.pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 0, Max: unix.RLIM_INFINITY}, nil))
	for code := range 5 {
		f.want(f.run(l, sh(fmt.Sprint("exit ", code))).Code == code, "an exit", code)
	}
	f.no(c.Kill())
	f.want(killed(f.end(c)), "SIGKILL", "not")
	if all, err := keeper.ReadRecords(path); err == nil {
		f.want(len(all) >= 10, "what was there stays", len(all))
	}
}

// captured checks what an agent says of output that it has captured.
func (f *fixture) captured(r reply, size int64, loss bool) {
	f.Helper()
	var stored, lost, good int64
	_, err := fmt.Sscan(r.Text, &stored, &lost, &good)
	f.must(err)
	f.want(r.Exit.OK(), "the process is not held up", shown(r.Exit))
	f.want(stored+lost == size && (lost > 0 || !loss), "all is counted", r.Text)
	f.want(good == stored, "what was stored is intact", r.Text)
}

// capture captures so many MB of numbered lines that a child writes, and
// answers how many bytes were stored, how many were lost, and how many of those
// that are read back are the right ones. In the middle of it a directory may
// become read-only.
func (s *server) capture(dir string, mb int, readOnly string) (reply, error) {
	d, err := capture.Open(capture.Config{Path: dir, MaxBytes: 256 << 10, MaxFiles: 1000, Retry: time.Hour})
	if err != nil {
		return reply{}, err
	}
	defer d.Close()
	w, err := d.Writer("a", launch.Stdout)
	if err != nil {
		return reply{}, err
	}
	var once sync.Once
	spec := sh(fmt.Sprintf("i=0; head -c %d /dev/zero | tr '\\0' x", mb<<20))
	spec.Stdout = writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		if w.Stats().Bytes > 256<<10 && readOnly != "" {
			once.Do(func() { must(immutable(readOnly)) })
		}
		return n, err
	})
	p, err := s.launcher.Launch(s.background(), spec)
	if err != nil {
		return reply{}, err
	}
	exit := p.Wait()
	_ = w.Close() // an error says that a reader will not see the loss, which a full disk can cause
	stats := w.Stats()
	r, err := d.Reader().Raw(capture.Position{Source: capture.Source{Proc: "a", Stream: launch.Stdout}})
	if err != nil {
		return reply{}, err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return reply{Exit: exit, Text: fmt.Sprint(stats.Bytes, " ", stats.Lost, " ", bytes.Count(content, []byte("x")))}, err
}

// immutable forbids to make or remove anything in a directory.
func immutable(dir string) error {
	const flag = 0x10 // FS_IMMUTABLE_FL
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flag)
}

// writerFunc is a function as an io.Writer.
type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

func slowReader(f *fixture) {
	sum, n := sha256.New(), 0
	go1 := make(chan struct{})
	s := sh("head -c 1048576 /dev/zero | tr '\\0' y; echo done >&2")
	s.Stdout = writerFunc(func(p []byte) (int, error) {
		<-go1
		n += len(p)
		return sum.Write(p)
	})
	told := make(chan string, 10)
	s.Output = func(which launch.Stream, line []byte) {
		if which == launch.Stderr {
			told <- string(line)
		}
	}
	c := f.start(f.launcher(), s)
	select {
	case line := <-told:
		f.Errorf("%q although its output was not read", line)
	case <-time.After(200 * time.Millisecond):
	}
	close(go1)
	e := f.end(c)
	want := sha256.Sum256(bytes.Repeat([]byte("y"), 1<<20))
	f.want(e.OK() && n == 1<<20 && bytes.Equal(sum.Sum(nil), want[:]) && e.Stderr == "done", "all arrives", fmt.Sprint(n, shown(e)))
}

func longLine(f *fixture) {
	const size = 10 << 20
	var lines, total, other int
	s := self("zeroes", fmt.Sprint(size))
	s.Output = func(_ launch.Stream, line []byte) {
		lines++
		total += len(line)
		other += len(line) - bytes.Count(line, []byte{0})
		if len(line) > launch.MaxLine {
			f.Errorf("a line of %d bytes", len(line))
		}
	}
	var all counter
	s.Stdout = &all
	e := f.run(f.launcher(), s)
	f.want(e.OK() && total == size && other == 0 && lines > 1, "in lines", fmt.Sprint(lines, total, other, shown(e)))
	f.want(all == size+1, "in bytes", all)
}

// counter counts bytes.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func noText(f *fixture) {
	r := f.randomly()
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	path, logs := f.file("bytes", 0o600, content), f.scratch()
	d, err := capture.Open(capture.Config{Path: logs})
	f.must(err)
	w, err := d.Writer("a", launch.Stdout)
	f.must(err)
	s := sh("cat \"$1\"", path)
	s.Stdout = w
	f.want(f.run(f.launcher(), s).OK(), "it ends", "not")
	f.no(w.Close())
	f.no(d.Close())
	raw, err := capture.NewReader(logs).Raw(capture.Position{Source: capture.Source{Proc: "a", Stream: launch.Stdout}})
	f.must(err)
	got, err := io.ReadAll(raw)
	f.no(errors.Join(err, raw.Close()))
	f.want(bytes.Equal(got, content), "the same bytes", len(got))
}

// sequence checks numbers of eight bytes each that come one after the other.
type sequence struct {
	limit uint64
	full  chan struct{}

	next, seen uint64
	rest       []byte
	wrong      bool
}

func (s *sequence) Write(p []byte) (int, error) {
	before := s.seen
	s.seen += uint64(len(p))
	all := p
	if len(s.rest) > 0 {
		all = append(s.rest, p...)
	}
	for ; len(all) >= 8; all = all[8:] {
		s.wrong = s.wrong || binary.LittleEndian.Uint64(all) != s.next
		s.next++
	}
	s.rest = append([]byte(nil), all...)
	if before < s.limit && s.seen >= s.limit {
		close(s.full)
	}
	return len(p), nil
}

func fullSpeed(f *fixture, size uint64) {
	path := f.file("count", 0o600, make([]byte, 8))
	got := &sequence{limit: size, full: make(chan struct{})}
	s := self("stream", path)
	s.Stdout = got
	s.Output = func(launch.Stream, []byte) {}
	c := f.start(f.launcher(), s)
	select {
	case <-got.full:
	case <-time.After(2 * patience):
		f.Error("too slow")
	}
	f.no(c.Kill())
	e := f.end(c)
	b, err := os.ReadFile(path)
	f.must(err)
	// The kernel may have taken one more piece, of which the process did not
	// come to tell.
	wrote := binary.LittleEndian.Uint64(b)
	f.want(killed(e) && !e.Cut, "SIGKILL", shown(e))
	f.want(!got.wrong && got.seen >= wrote && got.seen <= wrote+1<<16, "byte for byte", fmt.Sprint(got.seen, " of ", wrote))
}

func twoOwners(f *fixture) {
	dir := f.scratch()
	a := f.launching()
	a.does("own", dir)
	_, err := capture.Open(capture.Config{Path: dir})
	f.want(errors.Is(err, capture.ErrInUse), "in use", err)
	f.want(strings.Contains(f.launching().tell("own", dir).Err, "in use"), "in use for others, too", "not")
	a.kill()
	d, err := capture.Open(capture.Config{Path: dir})
	f.must(err)
	w, err := d.Writer("a", launch.Stdout)
	f.must(err)
	_, err = w.Write([]byte("second\n"))
	f.no(errors.Join(err, w.Close(), d.Close()))
	r, err := capture.NewReader(dir).Raw(capture.Position{Source: capture.Source{Proc: "a", Stream: launch.Stdout}})
	f.must(err)
	content, err := io.ReadAll(r)
	f.no(errors.Join(err, r.Close()))
	f.want(string(content) == "first\nsecond\n", "behind what is there", string(content))
}

// own takes a directory of logs and writes something there.
func (s *server) own(dir string) error {
	d, err := capture.Open(capture.Config{Path: dir})
	if err != nil {
		return err
	}
	w, err := d.Writer("a", launch.Stdout)
	if err != nil {
		return err
	}
	_, err = w.Write([]byte("first\n"))
	return err
}
