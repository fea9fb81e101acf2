package mtls

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// watch is credentials in files. It looks at the files when it is asked, and
// reads them when they have changed.
type watch struct {
	files authority.Files
	log   *slog.Logger

	mu      sync.Mutex // guards the following, and has one caller at a time read the files
	seen    []stamp    // of the files when they were read last; nil if they must be read again
	current *authority.Credentials
	said    string // what we said last of files that cannot be used
}

// stamp is what changes when a file is written or replaced.
type stamp struct {
	info     os.FileInfo // nil if it is not there
	modified time.Time
}

func newWatch(files authority.Files, log *slog.Logger) *watch { return &watch{files: files, log: log} }

func (s stamp) same(o stamp) bool {
	return s.info != nil && o.info != nil && os.SameFile(s.info, o.info) &&
		s.info.Size() == o.info.Size() && s.modified.Equal(o.modified)
}

// settled is how long a file must have been left alone before its stamp is
// relied on. File systems count in steps of some milliseconds, some of a second
// or two: what is written in the step in which we read would go unnoticed.
const settled = 3 * time.Second

// credentials returns what the files hold, or what they held when they could be
// used last.
func (w *watch) credentials() (authority.Credentials, error) {
	c, tell, err := w.look(time.Now())
	tell()
	return c, err
}

// look also returns what to do when the lock has been given up.
func (w *watch) look(at time.Time) (c authority.Credentials, tell func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stamps := w.stamps()
	if w.seen != nil && slices.EqualFunc(w.seen, stamps, stamp.same) {
		return *w.current, func() {}, nil
	}
	read, err := w.files.Credentials()
	switch {
	case err == nil:
		return read, w.tookLocked(read, stamps, at), nil
	case w.current == nil:
		return authority.Credentials{}, func() {}, err
	}
	return *w.current, w.keptLocked(err), nil
}

// tookLocked makes read the current credentials.
func (w *watch) tookLocked(read authority.Credentials, stamps []stamp, at time.Time) (tell func()) {
	replaced := w.current != nil && !w.current.Equal(read)
	w.current, w.seen, w.said = &read, nil, ""
	if !slices.ContainsFunc(stamps, func(s stamp) bool { return at.Sub(s.modified) < settled }) {
		w.seen = stamps
	}
	if !replaced {
		return func() {}
	}
	_, until := read.Valid()
	return func() {
		w.log.Info("our certificate was replaced", "name", read.Name.String(), "file", w.files.Cert, "expires", until.UTC())
	}
}

// keptLocked leaves the current credentials in use. The files are read again
// each time, until they can be used.
func (w *watch) keptLocked(err error) (tell func()) {
	w.seen = nil
	if err.Error() == w.said {
		return func() {}
	}
	w.said = err.Error()
	name := w.current.Name
	return func() {
		w.log.Warn("credentials cannot be used, those from before are", "name", name.String(), "file", w.files.Cert, "err", err)
	}
}

// stamps returns those of the files as they are; a file that is not there has
// one that is like no other.
func (w *watch) stamps() []stamp {
	var all []stamp
	for _, name := range w.files.Names() {
		s := stamp{}
		if info, err := os.Stat(name); err == nil {
			s = stamp{info, info.ModTime()}
		}
		all = append(all, s)
	}
	return all
}
