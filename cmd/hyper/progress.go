package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress is how far a job is.
type progress struct {
	what        string
	done, total int64 // bytes
	elapsed     time.Duration
	note        string
}

// fraction is how much is done, from 0 to 1.
func (p progress) fraction() float64 {
	if p.total <= 0 || p.done >= p.total {
		return 1
	}
	return max(0, float64(p.done)/float64(p.total))
}

// rate is in bytes a second; 0 if nobody can know.
func (p progress) rate() float64 {
	if p.elapsed <= 0 || p.done <= 0 {
		return 0
	}
	return float64(p.done) / p.elapsed.Seconds()
}

// left is the time to the end, if it goes on like this.
func (p progress) left() (d time.Duration, known bool) {
	if p.done >= p.total {
		return 0, true
	}
	s := float64(p.total-p.done) / p.rate()
	if s > math.MaxInt64/float64(time.Second) {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}

// line says all of it on one line without an end.
func (p progress) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %3d%%, %s of %s", p.what, int(100*p.fraction()), size(p.done), size(p.total))
	if r := p.rate(); r > 0 {
		fmt.Fprintf(&b, ", %s/s", size(int64(r)))
	}
	if d, known := p.left(); known && d > 0 {
		fmt.Fprintf(&b, ", %s left", left(d))
	}
	if p.note != "" {
		b.WriteString(", " + p.note)
	}
	return b.String()
}

// bar is line behind a bar, in up to width columns.
func (p progress) bar(width int) string {
	const cells = 20
	full := int(cells * p.fraction())
	s := "[" + strings.Repeat("=", full) + strings.Repeat(" ", cells-full) + "] " + p.line()
	return s[:min(len(s), max(0, width))] // all of it is ASCII
}

// left rounds a time to what is worth reading.
func left(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// size is n bytes in the unit that fits.
func size(n int64) string {
	f, unit := float64(n), 0
	units := [...]string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	for f >= 999.5 && unit < len(units)-1 {
		f /= 1000
		unit++
	}
	if unit == 0 || f >= 99.95 {
		return fmt.Sprintf("%.0f %s", f, units[unit])
	}
	return fmt.Sprintf("%.1f %s", f, units[unit])
}

// display shows progress: a bar that moves on a terminal, a line now and then
// elsewhere.
type display struct {
	w     io.Writer
	width func() (columns int, terminal bool)
}

// newDisplay returns a display on w.
func newDisplay(w io.Writer) display {
	if !isTerminal(w) {
		return display{w, func() (int, bool) { return 0, false }}
	}
	f := w.(*os.File)
	return display{w, func() (int, bool) {
		columns, _, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 {
			columns = 80
		}
		return columns - 1, true
	}}
}

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = time.Second
)

// during shows the progress of f until f returns.
func (d display) during(f func() error, now func() progress) error {
	ctx, cancel := context.WithCancel(context.Background())
	var shown sync.WaitGroup
	shown.Go(func() { d.show(ctx, now) })
	defer shown.Wait()
	defer cancel()
	return f()
}

func (d display) show(ctx context.Context, now func() progress) {
	every := lineEvery
	_, terminal := d.width()
	if terminal {
		every = barEvery
		defer fmt.Fprint(d.w, "\r\x1b[K")
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if columns, _ := d.width(); terminal {
			fmt.Fprint(d.w, "\r"+now().bar(columns)+"\x1b[K")
		} else {
			fmt.Fprintln(d.w, now().line())
		}
	}
}
