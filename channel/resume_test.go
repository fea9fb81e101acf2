package channel_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// pair is a session over a network that can break: a dials b.
type pair struct {
	t    *testing.T
	net  *memnet.Network
	a    *channel.Session
	atA  inbox
	atB  inbox
	hub  channel.Hub // of b
	cfgB channel.Config
	l    net.Listener
	wg   sync.WaitGroup
	slow time.Duration // how long it takes b to write its next hellos

	mu    sync.Mutex                                  // guards the following
	spoil func(conn net.Conn, giveUp func()) net.Conn // what becomes of b's first connection; nil for nothing
	b     *channel.Session                            // the last one
	all   []*channel.Session                          // of b
	runs  []error                                     // how sessions of b ended
	turns []error                                     // what Accept refused
}

// newPair listens as b and dials as a.
func newPair(t *testing.T, change ...func(*channel.Config)) *pair {
	t.Helper()
	p := &pair{t: t, net: memnet.New()}
	cfgA := channel.Config{Hello: wire.Hello{Peer: procA, Epoch: 1}, Handle: p.atA.handle}
	p.cfgB = channel.Config{Hello: wire.Hello{Peer: procB, Epoch: 2}, Handle: p.atB.handle}
	for _, f := range change {
		f(&cfgA)
		f(&p.cfgB)
	}
	p.listen()
	p.dial(cfgA)
	t.Cleanup(p.end)
	return p
}

// dial begins the session as a.
func (p *pair) dial(cfg channel.Config) {
	p.t.Helper()
	var err error
	if p.a, err = channel.Dial(p.t.Context(), p.net.Node("a"), "b", cfg); err != nil {
		p.t.Fatal(err)
	}
	p.wg.Go(func() { p.a.Run() })
}

// listen serves b.
func (p *pair) listen() {
	l, err := p.net.Node("b").Listen(context.Background(), "b")
	if err != nil {
		p.t.Fatal(err)
	}
	p.l = l
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.accept(conn) })
		}
	})
}

func (p *pair) accept(conn net.Conn) {
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	conn = &slowHello{conn, p.slow}
	p.mu.Lock()
	spoil := p.spoil
	p.spoil = nil
	p.mu.Unlock()
	if spoil != nil {
		conn = spoil(conn, giveUp)
	}
	s, err := p.hub.Accept(ctx, conn, p.cfgB)
	if s == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.turns = append(p.turns, err)
		return
	}
	p.mu.Lock()
	p.b = s
	p.all = append(p.all, s)
	p.mu.Unlock()
	err = s.Run()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs = append(p.runs, err)
}

// slowHello is a connection whose first write takes a while.
type slowHello struct {
	net.Conn
	d time.Duration
}

func (c *slowHello) Write(b []byte) (int, error) {
	advance(c.d)
	c.d = 0
	return c.Conn.Write(b)
}

func (c *slowHello) CloseWrite() error { return c.Conn.(*memnet.Conn).CloseWrite() }

// far returns b's end of the session.
func (p *pair) far() *channel.Session {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b
}

func (p *pair) end() {
	p.l.Close()
	p.a.Abort(net.ErrClosed)
	p.far()
	p.mu.Lock()
	all := p.all
	p.mu.Unlock()
	for _, b := range all {
		b.Abort(net.ErrClosed)
	}
	p.wg.Wait()
}

// cut breaks the connection; it can be made again after d.
func (p *pair) cut(d time.Duration) {
	p.net.Cut("b")
	advance(d)
	p.net.Heal("b")
}

func (p *pair) send(s *channel.Session, from, to uint64) {
	p.t.Helper()
	for i := from; i <= to; i++ {
		if err := s.Send(p.t.Context(), message(wire.Send, i, fmt.Sprintf("%*d", i%50, i))); err != nil {
			p.t.Fatal(err)
		}
	}
}

// wantAll requires that each side got n messages, once and in order.
func (p *pair) wantAll(n uint64) {
	p.t.Helper()
	synctest.Wait()
	if a, b := p.atA.calls(), p.atB.calls(); !slices.Equal(a, upTo(n)) || !slices.Equal(b, upTo(n)) {
		p.t.Errorf("a got %v\nb got %v\nwant %d each, in order", a, b, n)
	}
}

