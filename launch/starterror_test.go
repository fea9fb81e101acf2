package launch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode fs.FileMode, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", 0o644, "")
	program := file("program", 0o755, "\x7fELF")
	script := file("script", 0o755, "#! /no/such/thing arg\n")
	good := file("good", 0o755, "#!"+program+"\n")
	bare := file("bare", 0o755, "#!")

	tests := []struct {
		name, dir, path string
		errno           syscall.Errno
		want            Reason
		text            string // must be in the message
	}{
		{"missing", "", dir + "/missing", syscall.ENOENT, ErrNotFound, dir + "/missing"},
		{"loader", "", program, syscall.ENOENT, ErrInterpreter, "dynamic loader"},
		{"interpreter", "", script, syscall.ENOENT, ErrInterpreter, "/no/such/thing"},
		{"interpreter not executable", "", script, syscall.EACCES, ErrInterpreter, "/no/such/thing"},
		{"interpreter fine", "", good, syscall.EACCES, ErrPermission, "noexec"},
		{"interpreter without a name", "", bare, syscall.ENOENT, ErrInterpreter, `""`},
		{"interpreter loops", "", good, syscall.ELOOP, ErrInterpreter, program},
		{"directory", "", dir, syscall.EACCES, ErrIsDirectory, "inside"},
		{"mode", "", plain, syscall.EACCES, ErrNotExecutable, "chmod +x"},
		{"device", "", os.DevNull, syscall.EACCES, ErrNotExecutable, "regular"},
		{"relative", dir, "./plain", syscall.EACCES, ErrNotExecutable, plain},
		{"forbidden", "", program, syscall.EPERM, ErrPermission, "noexec"},
		{"no dir", dir + "/none", program, syscall.ENOENT, ErrDir, dir + "/none"},
		{"dir is a file", plain, program, syscall.ENOTDIR, ErrDir, plain},
		{"format", "", program, syscall.ENOEXEC, ErrWrongFormat, "#!"},
		{"too long", "", program, syscall.E2BIG, ErrArgs, "too long"},
		{"busy", "", program, syscall.ETXTBSY, ErrBusy, "writing"},
		{"processes", "", program, syscall.EAGAIN, ErrLimit, "ulimit -u"},
		{"files", "", program, syscall.EMFILE, ErrLimit, "ulimit -n"},
		{"files on their way", "", program, syscall.ETOOMANYREFS, ErrLimit, "ulimit -n"},
		{"all files", "", program, syscall.ENFILE, ErrLimit, "system"},
		{"memory", "", program, syscall.ENOMEM, ErrLimit, "memory"},
		{"something else", "", program, syscall.EIO, "", "input/output error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Explain(Spec{Path: tt.path, Dir: tt.dir}, tt.path, &fs.PathError{Op: "x", Path: "y", Err: tt.errno})
			if err.Reason != tt.want || !errors.Is(err, tt.errno) || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("got %q, want %q and %v: %v", err.Reason, tt.want, tt.errno, err)
			}
			if text := err.Error(); !strings.Contains(text, tt.text) || !strings.Contains(text, tt.path) {
				t.Errorf("%q does not tell %q and %q", text, tt.text, tt.path)
			}
		})
	}
}

func TestExplainOther(t *testing.T) {
	err := Explain(Spec{Path: "p"}, "p", context.Canceled)
	if err.Reason != "" || !errors.Is(err, context.Canceled) || errors.Is(err, Reason("")) {
		t.Errorf("got %#v", err)
	}
}

func TestResolve(t *testing.T) {
	bin, other := t.TempDir(), t.TempDir()
	for path, mode := range map[string]fs.FileMode{bin + "/tool": 0o755, other + "/tool": 0o755, other + "/text": 0o644, bin + "/sub": fs.ModeDir | 0o755} {
		var err error
		if mode.IsDir() {
			err = os.Mkdir(path, mode)
		} else {
			err = os.WriteFile(path, nil, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", other) // must not matter
	path := "PATH=relative::" + bin + ":" + other
	self := os.Args[0]

	tests := []struct {
		name string
		spec Spec
		path string // "" if refused
		argv string
		want Reason
	}{
		{"first in PATH", Spec{Path: "tool", Env: []string{path}}, bin + "/tool", "tool", ""},
		{"first PATH counts", Spec{Path: "tool", Env: []string{"PATH=" + other, path}}, other + "/tool", "tool", ""},
		{"with a slash", Spec{Path: "./tool", Args: []string{"a"}}, "./tool", "./tool a", ""},
		{"Argv0", Spec{Path: "/x/tool", Argv0: "zero", Args: []string{"a"}}, "/x/tool", "zero a", ""},
		{"Argv0 of self", Spec{Path: Self, Argv0: "zero"}, "self", "zero", ""},
		{"self", Spec{Path: Self}, "self", self, ""},
		{"no PATH", Spec{Path: "tool", Env: []string{"XPATH=" + bin}}, "", "", ErrNotFound},
		{"not in PATH", Spec{Path: "none", Env: []string{path}}, "", "", ErrNotFound},
		{"directory in PATH", Spec{Path: "sub", Env: []string{path}}, "", "", ErrNotFound},
		{"not executable", Spec{Path: "text", Env: []string{path}}, "", "", ErrNotExecutable},
		{"empty", Spec{}, "", "", ErrNotFound},
		{"NUL in path", Spec{Path: "a\x00"}, "", "", ErrArgs},
		{"NUL in name", Spec{Path: "/a", Argv0: "a\x00"}, "", "", ErrArgs},
		{"NUL in argument", Spec{Path: "/a", Args: []string{"a\x00"}}, "", "", ErrArgs},
		{"NUL in variable", Spec{Path: "/a", Env: []string{"A=a\x00"}}, "", "", ErrArgs},
		{"NUL in directory", Spec{Path: "/a", Dir: "a\x00"}, "", "", ErrDir},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.path == "self" && runtime.GOOS == "linux" {
				tt.path = "/proc/self/exe"
			}
			prog, err := tt.spec.Resolve()
			if prog.Path != tt.path || strings.Join(prog.Argv, " ") != tt.argv {
				t.Errorf("got %+v, want %q %q", prog, tt.path, tt.argv)
			}
			if start, ok := errors.AsType[*StartError](err); ok != (tt.want != "") || ok && start.Reason != tt.want {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestStartErrorKeepsSecrets(t *testing.T) {
	_, err := Spec{Path: "/a", Env: []string{"TOKEN=hunter2\x00"}}.Resolve()
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "TOKEN") {
		t.Errorf("got %v", err)
	}
}
