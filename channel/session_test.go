package channel_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// inbox keeps what a session handed over.
type inbox struct {
	mu  sync.Mutex // guards the following
	got []wire.Envelope
}

func (b *inbox) handle(_ *channel.Session, e *wire.Envelope) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, *e)
}

func (b *inbox) calls() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls []uint64
	for _, e := range b.got {
		calls = append(calls, e.Call)
	}
	return calls
}

// memPair returns the two ends of a connection in memory, made after change.
func memPair(t *testing.T, change func(*memnet.Network)) (net.Conn, net.Conn) {
	t.Helper()
	n := memnet.New()
	l, err := n.Listen(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	change(n)
	near, err := n.Dial(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func plain(*memnet.Network) {}

func message(kind wire.Kind, call uint64, body string) *wire.Envelope {
	return &wire.Envelope{Kind: kind, TTL: 8, Call: call, To: procB.Actor("to"), From: procA.Actor("from"), Method: "m", Body: []byte(body)}
}

func upTo(n uint64) []uint64 {
	var s []uint64
	for i := range n {
		s = append(s, i+1)
	}
	return s
}

// MS-1.
func TestOrderAndAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var in, back inbox
		a, b := sessions(t, near, far, back.handle, in.handle)
		const n = 1000
		kinds := []wire.Kind{wire.Send, wire.Call}
		for i := range uint64(n) {
			if err := a.Send(t.Context(), message(kinds[i%2], i+1, strings.Repeat("x", int(i%40)*1000))); err != nil {
				t.Fatal(err)
			}
		}
		advance(time.Second)
		if got := in.calls(); !slices.Equal(got, upTo(n)) {
			t.Errorf("got %d messages %v", len(got), got)
		}
		b.Abort(errors.New("test"))
		<-a.Done()
		for e, written := range a.Undelivered() {
			t.Errorf("call %d, acknowledged long ago, counts as undelivered (%v)", e.Call, written)
		}
		if err := a.Send(t.Context(), message(wire.Send, 1, "")); !errors.Is(err, channel.ErrClosed) {
			t.Errorf("send after the end: %v", err)
		}
	})
}

// advance lets d of the bubble's time pass.
func advance(d time.Duration) { <-time.After(d) }

// TestUndelivered breaks the connection at many places; each message is
// delivered, or in Undelivered, and what counts as never written is not
// delivered (MS-3).
func TestUndelivered(t *testing.T) {
	for at := 100; at < 3000; at += 37 {
		synctest.Test(t, func(t *testing.T) {
			near, far := memPair(t, func(n *memnet.Network) { n.BreakAt("x", at); n.SetBuffer(512) })
			var in inbox
			a, b := sessions(t, near, far, (&inbox{}).handle, in.handle)
			var sent uint64
			for i := range uint64(40) {
				if a.Send(t.Context(), message(wire.Send, i+1, strings.Repeat("y", 20))) == nil {
					sent++
				}
			}
			<-a.Done()
			<-b.Done()
			got := in.calls()
			if !slices.Equal(got, upTo(uint64(len(got)))) {
				t.Fatalf("got %v", got)
			}
			var left []uint64
			for e, written := range a.Undelivered() {
				left = append(left, e.Call)
				if !written && slices.Contains(got, e.Call) {
					t.Errorf("%d never left and arrived", e.Call)
				}
				if e.Body != nil {
					t.Errorf("%d keeps its body", e.Call)
				}
			}
			if !slices.IsSorted(left) || len(left) > 0 && left[len(left)-1] != sent {
				t.Errorf("undelivered %v of %d", left, sent)
			}
			if lost := slices.DeleteFunc(upTo(sent), func(n uint64) bool { return slices.Contains(got, n) || slices.Contains(left, n) }); len(lost) > 0 {
				t.Errorf("broken at byte %d: %v are lost in silence", at, lost)
			}
		})
	}
}

