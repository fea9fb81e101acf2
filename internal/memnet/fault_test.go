package memnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/internal/memnet"
)

// joined runs f with the two ends of a connection that node a has made to b.
func joined(t *testing.T, f func(t *testing.T, n *memnet.Network, near, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, err := n.Node("b").Listen(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		near, err := n.Node("a").Dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		f(t, n, near, far)
		near.Close()
		far.Close()
		l.Close()
		if n.Conns() != 0 {
			t.Errorf("%d ends are open", n.Conns())
		}
	})
}

// after requires that f takes exactly d.
func after(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took != d {
		t.Errorf("took %v, want %v", took, d)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if k, err := io.ReadFull(c, b); string(b[:k]) != want || err != nil {
		t.Errorf("read %q, %v, want %q", b[:k], err, want)
	}
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if k, err := c.Write([]byte(s)); k != len(s) || err != nil {
		t.Errorf("write %q: %d, %v", s, k, err)
	}
}

func TestBlockHoldsWhatIsOnItsWay(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.SetLink("a", "b", memnet.Link{Delay: time.Second})
		write(t, near, "first")
		time.AfterFunc(time.Second/2, func() { n.Block("a", "b") })
		time.AfterFunc(time.Minute, func() { n.Unblock("a", "b") })
		after(t, time.Minute+time.Second, func() { read(t, far, "first") })
	})
}

func TestBlockStopsTheOtherWayWhenItsBufferIsFull(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.SetBuffer(4)
		n.Block("a", "b")
		time.AfterFunc(time.Minute, func() { n.Unblock("a", "b") })
		var wg sync.WaitGroup
		wg.Go(func() { after(t, 0, func() { read(t, near, "1234") }) })
		after(t, time.Minute, func() { write(t, far, "12345678") })
		wg.Wait()
		read(t, near, "5678")
	})
}

func TestBlockedDialWaits(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, _, _ net.Conn) {
		n.Block("b", "a") // the answer
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		after(t, time.Second, func() {
			if _, err := n.Node("a").Dial(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("dial: %v", err)
			}
		})
		time.AfterFunc(time.Hour, n.Restore)
		after(t, time.Hour, func() {
			c, err := n.Node("a").Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	})
}

func TestDialTakesARoundTrip(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, _, _ net.Conn) {
		n.SetLink("a", "b", memnet.Link{Delay: time.Second})
		n.SetLink("b", "a", memnet.Link{Delay: 2 * time.Second})
		after(t, 3*time.Second, func() {
			c, err := n.Node("a").Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	})
}

func TestRate(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.SetLink("a", "b", memnet.Link{Rate: 10})
		write(t, near, "0123456789")
		write(t, near, "0123456789")
		after(t, 2*time.Second, func() { read(t, far, "01234567890123456789") })
	})
}

// Jitter changes the order between connections, and never within one.
func TestJitter(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.SetLink("a", "b", memnet.Link{Jitter: time.Second})
		sent, start := "", time.Now()
		for i := range 50 {
			s := fmt.Sprintf("%02d", i)
			write(t, near, s)
			sent += s
		}
		read(t, far, sent)
		if took := time.Since(start); took < time.Second/2 || took > time.Second {
			t.Errorf("the last of 50 took %v, want nearly a second", took)
		}
	})
}

func TestVanishTellsNobody(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.SetBuffer(10)
		write(t, near, "lost")
		giveUp := n.Vanish("b", "a")
		write(t, near, "123456") // fits into the buffer, where it stays
		far.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := far.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("read: %v", err)
		}
		near.SetWriteDeadline(time.Now().Add(time.Hour))
		if k, err := near.Write([]byte("x")); k != 0 || !isTimeout(err) {
			t.Errorf("write to a full buffer: %d, %v", k, err)
		}
		other, err := n.Node("a").Dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		write(t, other, "new one")
		giveUp()
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read after the end: %v", err)
			}
		}
		other.Close()
	})
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestBreakAfterCountsOverAllConnections(t *testing.T) {
	for _, eof := range []bool{false, true} {
		joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
			n.BreakAfter("b", "a", 5, eof)
			write(t, far, "123")
			write(t, near, "other direction")
			if k, err := far.Write([]byte("456")); k != 2 || err == nil {
				t.Errorf("write: %d, %v", k, err)
			}
			b, err := io.ReadAll(near)
			if string(b) != "12345" || eof != (err == nil) || !eof && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("eof %v: read %q, %v", eof, b, err)
			}
			read(t, far, "other direction")
		})
	}
}

func TestPause(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		b := n.Node("b")
		b.Pause()
		time.AfterFunc(time.Minute, b.Resume)
		write(t, near, "to the stopped one")
		var wg sync.WaitGroup
		wg.Go(func() { after(t, time.Minute, func() { read(t, far, "to the stopped one") }) })
		after(t, time.Minute, func() { write(t, far, "from it") })
		read(t, near, "from it")
		wg.Wait()
	})
}

func TestRefuseAndReset(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.Refuse("a", "b", true)
		if _, err := n.Node("a").Dial(t.Context(), "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		c, err := n.Node("c").Dial(t.Context(), "b")
		if err != nil {
			t.Fatalf("dial from another node: %v", err)
		}
		if ends := n.Reset("a", "b"); ends != 2 {
			t.Errorf("%d ends were reset, want 2", ends)
		}
		for _, end := range []net.Conn{near, far} {
			if _, err := end.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
		write(t, c, "x")
		c.Close()
	})
}

func TestAcceptDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		b := n.Node("b")
		b.SetAcceptDelay(time.Second)
		l, err := b.Listen(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		var near, far net.Conn
		after(t, 0, func() { near, err = n.Dial(t.Context(), "b") })
		if err != nil {
			t.Fatal(err)
		}
		after(t, time.Second, func() { far, err = l.Accept() })
		if err != nil {
			t.Fatal(err)
		}
		near.Close()
		far.Close()
		l.Close()
	})
}

func TestKill(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		b := n.Node("b")
		write(t, far, "last words")
		b.Kill()
		if b, err := io.ReadAll(near); string(b) != "last words" || err != nil {
			t.Errorf("read from the dead: %q, %v", b, err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the dead writes: %v", err)
		}
		if _, err := b.Listen(t.Context(), "c"); err == nil {
			t.Error("the dead listens")
		}
		if _, err := n.Node("a").Dial(t.Context(), "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		l, err := n.Node("b").Listen(t.Context(), "b")
		if err != nil {
			t.Fatalf("a new life: %v", err)
		}
		l.Close()
	})
}

func TestResetOne(t *testing.T) {
	joined(t, func(t *testing.T, n *memnet.Network, near, far net.Conn) {
		n.SetLink("a", "b", memnet.Link{Delay: time.Second})
		write(t, near, "on its way")
		n.ResetOne("a", "b")
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
		after(t, time.Second, func() {
			if b, err := io.ReadAll(far); string(b) != "on its way" || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other end reads %q, %v", b, err)
			}
		})
	})
}
