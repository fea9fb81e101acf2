package capture

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hyperactor/hyperactor/launch"
)

// Format says how lines look on a terminal. It is a value without state.
type Format struct {
	// Label returns the name and the rank of a proc. Nil: a name that ends in a
	// dash and a number, as in "trainer-3", is rank 3 of "trainer"; another one has no rank.
	Label func(proc string) (name string, rank int, ranked bool)

	Width   int    // prefixes are filled up to so many characters
	Time    string // a layout as in package time; "" for no times
	Streams bool   // say which lines are from stderr
}

// Prefix returns what stands before the lines of a source: "trainer[3] ", and
// with Streams "trainer[3] err ".
func (f Format) Prefix(s Source) string {
	label := f.Label
	if label == nil {
		label = splitRank
	}
	text, rank, ranked := label(s.Proc)
	if ranked {
		text += "[" + strconv.Itoa(rank) + "]"
	}
	switch {
	case f.Streams && s.Stream == launch.Stderr:
		text += " err"
	case f.Streams:
		text += " out"
	}
	return text + strings.Repeat(" ", max(0, f.Width-utf8.RuneCountInString(text))) + " "
}

func splitRank(proc string) (string, int, bool) {
	i := strings.LastIndexByte(proc, '-')
	if i <= 0 {
		return proc, 0, false
	}
	rank, err := strconv.ParseUint(proc[i+1:], 10, 31)
	if err != nil {
		return proc, 0, false
	}
	return proc[:i], int(rank), true
}

// FitWidth returns f with the Width that lines up the prefixes of all sources.
func (f Format) FitWidth(sources []Source) Format {
	f.Width = 0
	width := 0
	for _, s := range sources {
		width = max(width, utf8.RuneCountInString(f.Prefix(s))-1)
	}
	f.Width = width
	return f
}

// Append appends l as one line with its newline. Bytes of the child go out as
// they are, apart from a carriage return at the end. A long line that goes on,
// or one that was cut, ends in "…".
func (f Format) Append(to []byte, l Line) []byte { return append(f.appendLine(to, l), '\n') }

func (f Format) appendLine(to []byte, l Line) []byte {
	if f.Time != "" {
		to = append(l.Time.AppendFormat(to, f.Time), ' ')
	}
	to = append(to, f.Prefix(l.Source)...)
	if l.Gap != (Gap{}) {
		return appendGap(to, l)
	}
	to = append(to, bytes.TrimSuffix(l.Text, []byte{'\r'})...)
	if l.Partial {
		to = append(to, "…"...)
	}
	return to
}

func appendGap(to []byte, l Line) []byte {
	to = append(to, "--- "...)
	to = strconv.AppendInt(to, l.Gap.Bytes, 10)
	to = append(to, " bytes "+l.Gap.Reason.String()...)
	if l.Gap.Reason == Lost {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		to = l.Gap.Since.AppendFormat(append(to, " between "...), layout)
		to = l.Time.AppendFormat(append(to, " and "...), layout)
	}
	return append(to, " ---"...)
}
