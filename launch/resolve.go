package launch

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Program is what a Spec comes down to: the file to run and its arguments,
// the program's own name first.
type Program struct {
	Path string
	Argv []string

	// Remote is set by who has looked where the program and its working directory
	// lie: the kernel may have to wait for somebody else before it can run it.
	Remote bool
}

// WithDefaults returns s with every bound set.
func (s Spec) WithDefaults() Spec {
	if s.TailLines <= 0 {
		s.TailLines = 100
	}
	if s.DrainBound <= 0 {
		s.DrainBound = 500 * time.Millisecond
	}
	return s
}

// Resolve checks s and finds its program. A Path without a slash is searched
// for in the PATH of s.Env, which is the PATH that the process itself will see;
// our own does not matter. Entries of PATH that are not absolute are skipped. A
// Path with a slash that is not absolute is relative to s.Dir. An error is a
// *StartError.
func (s Spec) Resolve() (Program, error) {
	if err := s.check(); err != nil {
		return Program{}, err
	}
	path, name := s.Path, s.Argv0
	if name == "" {
		name = s.Path
	}
	switch {
	case s.Path == Self:
		self, err := selfPath()
		if err != nil {
			return Program{}, &StartError{Op: "find", Path: s.Path, Reason: ErrNotFound, Err: err}
		}
		path = self
		if s.Argv0 == "" && len(os.Args) > 0 {
			name = os.Args[0]
		}
	case !strings.Contains(s.Path, "/"):
		found, err := s.search()
		if err != nil {
			return Program{}, err
		}
		path = found
	}
	return Program{Path: path, Argv: append([]string{name}, s.Args...)}, nil
}

// selfPath returns a path of our own image. On linux it names the image that
// is running, whatever lies on the disk by now (PS-6).
func selfPath() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// check finds what no system can start.
func (s Spec) check() error {
	bad := func(reason Reason, detail string) error {
		return &StartError{Op: "check", Path: s.Path, Reason: reason, Detail: detail}
	}
	hasNUL := func(v string) bool { return strings.IndexByte(v, 0) >= 0 }
	if s.Path == "" {
		return bad(ErrNotFound, "the path is empty")
	}
	if hasNUL(s.Path) || hasNUL(s.Argv0) {
		return bad(ErrArgs, "the program's name has a NUL byte")
	}
	if i := slices.IndexFunc(s.Args, hasNUL); i >= 0 {
		return bad(ErrArgs, "argument "+strconv.Itoa(i)+" ("+strconv.Quote(clip(s.Args[i]))+") has a NUL byte")
	}
	if i := slices.IndexFunc(s.Env, hasNUL); i >= 0 {
		key, _, _ := strings.Cut(s.Env[i], "=")
		return bad(ErrArgs, "environment variable "+strconv.Quote(clip(key))+" has a NUL byte")
	}
	if hasNUL(s.Dir) {
		return bad(ErrDir, strconv.Quote(s.Dir)+" has a NUL byte")
	}
	if p := s.Limits.problem(); p != "" {
		return bad(ErrBadLimit, p)
	}
	return nil
}

// clip keeps an error message readable.
func clip(v string) string {
	if len(v) > 80 {
		return v[:80] + "…"
	}
	return v
}

// search finds a program by name. If only files that cannot be run bear the
// name, the error says so.
func (s Spec) search() (string, error) {
	e := &StartError{Op: "find", Path: s.Path, Reason: ErrNotFound}
	list, ok := lookupEnv(s.Env, "PATH")
	if !ok {
		e.Detail = "the process's environment has no PATH, set it or give a path with a slash"
		return "", e
	}
	e.Detail = "not in its PATH " + strconv.Quote(list)
	for _, dir := range filepath.SplitList(list) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, s.Path)
		if runnable(path) {
			return path, nil
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && e.Reason == ErrNotFound {
			e.Reason, e.Detail = ErrNotExecutable, "chmod +x "+strconv.Quote(path)
		}
	}
	return "", e
}

// lookupEnv returns the value of key. As with getenv, the first one counts.
func lookupEnv(env []string, key string) (string, bool) {
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}
