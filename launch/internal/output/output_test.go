package output

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// TestRealBytes sends small and large pieces in turns: every byte arrives, and
// the last lines are there.
func TestRealBytes(t *testing.T) {
	var got [2]bytes.Buffer
	o, err := Open(launch.Spec{TailLines: 3, Stdout: &got[0], Stderr: &got[1]})
	if err != nil {
		t.Fatal(err)
	}
	o.Read()
	var want bytes.Buffer
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		line := strings.Repeat("x", random.IntN(100)) + "\n"
		if random.IntN(10) == 0 {
			line = strings.Repeat(line, 10_000)
		}
		want.WriteString(line)
	}
	stdout, stderr := o.Writers()
	for chunk := range slices.Chunk(want.Bytes(), 1<<20) {
		for _, w := range []io.Writer{stdout, stderr} {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.CloseWriters()
	if o.Drain(time.Minute) {
		t.Error("it was cut")
	}
	lines := strings.Split(strings.TrimSuffix(want.String(), "\n"), "\n")
	for i, s := range []launch.Stream{launch.Stdout, launch.Stderr} {
		if !bytes.Equal(got[i].Bytes(), want.Bytes()) {
			t.Errorf("stream %d: got %d bytes, want %d, or others", s, got[i].Len(), want.Len())
		}
		if tail := o.Tail(s); !slices.Equal(tail, lines[len(lines)-3:]) {
			t.Errorf("stream %d: last lines %q", s, tail)
		}
	}
}

// TestRealCut has somebody who keeps a pipe open.
func TestRealCut(t *testing.T) {
	o, err := Open(launch.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	o.Read()
	stdout, stderr := o.Writers()
	stderr.Close()
	if _, err := stdout.WriteString("so far"); err != nil {
		t.Fatal(err)
	}
	if !o.Drain(50 * time.Millisecond) {
		t.Error("it was not cut")
	}
	stdout.Close()
	if tail := o.Tail(launch.Stdout); !slices.Equal(tail, []string{"so far"}) {
		t.Errorf("last lines %q", tail)
	}
}

// TestRealSlowReader has more to read than there is time for when the process
// has ended.
func TestRealSlowReader(t *testing.T) {
	release := make(chan struct{})
	w := &slowWriter{release: release}
	o, err := Open(launch.Spec{Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	stdout, _ := o.Writers()
	if _, err := stdout.Write(bytes.Repeat([]byte("x\n"), 20<<10)); err != nil {
		t.Fatal(err)
	}
	o.CloseWriters()
	o.Read()
	over := make(chan bool)
	go func() { over <- o.Drain(0) }()
	close(release)
	if <-over || w.got != 40<<10 {
		t.Errorf("got %d bytes of %d, or was cut", w.got, 40<<10)
	}
}

// slowWriter holds its writer up until it is released.
type slowWriter struct {
	release <-chan struct{}
	got     int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.release
	w.got += len(p)
	return len(p), nil
}
