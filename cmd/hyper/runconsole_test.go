package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowFile takes a chunk when it is let.
type slowFile struct {
	let   chan struct{}
	taken strings.Builder
	err   error // what the next write gives
}

func (f *slowFile) Write(p []byte) (int, error) {
	<-f.let
	if f.err != nil {
		return 1, f.err
	}
	return f.taken.Write(p)
}

func TestConsoleKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowFile{let: make(chan struct{})}
		close(f.let)
		c := newConsole("stdout", f)
		p := []byte("a")
		var want strings.Builder
		for range 3 * maxChunks {
			c.Write(p)
			want.Write(p)
			p[0] = 'a' + (p[0]-'a'+1)%26 // it may be used again
		}
		if err := c.close(); err != nil || f.taken.String() != want.String() {
			t.Errorf("%v, got %q", err, f.taken.String())
		}
		if c.Write([]byte("late")); c.lost.Load() != 0 && c.lost.Load() != 4 {
			t.Errorf("lost %d bytes of a late write of 4", c.lost.Load())
		}
	})
}

func TestConsoleWaitsForTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowFile{let: make(chan struct{})}
		c := newConsole("stdout", f)
		wrote := 0
		go func() { // ends with the last write
			for wrote < maxChunks+10 {
				c.Write([]byte("x"))
				wrote++
			}
		}()
		synctest.Wait()
		if wrote != maxChunks+1 { // one is being written
			t.Errorf("%d chunks were taken while the file takes none", wrote)
		}
		for range 9 {
			f.let <- struct{}{}
			synctest.Wait()
		}
		if wrote != maxChunks+10 {
			t.Errorf("%d chunks were taken", wrote)
		}
		close(f.let)
		if err := c.close(); err != nil || f.taken.Len() != maxChunks+10 {
			t.Errorf("%v, %d bytes", err, f.taken.Len())
		}
	})
}

func TestConsoleGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowFile{let: make(chan struct{})}
		c := newConsole("stdout", f)
		wrote := make(chan struct{})
		go func() {
			for range maxChunks + 5 {
				c.Write([]byte("xy"))
			}
			close(wrote)
		}()
		synctest.Wait()
		c.giveUp()
		c.giveUp()
		<-wrote
		began := time.Now()
		err := c.close()
		if want := "stdout: 136 bytes were not taken in time and are lost"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if took := time.Since(began); took != lastWait {
			t.Errorf("close has taken %v", took)
		}
		close(f.let) // the goroutine that hangs in the file
	})
}

// TestConsoleGivesUpOnlyWhatIsStuck: a file that works loses nothing.
func TestConsoleGivesUpOnlyWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowFile{let: make(chan struct{})}
		close(f.let)
		c := newConsole("stdout", f)
		c.giveUp()
		c.Write([]byte("all of it"))
		if err := c.close(); err != nil || f.taken.String() != "all of it" {
			t.Errorf("%v, %q", err, f.taken.String())
		}
	})
}

func TestConsoleBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slowFile{let: make(chan struct{}), err: io.ErrClosedPipe}
		close(f.let)
		c := newConsole("stdout", f)
		c.Write([]byte("four"))
		<-c.broken
		f.err = nil // it stays broken: what comes later would follow a gap
		c.Write([]byte("five!"))
		err := c.close()
		if !errors.Is(err, io.ErrClosedPipe) || err.Error() != "stdout: io: read/write on closed pipe; 8 bytes are lost" {
			t.Errorf("got %v", err)
		}
	})
}