// MS-7.
func TestSlowReaderBlocksOnlyUntilCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, func(n *memnet.Network) { n.SetBuffer(4096) })
		release := make(chan struct{})
		var in inbox
		a, _ := sessions(t, near, far, (&inbox{}).handle, func(s *channel.Session, e *wire.Envelope) {
			<-release
			in.handle(s, e)
		}, func(c *channel.Config) { c.QueueBytes = 64 << 10 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var sent uint64
		var err error
		for err == nil {
			if err = a.Send(ctx, message(wire.Call, sent+1, strings.Repeat("z", 1000))); err == nil {
				sent++
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if sent < 60 || sent > 200 {
			t.Errorf("%d messages of 1 KB went into a queue of 64 KiB", sent)
		}
		if a.Crowded(message(wire.Send, 0, "z")) != channel.Queue {
			t.Error("a session where a Send has to wait is not crowded")
		}
		for err = nil; err == nil; {
			if err = a.TrySend(message(wire.Send, sent+1, strings.Repeat("z", 1000))); err == nil {
				sent++
			}
		}
		if !errors.Is(err, wire.MailboxFull) || sent < 900 || sent > 1200 {
			t.Errorf("TrySend: %v, and %d messages of 1 KB are in a queue of 16 times 64 KiB", err, sent)
		}
		if err := a.TrySend(message(wire.Return, sent+1, strings.Repeat("z", 1000))); err != nil {
			t.Errorf("TrySend of a Return: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Eased(short, channel.Queue); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Eased: %v, want the deadline", err)
		}
		close(release)
		if err := a.Eased(t.Context(), channel.Queue); err != nil || a.Crowded(message(wire.Send, 0, "z")) != channel.NoCrowd || a.Status().Unacked > 32<<10 {
			t.Errorf("Eased: %v, with %d bytes that are not acknowledged", err, a.Status().Unacked)
		}
		synctest.Wait()
		if got := in.calls(); !slices.Equal(got, upTo(sent+1)) {
			t.Errorf("got %v", got)
		}
	})
}

// MS-10.
func TestGracefulClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, func(n *memnet.Network) { n.SetBuffer(100); n.SetDelay(time.Millisecond) })
		var atA, atB inbox
		a, b := sessions(t, near, far, atA.handle, atB.handle)
		for i := range uint64(50) {
			a.Send(t.Context(), message(wire.Send, i+1, "there"))
			b.Send(t.Context(), message(wire.Send, i+1, "back"))
		}
		var wg sync.WaitGroup
		wg.Go(func() { a.Close(t.Context()) })
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		<-b.Done()
		if !slices.Equal(atA.calls(), upTo(50)) || !slices.Equal(atB.calls(), upTo(50)) {
			t.Errorf("arrived: %v and %v", atA.calls(), atB.calls())
		}
		for _, s := range []*channel.Session{a, b} {
			for e := range s.Undelivered() {
				t.Errorf("undelivered after a graceful close: %d", e.Call)
			}
		}
		if e, ok := errors.AsType[*channel.CloseError](b.Err()); !ok || e.Code != wire.CloseDone {
			t.Errorf("b ended with %v", b.Err())
		}
	})
}

// MS-10.
func TestCloseOfBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, func(n *memnet.Network) { n.SetDelay(time.Millisecond) })
		a, b := sessions(t, near, far, (&inbox{}).handle, (&inbox{}).handle)
		a.Send(t.Context(), message(wire.Send, 1, ""))
		b.Send(t.Context(), message(wire.Send, 1, ""))
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() { a.Close(t.Context()) })
		wg.Go(func() { b.Close(t.Context()) })
		wg.Wait()
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("took %v", d)
		}
		for _, s := range []*channel.Session{a, b} {
			for e := range s.Undelivered() {
				t.Errorf("undelivered after a graceful close: %d", e.Call)
			}
		}
	})
}

// MS-10.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, func(n *memnet.Network) { n.SetBuffer(200) })
		release := make(chan struct{})
		a, _ := sessions(t, near, far, (&inbox{}).handle, func(*channel.Session, *wire.Envelope) { <-release })
		for i := range uint64(1000) {
			a.Send(t.Context(), message(wire.Send, i+1, strings.Repeat("x", 100)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		left := 0
		for range a.Undelivered() {
			left++
		}
		if left != 1000 {
			t.Errorf("%d undelivered, want all 1000: none was acknowledged", left)
		}
		close(release)
	})
}

// MS-8.
func TestTooLargeIsRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var in inbox
		a, _ := sessions(t, near, far, (&inbox{}).handle, in.handle, func(c *channel.Config) {
			if c.Hello.Peer == procB {
				c.Hello.Limits.MaxFrame = 1000
			}
		})
		if err := a.Send(t.Context(), message(wire.Send, 0, strings.Repeat("x", 2000))); !errors.Is(err, wire.TooLarge) {
			t.Errorf("got %v, want TooLarge", err)
		}
		a.Send(t.Context(), message(wire.Send, 1, "fits"))
		synctest.Wait()
		if got := in.calls(); !slices.Equal(got, upTo(1)) {
			t.Errorf("got %v", got)
		}
	})
}

