package launchtest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hyperactor/hyperactor/launch"
)

func outputChecks() []check {
	return []check{
		{"PS-8 no line of a fast writer is lost", func(f *fixture) {
			const n = 200_000
			var got [3]counter
			s := spec("print", strconv.Itoa(n))
			s.Output = func(which launch.Stream, line []byte) { got[which].next(line) }
			e := f.run(s)
			for _, which := range []launch.Stream{launch.Stdout, launch.Stderr} {
				if c := got[which]; c.lines != n || c.bad != "" || c.last != "the end" {
					f.Errorf("stream %d: %d lines, first bad line %q, last %q", which, c.lines, c.bad, c.last)
				}
			}
			lines := strings.Split(e.Stderr, "\n")
			if len(lines) != 100 || lines[99] != "the end" || lines[98] != fmt.Sprintf("line %d", n-1) || lines[0] != fmt.Sprintf("line %d", n-99) {
				f.Errorf("the tail has %d lines from %q to %q", len(lines), lines[0], lines[len(lines)-1])
			}
		}},
		{"PS-8 no byte of a long line is lost", func(f *fixture) {
			const n = 3*launch.MaxLine + 17
			sum := 0
			s := spec("long-line", strconv.Itoa(n))
			s.Output = func(_ launch.Stream, line []byte) {
				if sum += len(line); len(line) > launch.MaxLine {
					f.Errorf("a line of %d bytes", len(line))
				}
			}
			if f.run(s); sum != n {
				f.Errorf("got %d bytes, want %d", sum, n)
			}
		}},
		{"PS-9 a child that closes its output lives on", func(f *fixture) {
			s := spec("close-output")
			end := f.lifeline(&s)
			c := f.start(s)
			s.Control.Close()
			end.Close()
			if e := c.Wait(); e.Code != 4 || e.Cut {
				f.Errorf("got %+v, want exit 4", e)
			}
		}},
	}
}

// counter checks the lines of the behaviour "print".
type counter struct {
	lines     int
	bad, last string
}

func (c *counter) next(line []byte) {
	c.last = string(line)
	if c.last == "the end" {
		return
	}
	if c.bad == "" && c.last != "line "+strconv.Itoa(c.lines) {
		c.bad = c.last
	}
	c.lines++
}
