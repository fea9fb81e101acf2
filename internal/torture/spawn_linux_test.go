package torture

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// spawnRows is about what cannot be started, or only just.
func spawnRows() []row {
	return []row{
		{number: 1, name: "missing program", with: everyKind,
			done:  "a path where nothing is; a name that no PATH has",
			holds: "an error at once: not found, ENOENT; nothing is left",
			run: func(f *fixture) {
				f.refused(f.launcher(), launch.Spec{Path: f.scratch() + "/missing"}, launch.ErrNotFound, unix.ENOENT)
				f.refused(f.launcher(), launch.Spec{Path: "no-such-program", Env: []string{"PATH=/bin"}}, launch.ErrNotFound, nil)
			}},
		{number: 2, name: "missing interpreter", with: everyKind,
			done:  "a script whose first line names a file that is not there, or a directory",
			holds: "an error that names the interpreter, ENOENT or EACCES",
			run: func(f *fixture) {
				l := f.launcher()
				f.refused(l, launch.Spec{Path: f.file("a", 0o755, []byte("#!/no/such -x\n"))}, launch.ErrInterpreter, unix.ENOENT)
				f.refused(l, launch.Spec{Path: f.file("a", 0o755, []byte("#!"+f.scratch()+"\n"))}, launch.ErrInterpreter, unix.EACCES)
			}},
		{number: 3, name: "not executable", with: everyKind,
			done:  "a file of mode 0644; a directory",
			holds: "an error that says which of the two, EACCES",
			run: func(f *fixture) {
				l := f.launcher()
				f.refused(l, launch.Spec{Path: f.file("a", 0o644, []byte("#!/bin/sh\n"))}, launch.ErrNotExecutable, unix.EACCES)
				f.refused(l, launch.Spec{Path: f.scratch()}, launch.ErrIsDirectory, unix.EACCES)
			}},
		{number: 3, name: "mounted noexec", with: everyKind, needs: root,
			done:  "a program in a file system that is mounted noexec, in a mount namespace of its own",
			holds: "an error that speaks of permission and the mount option, EACCES",
			run:   noexec},
		{number: 4, name: "wrong format", with: everyKind,
			done:  "an empty file, garbage, text without #!, a program for another machine",
			holds: "an error: wrong format, ENOEXEC",
			run:   wrongFormat},
		{number: 5, name: "half a program", with: everyKind,
			done:  "the first half, quarter and eighth of /bin/true",
			holds: "an error, or a process that was killed by a signal; never a success, and no waiting",
			run:   halfProgram},
		{number: 6, name: "program is being written", with: everyKind,
			done:  "a program that is open for writing, for good and for 50 ms",
			holds: "for good: an error, ETXTBSY; for 50 ms: it is tried again and runs",
			run:   beingWritten},
		{number: 7, name: "storm of written programs", with: everyKind,
			done:  "16 threads write a script each and start it at once, ten times",
			holds: "all of them run, although each fork may hold another one's descriptor for a moment",
			run:   forkStorm},
		{number: 8, name: "argument too long", with: everyKind,
			done:  "one argument of 200 KB",
			holds: "an error that says so, E2BIG",
			run: func(f *fixture) {
				f.refused(f.launcher(), sh("exit 0", strings.Repeat("x", 200<<10)), launch.ErrArgs, unix.E2BIG)
			}},
		{number: 9, name: "directory comes and goes", with: everyKind,
			done:  "60 starts in a directory that is removed and made again all the time",
			holds: "each one runs, or says that the directory is the reason",
			run:   flickeringDirectory},
		{number: 10, name: "NUL bytes", with: everyKind,
			done:  "a NUL byte in the path, an argument, the environment, the directory",
			holds: "an error before anything is forked",
			run: func(f *fixture) {
				l, nul := f.launcher(), "a\x00b"
				f.refused(l, launch.Spec{Path: nul}, launch.ErrArgs, nil)
				f.refused(l, launch.Spec{Path: "/bin/true", Args: []string{nul}}, launch.ErrArgs, nil)
				f.refused(l, launch.Spec{Path: "/bin/true", Env: []string{"A=" + nul}}, launch.ErrArgs, nil)
				f.refused(l, launch.Spec{Path: "/bin/true", Dir: nul}, launch.ErrDir, nil)
			}},
		{number: 25, name: "program replaced on disk", with: everyKind,
			done:  "the file of a running host is replaced by one that does nothing, and a proc is spawned",
			holds: "the proc runs the image that the host runs (PS-6)",
			run:   replacedImage},
		{number: 26, name: "start given up", with: everyKind,
			done:  "40 starts of which each is given up after a random time, up to as long as a start takes",
			holds: "an error with the cause and nothing left, or a process that runs",
			run:   func(f *fixture) { givenUp(f, 40) }},
		{number: 26, name: "start given up, often", with: everyKind, slow: true,
			done: "the same, 1000 times", holds: "the same",
			run: func(f *fixture) { givenUp(f, 1000) }},
		{number: 26, name: "spawn given up", with: everyKind,
			done:  "6 spawns of procs of which each is given up after a random time",
			holds: "no proc and no name is left, or the proc is ready",
			run:   spawnGivenUp},
		{number: 29, name: "no standard descriptors", with: everyKind,
			done:  "a host that is started without descriptors 0, 1 and 2 spawns a proc and launches",
			holds: "nothing is mixed up: the child has its own 0, 1, 2, and its output arrives",
			run:   noStandardDescriptors},
	}
}

