package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/term"
)

// consoles is where a run writes. Several may be one.
type consoles struct {
	stdout, stderr *console // of the procs
	answer         *console // writes to our stdout
	talk           *console // of hyper itself
	events         *console // nil: nobody wants them
	terminal       [2]bool  // whether stdout and stderr are one
	file           *os.File // of the events, if it is ours to close
}

// openConsoles opens what the plan writes to.
func openConsoles(p *runPlan, stdout, stderr io.Writer) (c consoles, err error) {
	c.terminal = [2]bool{isTerminal(stdout), isTerminal(stderr)}
	if p.events != "" && p.events != "-" {
		if c.file, err = os.OpenFile(p.events, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666); err != nil {
			return c, fmt.Errorf("--events: %w", err)
		}
		c.events = newConsole("--events", c.file)
	}
	c.talk = newConsole("stderr", stderr)
	c.stderr, c.stdout = c.talk, c.talk
	switch {
	case p.events == "-":
		c.events, c.terminal[0] = newConsole("stdout", stdout), c.terminal[1]
		c.answer = c.events
		return c, nil
	case !sameFile(stdout, stderr): // otherwise one writer keeps the lines of both whole
		c.stdout = newConsole("stdout", stdout)
	}
	c.answer = c.stdout
	return c, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func sameFile(a, b io.Writer) bool {
	f, ok1 := a.(*os.File)
	g, ok2 := b.(*os.File)
	if !ok1 || !ok2 {
		return a == b
	}
	info1, err1 := f.Stat()
	info2, err2 := g.Stat()
	return err1 == nil && err2 == nil && os.SameFile(info1, info2)
}

// outlets returns where the streams of the procs go.
func (c *consoles) outlets(mode prefixMode) [2]outlet {
	return [2]outlet{{c.stdout, mode.on(c.terminal[0])}, {c.stderr, mode.on(c.terminal[1])}}
}

// log returns a logger for what goes wrong meanwhile.
func (c *consoles) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.talk, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// all returns each console once, that of hyper itself last.
func (c *consoles) all() []*console {
	var all []*console
	for _, one := range []*console{c.stdout, c.stderr, c.events, c.talk} {
		if one != nil && one != c.talk && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return append(all, c.talk)
}

// giveUp stops waiting for those who do not take what is written.
func (c *consoles) giveUp() {
	for _, one := range c.all() {
		one.giveUp()
	}
}

// close waits until all is written, reports what could not be, and returns
// whether that is nothing. The report is the last that is written.
func (c *consoles) close() bool {
	ok := true
	all := c.all()
	for _, one := range all[:len(all)-1] {
		if err := one.close(); err != nil {
			ok = false
			c.say("%v", err)
		}
	}
	if c.file != nil {
		if err := c.file.Close(); err != nil {
			ok = false
			c.say("--events: %v", err)
		}
	}
	return c.talk.close() == nil && ok // there is nobody left to tell
}

// say writes a line for people.
func (c *consoles) say(format string, args ...any) {
	fmt.Fprintf(c.talk, "hyper: "+format+"\n", args...)
}
