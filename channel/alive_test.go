package channel_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

func TestMS10CloseWhileBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.net.Cut("b")
		p.send(p.a, 1, 5)
		p.send(far, 1, 5)
		closed := make(chan error, 1)
		go func() { closed <- p.a.Close(t.Context()) }()
		advance(time.Second)
		select {
		case err := <-closed:
			t.Fatalf("closed while broken: %v", err)
		default:
		}
		p.net.Heal("b")
		if err := <-closed; err != nil {
			t.Error(err)
		}
		<-far.Done()
		p.wantAll(5)
		for _, s := range []*channel.Session{p.a, far} {
			for e, written := range s.Undelivered() {
				t.Errorf("undelivered: %d, %v", e.Call, written)
			}
		}
	})
}

func TestMS10CloseWhileBrokenEndsWithCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.net.Cut("b")
		synctest.Wait()
		p.send(p.a, 1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := p.a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		left := 0
		for _, written := range p.a.Undelivered() {
			if left++; written {
				t.Error("never sent, and in doubt")
			}
		}
		if left != 2 {
			t.Errorf("%d undelivered", left)
		}
		far.Abort(net.ErrClosed)
	})
}

// MS-10: an Abort is for good, and the peer hears of it.
func TestMS10AbortEndsBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.a.Abort(errors.New("enough"))
		<-p.a.Done()
		<-far.Done()
		if e, ok := errors.AsType[*channel.CloseError](far.Err()); !ok || e.Code != wire.CloseAborted {
			t.Errorf("b ended with %v", far.Err())
		}
	})
}

// depend makes somebody depend on p's session: a call without an answer.
func (p *pair) depend() {
	p.t.Helper()
	if err := p.a.Send(p.t.Context(), message(wire.Call, 1, "")); err != nil {
		p.t.Fatal(err)
	}
	advance(time.Second) // until it is acknowledged
}

// TestMS11HalfOpen has the network forget the connection: nothing arrives and
// nobody is told.
func TestMS11HalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.depend()
		start := time.Now()
		p.net.Vanish("a", "b")
		for p.a.Status().Resumed == 0 {
			advance(100 * time.Millisecond)
		}
		if d := time.Since(start); d < 4*time.Second || d > 6*time.Second {
			t.Errorf("found after %v", d)
		}
		if st := p.a.Status(); !errors.Is(st.Lost, channel.ErrSilent) {
			t.Errorf("lost because of %v", st.Lost)
		}
		p.send(p.a, 2, 5)
		p.send(far, 1, 5)
		p.wantAll(5)
		if st := far.Status(); !st.Connected || st.Resumed != 1 {
			t.Errorf("b: %+v", st)
		}
	})
}

func TestMS11NobodyDependsNobodyBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.send(p.a, 1, 3)
		p.send(p.far(), 1, 3)
		advance(2 * time.Second)
		p.net.Vanish("a", "b")
		advance(5 * time.Minute)
		if st := p.a.Status(); !st.Connected || st.Resumed != 0 {
			t.Errorf("somebody looked: %+v", st)
		}
		p.send(p.a, 4, 4) // now somebody depends on it
		advance(10 * time.Second)
		if got := p.atB.calls(); !slices.Equal(got, upTo(4)) || p.a.Status().Resumed != 1 {
			t.Errorf("b got %v, a: %+v", got, p.a.Status())
		}
	})
}

func TestMS11PauseTripsNothing(t *testing.T) {
	for _, who := range []string{"a", "b"} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t)
			p.far().Keep()
			p.depend()
			for range 10 {
				p.net.Node(who).Pause()
				advance(2 * time.Second)
				p.net.Node(who).Resume()
				advance(500 * time.Millisecond)
			}
			if st := p.a.Status(); st.Resumed != 0 || !st.Connected {
				t.Errorf("a pause of %s: %+v", who, st)
			}
		})
	}
}

