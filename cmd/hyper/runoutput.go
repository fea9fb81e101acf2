package main

import (
	"errors"
	"io"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// prefixMode says when lines are prefixed with who wrote them.
type prefixMode uint8

const (
	prefixAuto prefixMode = iota // on a terminal
	prefixAlways
	prefixNever
)

func (m prefixMode) String() string {
	return [...]string{"auto", "always", "never"}[min(m, prefixNever)]
}

// UnmarshalText takes what String returns.
func (m *prefixMode) UnmarshalText(text []byte) error {
	for _, known := range []prefixMode{prefixAuto, prefixAlways, prefixNever} {
		if known.String() == string(text) {
			*m = known
			return nil
		}
	}
	return errors.New("choose auto, always or never")
}

// on reports whether lines are prefixed where they go.
func (m prefixMode) on(terminal bool) bool { return m == prefixAlways || m == prefixAuto && terminal }

// outlet is where one stream of all procs goes.
type outlet struct {
	to       io.Writer
	prefixed bool
}

// output takes what the procs write.
type output struct {
	outlets [2]outlet // of stdout and stderr
	format  capture.Format

	// kept returns the logs of a proc. Nil: there are none.
	kept func(host.ProcSpec) (host.Streams, error)
}

// streams returns what takes the output of one incarnation of a proc: its log
// first, which waits for nobody.
func (o *output) streams(spec host.ProcSpec) (host.Streams, error) {
	var logs host.Streams // takes nothing
	if o.kept != nil {
		var err error
		if logs, err = o.kept(spec); err != nil {
			return logs, err
		}
	}
	stdout, end1 := o.outlets[0].writer(o.format, capture.Source{Proc: spec.Name, Stream: launch.Stdout})
	stderr, end2 := o.outlets[1].writer(o.format, capture.Source{Proc: spec.Name, Stream: launch.Stderr})
	return host.Streams{
		Stdout: both(logs.Stdout, stdout), Stderr: both(logs.Stderr, stderr),
		Finish: func() error { return errors.Join(end1(), end2(), logs.Close()) },
	}, nil
}

// writer returns what takes one stream of one incarnation, and what ends that.
func (o outlet) writer(format capture.Format, source capture.Source) (w io.Writer, end func() error) {
	if !o.prefixed {
		return o.to, func() error { return nil }
	}
	l := newLineWriter(o.to, format, source)
	return l, l.Close
}

// both writes to first, if there is one, and then to second.
func both(first, second io.Writer) io.Writer {
	if first == nil {
		return second
	}
	return io.MultiWriter(first, second)
}

// lineWriter passes on whole lines, each behind the prefix of its source. What
// has come at once goes on at once. One goroutine uses it.
type lineWriter struct {
	to    io.Writer
	lines *launch.Tail // splits them
	whole []byte       // the lines that have ended, as they go on
}

func newLineWriter(to io.Writer, format capture.Format, source capture.Source) *lineWriter {
	w := &lineWriter{to: to}
	w.lines = launch.NewTail(1, func(line []byte) {
		w.whole = format.Append(w.whole, capture.Line{Position: capture.Position{Source: source}, Text: line})
	})
	return w
}

// Write takes the next bytes.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.lines.Write(p)
	return len(p), w.pass()
}

// Close ends the last line, if it has no end of its own.
func (w *lineWriter) Close() error {
	w.lines.Flush()
	return w.pass()
}

func (w *lineWriter) pass() error {
	if len(w.whole) == 0 {
		return nil
	}
	_, err := w.to.Write(w.whole)
	w.whole = w.whole[:0]
	return err
}
