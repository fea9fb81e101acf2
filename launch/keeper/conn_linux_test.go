package keeper

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connections returns both ends.
func connections(t *testing.T) (a, b *conn) {
	t.Helper()
	a, f, err := connPair()
	if err != nil {
		t.Fatal(err)
	}
	b, err = newConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.close()
		b.close()
	})
	return a, b
}

// TestRealConnCutShort ends a connection in the middle of a message that brings
// descriptors: they do not stay open.
func TestRealConnCutShort(t *testing.T) {
	a, b := connections(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	frame, err := appendFrame(nil, request{ID: 1, Start: &start{Path: "x"}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	cerr := raw.Control(func(fd uintptr) { err = a.write(frame[:len(frame)-1], unix.UnixRights(int(fd), int(fd))) })
	if err := errors.Join(cerr, err, w.Close(), a.close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	b.forget()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a descriptor is left: %v", err)
	}
}

// TestRealConnBufferKept receives messages one by one without a buffer for each.
func TestRealConnBufferKept(t *testing.T) {
	a, b := connections(t)
	allocated := testing.AllocsPerRun(200, func() {
		if err := a.write([]byte{0, 0, 0, 1, 0, 0xa0}, nil); err != nil {
			t.Error(err)
		}
		if _, _, err := b.receive(); err != nil {
			t.Error(err)
		}
	})
	if cap(b.buf) != smallRead || allocated > 16 {
		t.Errorf("%v allocations for a message, and a buffer of %d bytes", allocated, cap(b.buf))
	}
}

// TestRealConn has several goroutines send messages of all sizes, with and
// without descriptors: each arrives whole, with its own descriptors.
func TestRealConn(t *testing.T) {
	a, b := connections(t)
	const senders, each = 4, 60
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := range each {
				if err := sendNumbered(a, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sum := 0
	for range senders * each {
		f, got, err := b.receive()
		if err != nil {
			t.Fatal(err)
		}
		r, err := decode[request](f)
		if err != nil {
			t.Fatal(err)
		}
		sum += int(r.ID)
		if r.Start == nil {
			continue
		}
		if len(r.Start.Dir) != 3000*int(r.ID) || got.cut || len(got.fds) != 2 {
			t.Fatalf("%d: %d bytes, %d descriptors", r.ID, len(r.Start.Dir), len(got.fds))
		}
		for _, f := range got.files() { // each is a pipe that holds its number
			b := make([]byte, 1)
			if _, err := f.Read(b); err != nil || int(b[0]) != int(r.ID) {
				t.Errorf("%d: got %v, %v", r.ID, b, err)
			}
			f.Close()
		}
	}
	wg.Wait()
	if want := senders * each * (each - 1) / 2; sum != want {
		t.Errorf("the numbers are %d, want %d", sum, want)
	}
	if err := a.hangUp(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.receive(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// sendNumbered sends a message with descriptors if i is odd.
func sendNumbered(c *conn, i int) error {
	if i%2 == 0 {
		return c.send(request{ID: uint64(i), Signal: &signals{Numbers: []int{1}}})
	}
	var fds []int
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := w.Write([]byte{byte(i)}); err != nil {
			return err
		}
		w.Close()
		fds = append(fds, int(r.Fd()))
	}
	return c.send(request{ID: uint64(i), Start: &start{Dir: string(bytes.Repeat([]byte("x"), 3000*i))}}, fds...)
}

// TestRealConnBroken ends a connection in the middle of a message, and sends
// what is none.
func TestRealConnBroken(t *testing.T) {
	whole, err := appendFrame(nil, request{ID: 1, Signal: &signals{}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"nothing", nil, io.EOF},
		{"a part", whole[:len(whole)-1], io.ErrUnexpectedEOF},
		{"a head", whole[:3], io.ErrUnexpectedEOF},
		{"too long", []byte{0xff, 0, 0, 0, 0}, errProtocol},
		{"too many descriptors", []byte{0, 0, 0, 1, maxFiles + 1, 0}, errProtocol},
		{"descriptors that are not there", []byte{0, 0, 0, 1, 1, 0}, errProtocol},
	}
	for _, tt := range tests {
		a, b := connections(t)
		if _, err := a.file.Write(tt.bytes); err != nil {
			t.Fatal(err)
		}
		if err := a.hangUp(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.receive(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	a, b := connections(t)
	b.close()
	if err := a.send(request{Signal: &signals{}}); !errors.Is(err, unix.EPIPE) {
		t.Errorf("to nobody: %v", err)
	}
}

// TestRealConnPost posts more than the connection takes while nobody reads: that
// waits for nobody, all of it arrives in the end, and done is called for each.
func TestRealConnPost(t *testing.T) {
	a, b := connections(t)
	const posts, long = 8, 256 << 10
	small := []byte{0, 0, 0, 1, 0, 0xa0}
	full := 0 // so many small messages fill the connection
	for {
		if _, err := a.writeSome(small, nil, false); errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		full++
	}
	var posting sync.WaitGroup
	for i := range uint64(posts) {
		posting.Add(1)
		a.post([]any{
			event{ID: i, Failed: &failed{Text: string(bytes.Repeat([]byte("x"), long))}},
			event{ID: i, Ended: &ended{}},
		}, posting.Done)
	}
	for range full {
		if _, _, err := b.receive(); err != nil {
			t.Fatal(err)
		}
	}
	for range posts {
		first, second := mustReceive(t, b), mustReceive(t, b)
		if first.Failed == nil || len(first.Failed.Text) != long || second.Ended == nil || first.ID != second.ID {
			t.Fatalf("posts are mixed up: ids %d and %d", first.ID, second.ID)
		}
	}
	posting.Wait()
	a.close()
	posting.Add(1)
	a.post([]any{event{Bye: &bye{}}}, posting.Done)
	posting.Wait() // it never will be written
}

func mustReceive(t *testing.T, c *conn) event {
	t.Helper()
	f, _, err := c.receive()
	if err != nil {
		t.Fatal(err)
	}
	e, err := decode[event](f)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
