package probe

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/launch"
)

// Log is a probe that is told: the process is ready when a line of its output
// matches. It is for one process. Its methods may be called concurrently.
type Log struct {
	pattern *regexp.Regexp
	lines   atomic.Int64
	once    sync.Once
	matched chan struct{} // closed at the first line that matches
}

// NewLog returns a probe for a line that matches the regular expression, in
// the syntax of package regexp, anywhere in it.
func NewLog(pattern string) (*Log, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w; see https://go.dev/s/re2syntax, and quote a literal text with \\Q...\\E", err)
	}
	return &Log{pattern: re, matched: make(chan struct{})}, nil
}

// Line takes a line of output, without its newline; it fits launch.Spec.Output.
// It takes time in proportion to the line until one has matched, and next to
// none from then on.
func (l *Log) Line(_ launch.Stream, line []byte) {
	if l.hasMatched() {
		return
	}
	l.lines.Add(1)
	if l.pattern.Match(line) {
		l.once.Do(func() { close(l.matched) })
	}
}

// AwaitReady returns nil once a line has matched, or a *NotReadyError when
// ctx is over.
func (l *Log) AwaitReady(ctx context.Context) error {
	select {
	case <-l.matched:
		return nil
	case <-ctx.Done():
		if l.hasMatched() {
			return nil
		}
		last := fmt.Errorf("no match in %s of output", times(int(l.lines.Load()), "line", "lines"))
		return &NotReadyError{Probe: l.String(), Last: last, Err: context.Cause(ctx)}
	}
}

func (l *Log) hasMatched() bool {
	select {
	case <-l.matched:
		return true
	default:
		return false
	}
}

func (l *Log) String() string { return Spec{KindLog, l.pattern.String()}.String() }
