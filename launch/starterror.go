package launch

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// StartError says why a process was not started. Nothing is left of the
// attempt (PM-1). errors.Is finds the Reason in it, and the errno or the cause
// of a context.
type StartError struct {
	Op     string // what did not work: "check", "find", "pipe", "start"
	Path   string // the program as the Spec names it
	Reason Reason // which of the reasons below; "" if none of them
	Detail string // the value that was wrong and what to do about it; may be empty
	Err    error  // what the operating system or the context said; may be nil
}

// Reason is one cause of a StartError (PS-10). Reasons are constants, so they
// compare with == and cross a connection as text.
type Reason string

// The reasons why a process was not started.
const (
	ErrNotFound      Reason = "program not found"
	ErrIsDirectory   Reason = "program is a directory"
	ErrNotExecutable Reason = "program is not executable"
	ErrWrongFormat   Reason = "program has a format that this system cannot run"
	ErrInterpreter   Reason = "interpreter of the program not usable"
	ErrPermission    Reason = "no permission to run the program"
	ErrBusy          Reason = "program is being written"
	ErrLimit         Reason = "limit of the system reached"
	ErrDir           Reason = "working directory not usable"
	ErrArgs          Reason = "arguments or environment not usable"
	ErrBadLimit      Reason = "limit has a value that no system knows"
	ErrNotEnforced   Reason = "limit cannot be enforced here"
	ErrClosed        Reason = "launcher is closed"
)

func (r Reason) Error() string { return string(r) }

func (e *StartError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + " " + strconv.Quote(e.Path))
	if e.Reason != "" {
		b.WriteString(": " + string(e.Reason))
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the reason and the cause, so that errors.Is finds both.
func (e *StartError) Unwrap() []error {
	var errs []error
	if e.Reason != "" {
		errs = append(errs, e.Reason)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// Explain turns err, which an attempt to run the program at path gave, into a
// StartError. The errno alone is ambiguous (ENOENT can be the program, its
// interpreter or the directory), so Explain looks at the files again. An err
// that is a StartError already says enough.
func Explain(spec Spec, path string, err error) *StartError {
	if e, ok := errors.AsType[*StartError](err); ok {
		e.Path = spec.Path
		return e
	}
	e := &StartError{Op: "start", Path: spec.Path, Err: err}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return e
	}
	switch errno {
	case syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ETOOMANYREFS:
		e.Reason, e.Detail = ErrLimit, limitHint(errno)
	case syscall.E2BIG:
		e.Reason, e.Detail = ErrArgs, "arguments and environment are too long, pass long values in a file"
	case syscall.ETXTBSY:
		e.Reason, e.Detail = ErrBusy, "somebody has it open for writing"
	case syscall.ENOEXEC:
		e.Reason, e.Detail = ErrWrongFormat, "it needs to be a program for this machine, or a script that begins with #!"
	case syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EACCES, syscall.EPERM:
		e.Reason, e.Detail = explainFiles(spec.Dir, path, errno)
		if u := spec.Limits.User; u != nil && e.Reason == ErrPermission {
			e.Detail += ", and whether user " + strconv.Itoa(u.UID) + " may get to it and to the working directory"
		}
	}
	return e
}

func limitHint(errno syscall.Errno) string {
	switch errno {
	case syscall.EMFILE:
		return "this process has too many open files, see ulimit -n"
	case syscall.ENFILE:
		return "the system has too many open files"
	case syscall.ETOOMANYREFS:
		return "processes of this user are sending each other more open files than this one may have, see ulimit -n; try again"
	case syscall.EAGAIN:
		return "too many processes, see ulimit -u and the pids limit of the cgroup"
	default:
		return "not enough memory"
	}
}

// explainFiles finds out which file errno is about: the directory is entered
// first, then the program is opened, then its interpreter.
func explainFiles(dir, path string, errno syscall.Errno) (Reason, string) {
	if detail, ok := checkDir(dir); !ok {
		return ErrDir, detail
	}
	full := inDir(dir, path)
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return ErrPermission, "a directory above " + strconv.Quote(full) + " may not be searched"
	case err != nil:
		return ErrNotFound, "there is no " + strconv.Quote(full)
	case info.IsDir():
		return ErrIsDirectory, "name a program inside of it"
	case !info.Mode().IsRegular():
		return ErrNotExecutable, "it is no regular file"
	case info.Mode()&0o111 == 0:
		return ErrNotExecutable, "chmod +x " + strconv.Quote(full)
	}
	interp, script := interpreter(full)
	switch {
	case script && (errno != syscall.EACCES || !runnable(inDir(dir, interp))):
		return ErrInterpreter, "the first line of " + strconv.Quote(full) + " names " + strconv.Quote(interp)
	case errno == syscall.ENOENT || errno == syscall.ENOTDIR:
		return ErrInterpreter, "the dynamic loader that it was built for is missing"
	default:
		return ErrPermission, "check owner and mode of " + strconv.Quote(full) + " and the mount option noexec"
	}
}

// checkDir reports whether a process can be started in dir, and if not, why not.
func checkDir(dir string) (string, bool) {
	if dir == "" {
		return "", true
	}
	// The dot makes the kernel search the directory, as chdir does.
	if _, err := os.Stat(dir + "/."); err != nil {
		return strconv.Quote(dir) + " must be an existing directory that may be entered", false
	}
	return "", true
}

// inDir returns path as the child sees it after it has entered dir.
func inDir(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// interpreter returns the program that the first line of a script names.
func interpreter(path string) (name string, script bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 256)) // the kernel reads 256 bytes, too
	if err != nil || !bytes.HasPrefix(head, []byte("#!")) {
		return "", false
	}
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	if fields := bytes.Fields(line); len(fields) > 0 {
		return string(fields[0]), true
	}
	return "", true
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