func TestRealSession(t *testing.T) {
	tr := channel.System(channel.SystemConfig{})
	for _, addr := range []channel.Addr{channel.Addr("unix:" + shortDir(t) + "/s"), "tcp:127.0.0.1:0"} {
		t.Run(addr.Network(), func(t *testing.T) {
			l, addr, err := tr.Listen(t.Context(), addr)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer l.Close()
			wg.Go(func() { echo(t, l) })
			const n = 300
			var in inbox
			all := make(chan struct{})
			s, err := tr.Dial(t.Context(), addr, channel.Config{Hello: wire.Hello{Peer: procA}, Handle: func(s *channel.Session, e *wire.Envelope) {
				in.handle(s, e)
				if e.Call == n {
					close(all)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { s.Run() })
			for i := range uint64(n) {
				size := int(i%7) * 9000
				if err := s.Send(t.Context(), message(wire.Call, i+1, fmt.Sprintf("%*d", size, i))); err != nil {
					t.Fatal(err)
				}
			}
			<-all
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if !slices.Equal(in.calls(), upTo(n)) {
				t.Errorf("got %v", in.calls())
			}
			for _, e := range in.got {
				if want := fmt.Sprintf("%*d", int((e.Call-1)%7)*9000, e.Call-1); string(e.Body) != want {
					t.Errorf("body of %d is wrong: %d bytes", e.Call, len(e.Body))
				}
			}
		})
	}
}

// echo serves one session that answers every message with its body.
func echo(t *testing.T, l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	s, err := new(channel.Hub).Accept(t.Context(), conn, channel.Config{Hello: wire.Hello{Peer: procB}, Handle: func(s *channel.Session, e *wire.Envelope) {
		e.Kind, e.To, e.From = wire.Reply, e.From, e.To
		if err := s.TrySend(e); err != nil {
			t.Error(err)
		}
	}})
	if err != nil {
		t.Error(err)
		return
	}
	s.Run()
}

// TestRealSlowReader fills a socket from the calls' own goroutines: what the
// socket does not take at once is written later, in order, and the callers
// wait no longer than their ctx.
func TestRealSlowReader(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) { slowReader(t, network) })
	}
}

func slowReader(t *testing.T, network string) {
	near, far := realPair(t, network)
	release := make(chan struct{})
	var in inbox
	done := make(chan struct{})
	var sent uint64
	a, _ := sessions(t, near, far, (&inbox{}).handle, func(s *channel.Session, e *wire.Envelope) {
		<-release
		in.handle(s, e)
		if e.Kind == wire.Send {
			close(done)
		}
	}, func(c *channel.Config) { c.QueueBytes = 256 << 10 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var err error
	for err == nil {
		if err = a.Send(ctx, message(wire.Call, sent+1, strings.Repeat("z", int(sent%50)*100))); err == nil {
			sent++
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	close(release)
	if err := a.Send(t.Context(), message(wire.Send, sent+1, "")); err != nil {
		t.Fatal(err)
	}
	<-done
	if got := in.calls(); !slices.Equal(got, upTo(sent+1)) {
		t.Errorf("got %v", got)
	}
}

// mute is a connection that takes nothing more once it is shut.
type mute struct {
	net.Conn
	shut atomic.Bool
}

func (m *mute) Write(b []byte) (int, error) {
	if m.shut.Load() {
		return 0, syscall.EPIPE
	}
	return m.Conn.Write(b)
}

func TestLastWordsOfAPeerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, func(n *memnet.Network) { n.SetDelay(100 * time.Millisecond) })
		var in inbox
		m := &mute{Conn: near}
		a, b := sessions(t, m, far, in.handle, (&inbox{}).handle)
		advance(time.Second) // until both know of the session
		b.Send(t.Context(), message(wire.Send, 1, "last words"))
		m.shut.Store(true)
		start := time.Now()
		a.Send(t.Context(), message(wire.Send, 2, "x"))
		<-a.Done()
		if err := a.Send(t.Context(), message(wire.Send, 3, "x")); !errors.Is(err, channel.ErrClosed) {
			t.Errorf("send: %v", err)
		}
		if !slices.Equal(in.calls(), upTo(1)) || time.Since(start) != time.Second || !errors.Is(a.Err(), syscall.EPIPE) {
			t.Errorf("got %v, %v after %v", in.calls(), a.Err(), time.Since(start))
		}
		for e, written := range a.Undelivered() {
			if e.Call != 2 || !written {
				t.Errorf("undelivered: %d, %v", e.Call, written)
			}
		}
	})
}
