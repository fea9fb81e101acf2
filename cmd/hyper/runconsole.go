package main

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// console writes to a file that may take its time, such as a terminal that was
// stopped or a pipe that nobody reads. Who writes waits as long as the file
// does, like any program whose output goes there, but not for ever: giveUp lets
// everybody go on, and what was not taken by then is counted.
//
// Chunks go out whole and in order. The methods may be called concurrently.
type console struct {
	name   string // for messages
	w      io.Writer
	chunks chan []byte
	broken chan struct{} // closed when w has failed
	gaveUp chan struct{} // closed by giveUp
	ended  chan struct{} // closed by close
	done   chan struct{} // closed when all is written
	giveUp func()        // stops waiting for w

	err  error // why it is broken; to be read once it is
	lost atomic.Int64
}

// maxChunks is how many chunks wait for the file. A chunk is what a process
// wrote at once, so that a burst does not wait for the terminal.
const maxChunks = 64

// newConsole returns a console, which has to be closed.
func newConsole(name string, w io.Writer) *console {
	c := &console{
		name: name, w: w, chunks: make(chan []byte, maxChunks),
		broken: make(chan struct{}), gaveUp: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{}),
	}
	c.giveUp = sync.OnceFunc(func() { close(c.gaveUp) })
	go c.run() // close waits for it
	return c
}

// Write takes p. It never fails: broken and close tell.
func (c *console) Write(p []byte) (int, error) {
	chunk := bytes.Clone(p)
	select {
	case c.chunks <- chunk:
		return len(p), nil
	default: // no room
	}
	select {
	case c.chunks <- chunk:
	case <-c.gaveUp:
		c.lost.Add(int64(len(p)))
	case <-c.ended:
		c.lost.Add(int64(len(p)))
	}
	return len(p), nil
}

// run is the work of the one who waits for the file.
func (c *console) run() {
	defer close(c.done)
	for {
		select {
		case p := <-c.chunks:
			c.put(p)
		case <-c.ended:
			for p := range c.left() {
				c.put(p)
			}
			return
		}
	}
}

func (c *console) put(p []byte) {
	if c.err != nil {
		c.lost.Add(int64(len(p)))
		return
	}
	if n, err := c.w.Write(p); err != nil {
		c.lost.Add(int64(len(p) - n))
		c.err = err
		close(c.broken)
	}
}

// left yields the chunks that wait.
func (c *console) left() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			select {
			case p := <-c.chunks:
				if !yield(p) {
					return
				}
			default:
				return
			}
		}
	}
}

// lastWait is how long a file that was given up may still take for what waits.
const lastWait = 200 * time.Millisecond

// close waits until all is written, or given up, and says what was not taken.
// It is called once, when nobody has anything more to write. The goroutine that
// waits for a file which was given up ends with the program.
func (c *console) close() error {
	close(c.ended)
	select {
	case <-c.done:
	case <-c.gaveUp:
		select {
		case <-c.done:
		case <-time.After(lastWait):
			for p := range c.left() {
				c.lost.Add(int64(len(p)))
			}
		}
	}
	lost := c.lost.Load()
	select {
	case <-c.broken:
		return fmt.Errorf("%s: %w; %d bytes are lost", c.name, c.err, lost)
	default:
	}
	if lost > 0 {
		return fmt.Errorf("%s: %d bytes were not taken in time and are lost", c.name, lost)
	}
	return nil
}
