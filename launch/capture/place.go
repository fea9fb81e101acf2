package capture

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Source names one stream of one proc. It is comparable.
type Source struct {
	Proc   string
	Stream launch.Stream
}

// String returns "worker/stdout".
func (s Source) String() string { return s.Proc + "/" + streamName(s.Stream) }

func (s Source) check() error {
	if err := id.CheckName(s.Proc); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if s.Stream != launch.Stdout && s.Stream != launch.Stderr {
		return fmt.Errorf("stream %d of proc %s: want launch.Stdout or launch.Stderr", s.Stream, s.Proc)
	}
	return nil
}

func streamName(s launch.Stream) string {
	switch s {
	case launch.Stdout:
		return "stdout"
	case launch.Stderr:
		return "stderr"
	}
	return strconv.Itoa(int(s))
}

func parseStream(name string) (launch.Stream, bool) {
	switch name {
	case "stdout":
		return launch.Stdout, true
	case "stderr":
		return launch.Stderr, true
	}
	return 0, false
}

// Position is a place in a stream: Offset bytes of it were stored before. It
// stays valid until Dir.Remove, also when the bytes there have been rotated away.
type Position struct {
	Source
	Offset int64
}

// String returns "worker/stdout@1234", which ParsePosition understands.
func (p Position) String() string {
	return p.Source.String() + "@" + strconv.FormatInt(p.Offset, 10)
}

// ParsePosition parses the text of a Position.
func ParsePosition(text string) (Position, error) {
	source, offset, ok := strings.Cut(text, "@")
	proc, stream, ok2 := strings.Cut(source, "/")
	s, ok3 := parseStream(stream)
	n, err := strconv.ParseUint(offset, 10, 63)
	p := Position{Source{proc, s}, int64(n & math.MaxInt64)}
	if !ok || !ok2 || !ok3 || err != nil || p.String() != text {
		return Position{}, fmt.Errorf("position %q: want a proc, its stream and an offset, as in worker/stdout@1234", text)
	}
	if err := p.check(); err != nil {
		return Position{}, fmt.Errorf("position %q: %w", text, err)
	}
	return p, nil
}

// place is where a stream has come to.
type place struct {
	offset int64
	line   int64 // how many lines have ended
	open   bool  // the last line has not
}

// feed moves over b.
func (p *place) feed(b []byte) {
	if len(b) == 0 {
		return
	}
	p.offset += int64(len(b))
	p.line += int64(bytes.Count(b, []byte{'\n'}))
	p.open = b[len(b)-1] != '\n'
}

// cut ends the last line without a newline.
func (p *place) cut() {
	if p.open {
		p.line++
		p.open = false
	}
}