func noexec(f *fixture) {
	dir := f.scratch()
	a := f.launching(spaces(unix.CLONE_NEWNS))
	a.does("mount", "tmpfs", dir, "noexec,size=1m")
	a.does("write", dir+"/script", "#!/bin/sh\necho hi\n")
	r := a.tell("launch", "a", "sh", "exec "+dir+"/script") // the shell's problem, not ours
	f.want(r.Err == "", "a shell runs", r.Err)
	f.want(a.does("end", "a").Exit.Code == 126, "the shell may not run it either", shown(a.does("end", "a").Exit))
	r = a.tell("launch-file", dir+"/script")
	f.want(r.Reason == launch.ErrPermission && r.Errno == unix.EACCES && strings.Contains(r.Err, "noexec"), "the program is refused", r.Err)
}

func wrongFormat(f *fixture) {
	l := f.launcher()
	program, err := os.ReadFile("/bin/true")
	f.must(err)
	binary.LittleEndian.PutUint16(program[18:], uint16(elf.EM_S390)) // e_machine
	for _, content := range []string{"", "\x00\x01\x02 garbage", "echo hello\n", string(program)} {
		f.refused(l, launch.Spec{Path: f.file("a", 0o755, []byte(content))}, launch.ErrWrongFormat, unix.ENOEXEC)
	}
}

func halfProgram(f *fixture) {
	l := f.launcher()
	program, err := os.ReadFile("/bin/true")
	f.must(err)
	for _, part := range []int{2, 4, 8} {
		p, err := l.Launch(f.Context(), launch.Spec{Path: f.file("a", 0o755, program[:len(program)/part])})
		if err != nil {
			_, ok := errors.AsType[*launch.StartError](err)
			f.want(ok, "a StartError", err)
			continue
		}
		e := f.end(p)
		f.want(e.Kind == launch.Killed || e.Code != 0, "no success", shown(e))
	}
}

func beingWritten(f *fixture) {
	l := f.launcher()
	program, err := os.ReadFile("/bin/true")
	f.must(err)
	path := f.file("a", 0o755, program)
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	f.must(err)
	defer w.Close()
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = l.Launch(ctx, launch.Spec{Path: path})
	f.want(errors.Is(err, launch.ErrBusy) || errors.Is(err, context.DeadlineExceeded), "it is refused", err)
	time.AfterFunc(50*time.Millisecond, func() { w.Close() })
	f.want(f.run(l, launch.Spec{Path: path}).OK(), "it runs then", path)
	if *full { // it takes as long as the launcher has patience
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		f.must(err)
		defer w.Close()
		f.refused(l, launch.Spec{Path: path}, launch.ErrBusy, unix.ETXTBSY)
	}
}

func forkStorm(f *fixture) {
	l, dir := f.launcher(), f.scratch()
	atOnce(16, func(i int) {
		for k := range 10 {
			path := filepath.Join(dir, fmt.Sprint(i, "-", k))
			if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 7\n"), 0o755); err != nil {
				f.Error(err)
				return
			}
			p, err := l.Launch(f.Context(), launch.Spec{Path: path})
			if err != nil {
				f.Error(err)
				return
			}
			if e := p.Wait(); e.Code != 7 {
				f.Error(shown(e))
			}
		}
	})
}

