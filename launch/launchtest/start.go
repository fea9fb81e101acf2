package launchtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

func startChecks() []check {
	return []check{
		{"PS-10 a missing program", func(f *fixture) {
			f.refused(launch.Spec{Path: filepath.Join(f.TempDir(), "missing")}, launch.ErrNotFound, syscall.ENOENT)
		}},
		{"PS-10 a program below a file", func(f *fixture) {
			f.refused(launch.Spec{Path: f.file("plain", 0o644, "x") + "/below"}, launch.ErrNotFound, syscall.ENOTDIR)
		}},
		{"PS-10 a name that is not in PATH", func(f *fixture) {
			f.refused(launch.Spec{Path: "no-such-program", Env: []string{"PATH=/usr/bin:/bin"}}, launch.ErrNotFound)
			f.refused(launch.Spec{Path: "sh"}, launch.ErrNotFound)
			f.refused(launch.Spec{}, launch.ErrNotFound)
		}},
		{"PS-10 a name in PATH that is not executable", func(f *fixture) {
			dir := filepath.Dir(f.file("plain", 0o644, "x"))
			f.refused(launch.Spec{Path: "plain", Env: []string{"PATH=" + dir}}, launch.ErrNotExecutable)
		}},
		{"PS-10 a directory", func(f *fixture) {
			f.refused(launch.Spec{Path: f.TempDir()}, launch.ErrIsDirectory, syscall.EACCES)
		}},
		{"PS-10 a file that is not executable", func(f *fixture) {
			f.refused(launch.Spec{Path: f.file("plain", 0o644, "#!/bin/sh\n")}, launch.ErrNotExecutable, syscall.EACCES)
		}},
		{"PS-10 a file of another format", func(f *fixture) {
			f.refused(launch.Spec{Path: f.file("garbage", 0o755, "\x00\x01\x02 garbage")}, launch.ErrWrongFormat, syscall.ENOEXEC)
			f.refused(launch.Spec{Path: f.file("empty", 0o755, "")}, launch.ErrWrongFormat, syscall.ENOEXEC)
		}},
		{"PS-10 a script without its interpreter", func(f *fixture) {
			f.refused(launch.Spec{Path: f.file("script", 0o755, "#!/no/such/interpreter -x\n")}, launch.ErrInterpreter, syscall.ENOENT)
			f.refused(launch.Spec{Path: f.file("script", 0o755, "#!"+f.TempDir()+"\n")}, launch.ErrInterpreter, syscall.EACCES)
		}},
		{"PS-10 a directory that is not there", func(f *fixture) {
			s := spec("exit", "0")
			s.Dir = filepath.Join(f.TempDir(), "missing")
			f.refused(s, launch.ErrDir, syscall.ENOENT)
			s.Dir = f.file("plain", 0o755, "")
			f.refused(s, launch.ErrDir, syscall.ENOTDIR)
		}},
		{"PS-10 arguments that no program can get", func(f *fixture) {
			nul := "a\x00b"
			f.refused(launch.Spec{Path: nul}, launch.ErrArgs)
			f.refused(launch.Spec{Path: launch.Self, Args: []string{"a", nul}}, launch.ErrArgs)
			f.refused(launch.Spec{Path: launch.Self, Env: []string{"A=" + nul}}, launch.ErrArgs)
			f.refused(launch.Spec{Path: launch.Self, Dir: nul}, launch.ErrDir)
			f.refused(launch.Spec{Path: launch.Self, Args: []string{strings.Repeat("x", 3<<20)}}, launch.ErrArgs, syscall.E2BIG)
		}},
		{"PS-10 no descriptors left", func(f *fixture) {
			if runtime.GOOS != "linux" {
				f.Skip("linux only")
			}
			if e := f.run(spec("starved")); !e.OK() {
				f.Errorf("%v\n%s", e, e.Stderr)
			}
		}},
		{"PS-10 a program that is being written is tried again", busyProgram},
		{"PS-10 a cancelled start", func(f *fixture) {
			ctx, cancel := context.WithCancelCause(f.Context())
			cause := errors.New("changed my mind")
			cancel(cause)
			_, err := f.Launch(ctx, spec("exit", "0"))
			if _, ok := errors.AsType[*launch.StartError](err); !ok || !errors.Is(err, cause) {
				f.Errorf("got %v, want a StartError with the cause", err)
			}
		}},
		{"PS-10 a closed launcher", func(f *fixture) {
			l := f.newLauncher()
			for range 2 {
				if err := l.Close(); err != nil {
					f.Errorf("Close: %v", err)
				}
			}
			(&fixture{T: f.T, Launcher: l}).refused(spec("exit", "0"), launch.ErrClosed)
		}},
	}
}

// refused checks that s cannot be started, for exactly the given reason.
func (f *fixture) refused(s launch.Spec, want launch.Reason, more ...error) {
	f.Helper()
	p, err := f.Launch(f.Context(), s)
	if p != nil {
		f.Errorf("%.60q: a process and the error %v", s.Path, err)
	}
	start, ok := errors.AsType[*launch.StartError](err)
	if !ok {
		f.Errorf("%.60q: got %v, want a StartError", s.Path, err)
		return
	}
	if start.Reason != want || start.Path != s.Path || start.Op == "" {
		f.Errorf("%.60q: got %q (%v), want %q", s.Path, start.Reason, err, want)
	}
	for _, target := range append(more, want) {
		if !errors.Is(err, target) {
			f.Errorf("%.60q: %v is not %v", s.Path, err, target)
		}
	}
}

// file makes a file in a directory of its own.
func (f *fixture) file(name string, mode os.FileMode, content string) string {
	f.Helper()
	path := filepath.Join(f.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		f.Fatal(err)
	}
	return path
}

// busyProgram holds a program open for writing: first too long, then for the
// time of the first attempts.
func busyProgram(f *fixture) {
	if runtime.GOOS != "linux" {
		f.Skip("linux only")
	}
	path := f.file("program", 0o755, "")
	content, err := os.ReadFile("/bin/true")
	if err != nil {
		f.Skip("no program to copy: ", err)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(content); err != nil {
		f.Fatal(err)
	}
	f.refused(launch.Spec{Path: path}, launch.ErrBusy, syscall.ETXTBSY)
	time.AfterFunc(50*time.Millisecond, func() { w.Close() })
	if e := f.run(launch.Spec{Path: path}); !e.OK() {
		f.Errorf("got %v", e)
	}
}
