package capture

import "time"

// Line is one line of output, or a gap where bytes are missing.
type Line struct {
	Time     time.Time // when its first byte was read, see the package comment; zero if its index is lost
	Position           // where it begins
	Next     int64     // the offset behind it

	// Text is the line without its newline; nil for a gap. It is valid until the
	// next line is asked for.
	Text []byte

	// Partial says that no newline follows: the line is longer than
	// launch.MaxLine and goes on in the next one, or it was cut by the end of its
	// proc, by a gap, or by the end of what there is.
	Partial bool

	Gap Gap // not zero: bytes are missing here
}

// Resume returns the position behind the line. Query.From with it goes on with
// the next line; a gap that is exactly there is told again.
func (l Line) Resume() Position { return Position{l.Source, l.Next} }

// String returns the line as Format shows it.
func (l Line) String() string { return string(Format{}.appendLine(nil, l)) }

// Gap says how many bytes are missing.
type Gap struct {
	Bytes  int64
	Reason Reason
	Since  time.Time // when the first was lost; zero for the other reasons. The line's Time is when writing worked again
}

// Reason says why bytes are missing.
type Reason uint8

// The reasons.
const (
	Lost    Reason = 1 + iota // they could not be written
	Removed                   // they were rotated away, or somebody removed the file
	Damaged                   // their file cannot be read any more
)

func (r Reason) String() string {
	switch r {
	case Lost:
		return "lost"
	case Removed:
		return "removed"
	case Damaged:
		return "damaged"
	}
	return "none"
}

// stamp returns a record's time.
func stamp(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}