func flickeringDirectory(f *fixture) {
	l, dir := f.launcher(), filepath.Join(f.scratch(), "now and then")
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				_ = os.Mkdir(dir, 0o755)
				_ = os.Remove(dir)
			}
		}
	})
	ran := 0
	for range 60 {
		s := sh("exit 3")
		s.Dir = dir
		p, err := l.Launch(f.Context(), s)
		switch {
		case err == nil:
			ran++
			f.want(f.end(p).Code == 3, "exit 3", p)
		case !errors.Is(err, launch.ErrDir) && !errors.Is(err, unix.ENOENT):
			f.Errorf("not the directory: %v", err)
		}
	}
	close(over)
	wg.Wait()
	f.Logf("%d of 60 ran", ran)
}

func replacedImage(f *fixture) {
	dir := f.scratch()
	path, err := os.Executable()
	f.must(err)
	copied := dir + "/program"
	if os.Link(path, copied) != nil { // not the same file system
		content, err := os.ReadFile(path)
		f.must(err)
		f.must(os.WriteFile(copied, content, 0o755))
	}
	a := f.hosting(image(copied))
	other := dir + "/other"
	f.must(os.WriteFile(other, []byte("#!/bin/sh\nexit 99\n"), 0o755))
	f.must(os.Rename(other, copied))
	a.does("spawn", "a")
	ours := a.does("victim", "a", "image").Text
	f.want(ours != copied && !strings.HasSuffix(ours, "/sh"), "it runs our own image", ours)
	a.does("terminate", "a", "5s")
}

// randomly returns a source of chance, whose seed is told.
func (f *fixture) randomly() *rand.Rand {
	f.Helper()
	seed := rand.Uint64()
	f.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var errGivenUp = errors.New("given up")

func givenUp(f *fixture, n int) {
	l, r := f.launcher(), f.randomly()
	began := time.Now()
	f.want(f.run(l, sh("exit 0")).OK(), "it runs", "not")
	usual := time.Since(began)
	refused := 0
	for range n {
		ctx, cancel := context.WithCancelCause(f.Context())
		t := time.AfterFunc(time.Duration(r.Int64N(int64(usual))), func() { cancel(errGivenUp) })
		p, err := l.Launch(ctx, sh("exec sleep 60"))
		t.Stop()
		cancel(nil)
		switch {
		case err == nil:
			f.no(p.Kill())
			f.want(killed(f.end(p)), "it runs", p)
		case !errors.Is(err, errGivenUp):
			f.Errorf("not the cause: %v", err)
		default:
			refused++
		}
	}
	f.Logf("%d of %d were given up", refused, n)
}

func spawnGivenUp(f *fixture) {
	rt, r := f.host(), f.randomly()
	began := time.Now()
	f.spawn(rt, "first")
	usual := time.Since(began)
	for range 6 {
		ctx, cancel := context.WithCancelCause(f.ctx(rt))
		t := time.AfterFunc(time.Duration(r.Int64N(int64(usual))), func() { cancel(errGivenUp) })
		h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "a"})
		t.Stop()
		cancel(nil)
		if err == nil {
			_, err = h.Kill(f.ctx(rt), "enough")
			f.no(err)
			continue
		}
		f.want(errors.Is(err, errGivenUp), "the cause", err)
		f.want(len(rt.Host().Procs()) == 1, "no proc is left", rt.Host().Procs())
	}
}

func noStandardDescriptors(f *fixture) {
	a := f.hosting(through("exec 0<&- 1>&- 2>&-"))
	a.does("spawn", "a")
	out := a.does("victim", "a", "output", "ls -l /proc/self/fd/0 /proc/$PPID/fd/0 /proc/$PPID/fd/1 /proc/$PPID/fd/2").Text
	f.want(strings.Count(out, "/dev/null") == 2 && strings.Count(out, "pipe:") == 2, "0 is null, 1 and 2 are pipes", out)
	f.want(a.does("terminate", "a", "5s").Exit.OK(), "it ends", "not")
	b := f.launching(through("exec 0<&- 1>&- 2>&-"))
	b.does("launch", "a", "sh", "echo ready; echo told >&2; exit 3")
	e := b.does("end", "a").Exit
	f.want(e.Code == 3 && e.Stderr == "told" && e.Signal == syscall.Signal(0), "its output arrives", shown(e))
}
