package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/internal/memnet"
)

func pair(t *testing.T, n *memnet.Network) (near, far net.Conn, l net.Listener) {
	t.Helper()
	l, err := n.Listen(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = n.Dial(t.Context(), "x"); err == nil {
		far, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far, l
}

func TestBytesArriveInOrderAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.SetDelay(time.Second)
		n.SetBuffer(10)
		near, far, l := pair(t, n)
		defer l.Close()
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			near.Write([]byte("twenty bytes, no less"))
			near.Close()
		})
		b, err := io.ReadAll(far)
		wg.Wait()
		far.Close()
		if string(b) != "twenty bytes, no less" || err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("got %q, %v after %v: want 21 bytes through a buffer of 10, a second each", b, err, time.Since(start))
		}
		if n.Conns() != 0 {
			t.Errorf("%d ends are open", n.Conns())
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.SetBuffer(1)
		near, far, l := pair(t, n)
		defer l.Close()
		start := time.Now()
		near.SetReadDeadline(start.Add(time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		near.SetWriteDeadline(start.Add(2 * time.Second))
		if k, err := near.Write([]byte("ab")); k != 1 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("write: %d, %v after %v", k, err, time.Since(start))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := near.Read(make([]byte, 1)); err == nil {
				t.Error("read past a deadline that was set later")
			}
		})
		near.SetDeadline(time.Time{})
		synctest.Wait()
		near.SetDeadline(time.Unix(1, 0))
		wg.Wait()
		near.Close()
		far.Close()
	})
}

func TestBreakAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, err := n.Listen(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		n.BreakAt("x", 3)
		near, _ := n.Dial(t.Context(), "x")
		far, _ := l.Accept()
		if k, err := near.Write([]byte("abcdef")); k != 3 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %d, %v", k, err)
		}
		if b, err := io.ReadAll(far); string(b) != "abc" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %q, %v", b, err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the dialer reads: %v", err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the listener's end writes: %v", err)
		}
	})
}

func TestCutAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		near, far, l := pair(t, n)
		defer l.Close()
		near.Write([]byte("lost"))
		n.Cut("x")
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read after the cut: %v", err)
			}
		}
		if _, err := n.Dial(t.Context(), "x"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		n.Heal("x")
		c, err := n.Dial(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		near, far, l := pair(t, n)
		near.(*memnet.Conn).CloseWrite()
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v, want EOF", err)
		}
		far.Write([]byte("x"))
		if k, err := near.Read(make([]byte, 1)); k != 1 || err != nil {
			t.Errorf("the other direction: %d, %v", k, err)
		}
		near.Close()
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed end: %v", err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after Close: %v", err)
		}
		if _, err := n.Dial(context.Background(), "x"); err == nil {
			t.Error("dialed a closed listener")
		}
		if _, err := n.Listen(context.Background(), "x"); err != nil {
			t.Errorf("listen again: %v", err)
		}
	})
}
