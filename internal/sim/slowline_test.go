package sim

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// well gives what it is asked for.
type well struct{}

var (
	draw  = actor.On("well.draw", func(_ *well, _ context.Context, n int) ([]byte, error) { return make([]byte, n), nil })
	wells = actor.Define("well", func(context.Context, actor.None) (*well, error) { return &well{}, nil }, draw)
)

// slowLine is a laptop behind a line of its host that carries a megabyte a second,
// and another proc of the host.
type slowLine struct{ host, other, laptop *station }

func newSlowLine(t *testing.T, r *rig) slowLine {
	t.Helper()
	back := func(u actor.Undelivered) { t.Errorf("came back: %+v", u) }
	s := slowLine{
		r.add("host", actor.Config{OnUndeliverable: back}), r.add("other", actor.Config{OnUndeliverable: back}),
		r.addHidden("laptop", actor.Config{OnUndeliverable: back}),
	}
	s.host.knows(s.other)
	s.other.gateway.Uplink(s.host.ID(), s.host.addr)
	if _, err := s.laptop.gateway.Attach(t.Context(), s.host.addr); err != nil {
		t.Fatal(err)
	}
	r.net.Refuse("laptop", "other", true) // all goes through the host
	r.net.SetLink("host", "laptop", memnet.Link{Rate: 1 << 20, Delay: 20 * time.Millisecond, Buffer: 64 << 10})
	return s
}

// keepsLittle checks that the host does not store what the line is to carry: 3 MiB
// are a crowd, and the other proc may have 4 MiB on its way when it is asked to wait,
// and again as much if what it has sent meanwhile was acknowledged just before.
func (s slowLine) keepsLittle(t *testing.T) {
	t.Helper()
	const most = 12 << 20
	for _, st := range s.host.gateway.Sessions() {
		if st.Unacked > most {
			t.Errorf("the host keeps %d bytes for %v, want %d at most", st.Unacked, st.Peer, most)
		}
	}
}

// The load on the line: half a minute of it.
const (
	lineSize  = 40 << 10
	lineCount = 750
)

// MS-7: a proc sends no faster than the slow line behind its host carries.
func TestMS7SendsOverASlowLine(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		s := newSlowLine(t, r)
		var poured atomic.Int64
		tub := s.laptop.tub(t, "tub", tub{bytes: &poured}, actor.Mailbox{})
		var sender sync.WaitGroup
		sender.Go(func() {
			for range lineCount {
				if err := pour.Send(s.other.ctx(), tub, make([]byte, lineSize)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wait(t.Context(), 2*time.Second)
		s.keepsLittle(t)
		sender.Wait()
		wait(t.Context(), 40*time.Second)
		if got := poured.Load(); got != lineCount*lineSize {
			t.Errorf("the laptop got %d bytes, want %d", got, lineCount*lineSize)
		}
	})
}

// MS-7: nor does it answer faster, however many have asked.
func TestMS7RepliesOverASlowLine(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		s := newSlowLine(t, r)
		well, err := wells.Spawn(s.other.ctx(), s.other.ID(), "well", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for range lineCount {
			callers.Go(func() {
				if b, err := draw.Call(s.laptop.ctx(), well, lineSize); len(b) != lineSize || err != nil {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			})
		}
		wait(t.Context(), 2*time.Second)
		s.keepsLittle(t)
		callers.Wait()
	})
}

// MS-7, MS-9: transfers that the line does not carry are held back as well, and a
// small message to somebody else waits for none of them.
func TestMS9SmallBesideTransfersOverASlowLine(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.limits = wire.Limits{MaxFrame: 1 << 20, MaxBulk: 7 << 20} // a crowd of transfers is 4 MiB
		s := newSlowLine(t, r)
		const size, count = 900 << 10, 30
		var poured atomic.Int64
		large := s.laptop.tub(t, "large", tub{bytes: &poured}, actor.Mailbox{})
		small := s.laptop.tub(t, "small", tub{}, actor.Mailbox{})
		var sender sync.WaitGroup
		sender.Go(func() {
			for range count {
				if err := pour.Send(s.other.ctx(), large, make([]byte, size)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		var worst time.Duration
		for range 50 {
			start := time.Now()
			if _, err := hang.Call(s.other.ctx(), small, 0); err != nil {
				t.Error(err)
			}
			worst = max(worst, time.Since(start))
			wait(t.Context(), 100*time.Millisecond)
		}
		if worst > time.Second {
			t.Errorf("a small call took %v beside transfers", worst)
		}
		sender.Wait()
		wait(t.Context(), 30*time.Second)
		if got := poured.Load(); got != count*size {
			t.Errorf("the laptop got %d bytes, want %d", got, count*size)
		}
	})
}
