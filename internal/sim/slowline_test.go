package sim

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/internal/memnet"
)

// well gives what it is asked for.
type well struct{}

var (
	draw  = actor.On("well.draw", func(_ *well, _ context.Context, n int) ([]byte, error) { return make([]byte, n), nil })
	wells = actor.Define("well", func(context.Context, actor.None) (*well, error) { return &well{}, nil }, draw)
)

// MS-7: what a proc sends and answers to one behind a slow line of its host is as
// fast as that line: everything arrives, and the host keeps little of it.
func TestMS7SlowLineBehindAHost(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const size, count, rate = 10 << 10, 1500, 1 << 20
		back := func(u actor.Undelivered) { t.Errorf("came back: %+v", u) }
		host := r.add("host", actor.Config{OnUndeliverable: back})
		other := r.add("other", actor.Config{OnUndeliverable: back})
		laptop := r.addHidden("laptop", actor.Config{OnUndeliverable: back})
		host.knows(other)
		other.gateway.Uplink(host.ID(), host.addr)
		if _, err := laptop.gateway.Attach(t.Context(), host.addr); err != nil {
			t.Fatal(err)
		}
		r.net.SetLink("host", "laptop", memnet.Link{Rate: rate, Delay: 20 * time.Millisecond, Buffer: 64 << 10})
		var poured atomic.Int64
		near := laptop.tub(t, "tub", tub{bytes: &poured}, actor.Mailbox{})
		far, err := wells.Spawn(other.ctx(), other.ID(), "well", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var work sync.WaitGroup
		work.Go(func() {
			for range count {
				if err := pour.Send(other.ctx(), near, make([]byte, size)); err != nil {
					t.Errorf("to the laptop: %v", err)
					return
				}
			}
		})
		for range count {
			work.Go(func() {
				if b, err := draw.Call(laptop.ctx(), far, size); len(b) != size || err != nil {
					t.Errorf("the laptop's call: %d bytes, %v", len(b), err)
				}
			})
		}
		wait(t.Context(), 10*time.Second)
		for _, s := range host.gateway.Sessions() {
			if s.Unacked > 12<<20 {
				t.Errorf("the host keeps %d bytes for %v", s.Unacked, s.Peer)
			}
		}
		work.Wait()
		if d, least := time.Since(start), 2*count*size/rate*time.Second; d < least*9/10 || d > least*3/2 {
			t.Errorf("took %v, and the line needs %v", d, least)
		}
		wait(t.Context(), 10*time.Second)
		if got := poured.Load(); got != count*size {
			t.Errorf("the laptop got %d bytes, want %d", got, count*size)
		}
	})
}
