package cable

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// newCable returns a cable that ends with the test, or skips the test.
func newCable(t *testing.T, hosts int) *Cable {
	t.Helper()
	if testing.Short() {
		t.Skip("real networks take their time: not with -short")
	}
	if err := probed(); err != nil {
		t.Skip(err)
	}
	t.Logf("seed %d: run again with -seed=%[1]d", *seed)
	c, err := New(*seed, hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// joined returns the ends of a TCP connection that host 0 has made to host 1.
func joined(t *testing.T, c *Cable) (dialer, listener net.Conn) {
	t.Helper()
	var l net.Listener
	address := net.JoinHostPort(c.Addr(1).String(), "7000")
	err := c.In(1, func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = c.In(0, func() (err error) {
		dialer, err = dialHere(address)
		return err
	})
	if err == nil {
		listener, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialer.Close(); listener.Close() })
	return dialer, listener
}

// dialHere connects from the namespace of the calling thread. A dialer with a
// timeout or two addresses would use other goroutines.
func dialHere(address string) (net.Conn, error) {
	addr, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	return net.DialTCP("tcp4", nil, addr)
}

// pass sends n bytes from one end to the other and checks them.
func pass(t *testing.T, from io.Writer, to io.Reader, n int) {
	t.Helper()
	sent := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := from.Write(sent)
		wrote <- err
	}()
	got := make([]byte, n)
	if _, err := io.ReadFull(to, got); err != nil {
		t.Error(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Error("other bytes arrived than were sent")
	}
}

func TestRealPerfectCable(t *testing.T) {
	c := newCable(t, 2)
	a, b := joined(t, c)
	pass(t, a, b, 4<<20)
	pass(t, b, a, 4<<20)
	if s := c.Stats(0, 1); s.SYN != 1 || s.Delivered < 4<<20/largest || s.Lost+s.Cut+s.Overflowed+s.Corrupted > 0 {
		t.Errorf("got %+v", s)
	}
}

func TestRealBadCable(t *testing.T) {
	c := newCable(t, 2)
	c.SetBoth(0, 1, Quality{
		Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond, Reorder: true,
		Loss: 0.02, Duplicate: 0.02, Corrupt: 0.02, // of 800 packets: none is as good as impossible
	})
	a, b := joined(t, c)
	began := time.Now()
	pass(t, a, b, 1<<20)
	t.Logf("1 MiB in %v: %+v", time.Since(began), c.Stats(0, 1))
	if s := c.Stats(0, 1); s.Lost == 0 || s.Duplicated == 0 || s.Corrupted == 0 {
		t.Errorf("the cable was not bad: %+v", s)
	}
}

func TestRealNarrowCable(t *testing.T) {
	c := newCable(t, 2)
	a, b := joined(t, c)
	c.SetBoth(0, 1, Quality{Rate: 4_000_000})
	began := time.Now()
	pass(t, a, b, 1<<20)
	if took, least := time.Since(began), 2*time.Second; took < least {
		t.Errorf("1 MiB went over 4 Mbit/s in %v, want at least %v", took, least)
	}
}

func TestRealCutCable(t *testing.T) {
	c := newCable(t, 2)
	a, b := joined(t, c)
	c.Set(0, 1, Quality{Cut: true})
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes through a cut cable, %v", n, err)
	}
	c.Set(0, 1, Quality{})
	b.SetReadDeadline(time.Time{})
	got := make([]byte, 1)
	if _, err := io.ReadFull(b, got); err != nil || got[0] != 'x' {
		t.Errorf("got %q, %v through the healed cable", got, err)
	}
}

func TestRealPulledCable(t *testing.T) {
	c := newCable(t, 3)
	a, b := joined(t, c)
	c.Pull(1)
	b.Close()
	a.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want nothing: the end of the peer is not to be seen", err)
	}
	if err := c.Await(t.Context(), 1, 0, func(s Stats) bool { return s.FIN > 0 }); err != nil || c.Stats(1, 0).Cut == 0 {
		t.Errorf("got %v and %+v, want the FIN that was cut", err, c.Stats(1, 0))
	}
	over, cancel := context.WithCancelCause(t.Context())
	cancel(io.EOF)
	if err := c.Await(over, 1, 0, func(Stats) bool { return false }); err != io.EOF {
		t.Errorf("got %v, want the cause of ctx", err)
	}
}

// TestRealInject sends garbage between two hosts; their connection does not mind.
func TestRealInject(t *testing.T) {
	c := newCable(t, 2)
	a, b := joined(t, c)
	chance := rand.NewChaCha8([32]byte{1})
	for i := range 500 {
		p := make([]byte, i)
		chance.Read(p)
		if i > 0 && i%2 == 0 {
			p[0] = 0x45 // the rest is as little a packet as before
		}
		c.Inject(0, 1, p)
	}
	pass(t, a, b, 1<<20)
}

// TestRealReset breaks a connection at a packet that one side sends; both see it.
func TestRealReset(t *testing.T) {
	c := newCable(t, 2)
	a, b := joined(t, c)
	pass(t, a, b, 100_000)
	pass(t, b, a, 100_000)
	c.Reset(0, 1)
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]net.Conn{"dialer": a, "listener": b} {
		end.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: read %d bytes, %v, want a reset", name, n, err)
		}
	}
}

// TestRealNothingIsLeft checks that Close leaves no thread in a namespace and
// no descriptor; TestMain does so for all tests.
func TestRealNothingIsLeft(t *testing.T) {
	newCable(t, 1) // or be skipped
	before := takeStock()
	for range 5 {
		c, err := New(*seed, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.In(2, func() error { return context.Canceled }); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := before.check(); err != nil {
		t.Error(err)
	}
}