func TestMS11IdleSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.send(p.a, 1, 3)
		p.send(far, 1, 3)
		start := time.Now()
		<-p.a.Done()
		<-far.Done()
		if d := time.Since(start); d < 10*time.Minute || d > 13*time.Minute {
			t.Errorf("expired after %v", d)
		}
		_, ofA := errors.AsType[*channel.CloseError](p.a.Err())
		_, ofB := errors.AsType[*channel.CloseError](far.Err())
		if !(errors.Is(p.a.Err(), channel.ErrIdle) || ofA) || !(errors.Is(far.Err(), channel.ErrIdle) || ofB) {
			t.Errorf("ended with %v and %v", p.a.Err(), far.Err())
		}
		p.wantAll(3)
		if p.net.Conns() != 0 {
			t.Errorf("%d ends are open", p.net.Conns())
		}
	})
}

// TestMS11ReceivingIsNotIdle sends one message that is longer under way than a
// session may be idle.
func TestMS11ReceivingIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(c *channel.Config) { c.IdleTimeout = 10 * time.Second })
		p.net.SetLink("a", "b", memnet.Link{Rate: 10_000, Buffer: 4 << 10})
		if err := p.a.Send(t.Context(), message(wire.Send, 1, string(make([]byte, 1_000_000)))); err != nil {
			t.Fatal(err)
		}
		advance(2 * time.Minute)
		if got := p.atB.calls(); !slices.Equal(got, upTo(1)) {
			t.Errorf("b got %v; a: %v", got, p.a.Err())
		}
	})
}

// TestMS11IdleCloseTakesItsTime closes an idle session over a link on which the
// Close and its answer are under way for a while.
func TestMS11IdleCloseTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.net.SetDelay(10 * time.Millisecond)
		p.cut(time.Second)
		p.send(p.a, 1, 3)
		p.send(far, 1, 3)
		<-p.a.Done()
		<-far.Done()
		p.wantAll(3)
	})
}

// TestMS11IdleCloseIsBounded has a peer that does not answer the Close of an
// idle session: it is stopped, or gone with the network.
func TestMS11IdleCloseIsBounded(t *testing.T) {
	for name, stop := range map[string]func(*pair){
		"stopped":  func(p *pair) { p.net.Node("b").Pause() },
		"vanished": func(p *pair) { p.net.Vanish("a", "b") },
		"cut off": func(p *pair) { // and a has lost its connection when the time is over
			p.net.Node("b").Pause()
			advance(12*time.Minute + 31*time.Second)
			p.net.Cut("b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				far := p.far()
				start := time.Now()
				p.send(p.a, 1, 1)
				advance(time.Second)
				stop(p)
				<-p.a.Done()
				if d := time.Since(start); d < 10*time.Minute || d > 13*time.Minute || !errors.Is(p.a.Err(), channel.ErrIdle) {
					t.Errorf("ended after %v with %v", d, p.a.Err())
				}
				for e := range p.a.Undelivered() {
					t.Errorf("call %d counts as undelivered", e.Call)
				}
				p.net.Node("b").Resume()
				p.net.Heal("b")
				far.Abort(net.ErrClosed)
			})
		})
	}
}

func TestMS11KeptSessionsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		release, another := p.a.Keep(), p.a.Keep()
		another()
		another() // which is nobody else's
		advance(time.Hour)
		if p.a.Err() != nil || far.Err() != nil {
			t.Fatalf("ended: %v, %v", p.a.Err(), far.Err())
		}
		p.cut(time.Second) // what it wants is said again on the next connection
		advance(time.Hour)
		if p.a.Err() != nil || far.Err() != nil {
			t.Fatalf("ended: %v, %v", p.a.Err(), far.Err())
		}
		release()
		start := time.Now()
		<-p.a.Done()
		if d := time.Since(start); d < 10*time.Minute || d > 13*time.Minute {
			t.Errorf("expired %v after nobody kept it", d)
		}
	})
}

// TestMS11CallsKeepTheirSession has a call that takes an hour.
func TestMS11CallsKeepTheirSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		far := p.far()
		p.depend()
		advance(time.Hour)
		e := message(wire.Reply, 1, "done")
		if err := far.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := p.atA.calls(); !slices.Equal(got, upTo(1)) {
			t.Errorf("a got %v", got)
		}
		start := time.Now()
		<-far.Done()
		if d := time.Since(start); d > 13*time.Minute {
			t.Errorf("expired %v after the answer", d)
		}
	})
}
