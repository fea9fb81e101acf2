package hyperactor

import (
	"errors"
	"fmt"
	"os"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// logs is where a Runtime keeps the output of its child processes (PS-8). The
// nil logs keeps nothing.
type logs struct {
	dir  *capture.Dir
	path string // of a directory of our own, which goes with us; "" if it is the user's
}

// openLogs opens the directory that cfg names, or one of our own: on disk,
// since output can be long, and not among the sockets.
func openLogs(cfg Config) (*logs, error) {
	if cfg.NoLogs || cfg.Local {
		return nil, nil
	}
	l, c := &logs{}, cfg.Logs
	if c.Path == "" {
		path, err := os.MkdirTemp("", "hyper-logs-") // 0700
		if err != nil {
			return nil, fmt.Errorf("directory for the output of procs: %w", err)
		}
		l.path, c.Path = path, path
	}
	if c.Log == nil {
		c.Log = cfg.Log
	}
	dir, err := capture.Open(c)
	if err != nil {
		return nil, errors.Join(err, l.remove())
	}
	l.dir = dir
	return l, nil
}

func (l *logs) remove() error {
	if l.path == "" {
		return nil
	}
	return os.RemoveAll(l.path)
}

// streams is what managers take; nil if nothing is kept.
func (l *logs) streams() func(host.ProcSpec) (host.Streams, error) {
	if l == nil {
		return nil
	}
	return func(s host.ProcSpec) (host.Streams, error) { return host.Capture(l.dir, s.Name) }
}

// reader reads what is kept; nil if nothing is.
func (l *logs) reader() *capture.Reader {
	if l == nil {
		return nil
	}
	return l.dir.Reader()
}

// close ends what streams and reader began. The procs have ended.
func (l *logs) close() error {
	if l == nil {
		return nil
	}
	return errors.Join(l.dir.Close(), l.remove())
}