// TestMS1RedialWhileMuchIsOnItsWay has a dial again while b still has a lot to
// read from the connection before, and is slow to answer: what b says that it
// has stays true.
func TestMS1RedialWhileMuchIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		b := p.far()
		advance(time.Second)
		p.net.SetLink("a", "b", memnet.Link{Delay: 60 * time.Millisecond, Buffer: 8 << 20})
		if err := p.a.Send(t.Context(), message(wire.Send, 1, string(make([]byte, 2<<20)))); err != nil {
			t.Fatal(err)
		}
		advance(time.Millisecond)
		p.net.SetLink("a", "b", memnet.Link{Buffer: 64 << 10})
		p.slow = 100 * time.Millisecond
		p.net.ResetOne("a", "b")
		advance(90 * time.Millisecond) // all that was on its way is there
		p.net.SetLink("a", "b", memnet.Link{Delay: 10 * time.Millisecond, Buffer: 64 << 10})
		if err := b.Send(t.Context(), message(wire.Send, 1, "back")); err != nil {
			t.Fatal(err)
		}
		advance(30 * time.Second)
		p.wantAll(1)
		if st := p.a.Status(); st.Resumed != 1 || errors.Is(st.Lost, wire.ErrFraming) {
			t.Errorf("resumed %d times, the last time because of %v", st.Resumed, st.Lost)
		}
	})
}

func TestMS5ResumesAfterABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.send(p.a, 1, 10)
		p.send(p.far(), 1, 10)
		p.cut(time.Second)
		p.send(p.a, 11, 20)
		p.send(p.far(), 11, 20)
		advance(5 * time.Second)
		p.wantAll(20)
		for _, s := range []*channel.Session{p.a, p.far()} {
			if st := s.Status(); !st.Connected || st.Resumed != 1 || st.Lost == nil || st.Unacked != 0 {
				t.Errorf("status: %+v", st)
			}
		}
		if err := p.a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestMS5BreakAtEveryByte breaks a short conversation at each byte that the
// dialer writes after its hello.
func TestMS5BreakAtEveryByte(t *testing.T) {
	for at := range 700 {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			l, err := n.Listen(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			var hub channel.Hub
			var atA, atB inbox
			var wg sync.WaitGroup
			accepted := make(chan *channel.Session, 10)
			wg.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					wg.Go(func() {
						s, err := hub.Accept(context.Background(), conn, channel.Config{Hello: wire.Hello{Peer: procB}, Handle: atB.handle})
						if err == nil {
							accepted <- s
							s.Run()
						}
					})
				}
			})
			n.BreakAt("b", at+1)
			a, err := channel.Dial(t.Context(), n, "b", channel.Config{Hello: wire.Hello{Peer: procA}, Handle: atA.handle})
			if err == nil {
				wg.Go(func() { a.Run() })
				b := <-accepted
				for i := range uint64(5) {
					a.Send(t.Context(), message(wire.Send, i+1, "there"))
					b.Send(t.Context(), message(wire.Send, i+1, "back"))
				}
				advance(time.Second)
				if err := a.Close(t.Context()); err != nil {
					t.Errorf("broken at %d: %v", at, err)
				}
				<-b.Done()
				if !slices.Equal(atA.calls(), upTo(5)) || !slices.Equal(atB.calls(), upTo(5)) {
					t.Errorf("broken at %d: a got %v, b got %v", at, atA.calls(), atB.calls())
				}
				for _, s := range []*channel.Session{a, b} {
					for e, written := range s.Undelivered() {
						t.Errorf("broken at %d: %d is undelivered (%v)", at, e.Call, written)
					}
				}
			}
			l.Close()
			for len(accepted) > 0 {
				(<-accepted).Abort(net.ErrClosed)
			}
			wg.Wait()
		})
	}
}

func TestMS5BreaksDuringResume(t *testing.T) {
	for at := 1; at < 300; at += 3 {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t)
			p.send(p.a, 1, 5)
			p.send(p.far(), 1, 5)
			p.net.Cut("b")
			p.net.BreakAt("b", at)
			p.net.Heal("b")
			p.send(p.a, 6, 10)
			p.send(p.far(), 6, 10)
			advance(5 * time.Second)
			p.wantAll(10)
		})
	}
}

func TestMS5AcknowledgesAtOnceAfterResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *channel.Config) { c.AckDelay = time.Hour; c.Heartbeat = time.Hour })
		p.send(p.a, 1, 10)
		synctest.Wait()
		if st := p.a.Status(); st.Unacked == 0 {
			t.Fatal("it was acknowledged")
		}
		p.cut(time.Millisecond)
		advance(time.Second)
		if st := p.a.Status(); st.Unacked != 0 || st.Resumed != 1 {
			t.Errorf("after resume: %+v", st)
		}
		if got := p.atB.calls(); !slices.Equal(got, upTo(10)) {
			t.Errorf("got %v", got)
		}
	})
}

func TestMS5AcceptorForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *channel.Config) {
			if c.Hello.Peer == procB {
				c.ResumeFor = 3 * time.Second
			}
			c.AckDelay = time.Hour
		})
		p.send(p.a, 1, 3)
		far := p.far()
		p.net.Cut("b")
		synctest.Wait()
		p.send(p.a, 4, 5)
		far.Abort(errors.New("b gives up"))
		<-far.Done()
		p.net.Heal("b")
		<-p.a.Done()
		if err := p.a.Err(); !errors.Is(err, channel.ErrForgotten) {
			t.Errorf("ended with %v", err)
		}
		var got []string
		for e, written := range p.a.Undelivered() {
			got = append(got, fmt.Sprintf("%d %t %s %t %d", e.Call, written, e.Method, e.To == procB.Actor("to"), len(e.Body)))
		}
		want := []string{"1 true m true 0", "2 true m true 0", "3 true m true 0", "4 false m true 0", "5 false m true 0"}
		if !slices.Equal(got, want) {
			t.Errorf("undelivered: %q", got)
		}
	})
}

func TestMS5ResumeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *channel.Config) {
			if c.Hello.Peer == procB {
				c.ResumeFor = 20 * time.Second
			}
		})
		far := p.far()
		p.send(p.a, 1, 1)
		synctest.Wait()
		start := time.Now()
		p.net.Block("a", "b")
		p.net.Reset("a", "b")
		<-far.Done()
		if d := time.Since(start); d != 20*time.Second || !errors.Is(far.Err(), channel.ErrNotResumed) {
			t.Errorf("b gave up after %v: %v", d, far.Err())
		}
		<-p.a.Done()
		if d := time.Since(start); d > 21*time.Second {
			t.Errorf("a gave up after %v: %v", d, p.a.Err())
		}
	})
}

func TestMS6RestartedPeerOnTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.send(p.a, 1, 10)
		far := p.far()
		p.net.Cut("b")
		p.l.Close()
		far.Abort(errors.New("b is killed"))
		<-far.Done()
		p.cfgB.Hello.Epoch = 3
		p.listen()
		p.net.Heal("b")
		<-p.a.Done()
		if err := p.a.Err(); !errors.Is(err, channel.ErrForgotten) || !strings.Contains(err.Error(), "started again") {
			t.Errorf("ended with %v", err)
		}
		again, err := channel.Dial(t.Context(), p.net.Node("a"), "b", channel.Config{Hello: wire.Hello{Peer: procA, Epoch: 1}, Handle: p.atA.handle})
		if err != nil {
			t.Fatal(err)
		}
		p.wg.Go(func() { again.Run() })
		p.send(again, 11, 20) // its numbers begin with 1
		synctest.Wait()
		if got := p.atB.calls(); !slices.Equal(got, upTo(20)) {
			t.Errorf("b got %v", got)
		}
		again.Abort(net.ErrClosed)
	})
}

func TestMS5RefusedMeansGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.send(p.a, 1, 1)
		synctest.Wait()
		start := time.Now()
		p.net.Cut("b")
		<-p.a.Done()
		if d := time.Since(start); d < 5*time.Second || d > 7*time.Second || !errors.Is(p.a.Err(), channel.ErrNotResumed) {
			t.Errorf("gave up after %v: %v", d, p.a.Err())
		}
		far.Abort(net.ErrClosed)
	})
}

func TestMS5EndWithConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		cause := errors.New("exit 3")
		far.EndWithConnection(cause)
		p.send(p.a, 1, 3)
		synctest.Wait()
		if err := far.Err(); err != nil || !slices.Equal(p.atB.calls(), upTo(3)) {
			t.Errorf("it ended before its connection: %v, %v", err, p.atB.calls())
		}
		start := time.Now()
		p.net.Cut("b")
		<-far.Done()
		p.a.EndWithConnection(cause) // while it is broken
		<-p.a.Done()
		for _, s := range []*channel.Session{p.a, far} {
			if err := s.Err(); !errors.Is(err, cause) || time.Since(start) > 0 {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
		}
	})
}

func TestMS5FlappingForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		synctest.Wait()
		before := runtime.NumGoroutine()
		n := uint64(0)
		for range 300 {
			p.send(p.a, n+1, n+3)
			p.send(far, n+1, n+3)
			n += 3
			advance(100 * time.Millisecond)
			p.cut(100 * time.Millisecond)
		}
		advance(10 * time.Second)
		p.wantAll(n)
		synctest.Wait()
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%d goroutines before, %d after", before, after)
		}
		if st := p.a.Status(); st.Resumed < 100 {
			t.Errorf("resumed %d times", st.Resumed)
		}
	})
}
