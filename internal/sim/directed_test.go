package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/internal/memnet"
)

// tub takes bodies: at once, or slowly.
type tub struct {
	slow  time.Duration // for each
	bytes *atomic.Int64 // that were taken
	got   *[]int
}

var (
	pour = actor.OnSend("tub.pour", func(u *tub, ctx context.Context, b []byte) error {
		u.bytes.Add(int64(len(b)))
		wait(ctx, u.slow)
		return nil
	})
	note = actor.OnSend("tub.note", func(u *tub, _ context.Context, n int) error {
		*u.got = append(*u.got, n)
		return nil
	})
	hang = actor.On("tub.hang", func(u *tub, ctx context.Context, d time.Duration) (int, error) {
		wait(ctx, d)
		return 1, nil
	})
	owe  = actor.OnDefer("tub.owe", func(*tub, context.Context, int, actor.Reply[int]) error { return nil })
	tubs = actor.Define("tub", func(_ context.Context, u tub) (*tub, error) { return &u, nil }, pour, note, hang, owe)
)

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *station) tub(t *testing.T, name string, u tub, box actor.Mailbox) actor.Ref[*tub] {
	t.Helper()
	ref, err := tubs.WithMailbox(box).Spawn(s.ctx(), s.ID(), name, u)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// MS-7: senders in three other procs offer 10 GB to an actor that takes 1 MiB a
// second. What is accepted beyond that fits into the queues, and an actor beside
// it is not held up.
func TestMS7TenGigabytesAreOffered(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const size, offered, limit = 1 << 20, 10 << 30, 16
		to := r.add("to", actor.Config{})
		var taken, accepted, refused atomic.Int64
		slow := to.tub(t, "slow", tub{slow: time.Second, bytes: &taken}, actor.Mailbox{Limit: limit})
		quick := to.tub(t, "quick", tub{bytes: new(atomic.Int64)}, actor.Mailbox{})
		body := make([]byte, size)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var senders sync.WaitGroup
		const from, each = 3, 8
		for i := range from {
			s := r.add(fmt.Sprint("from", i), actor.Config{})
			s.knows(to)
			for range each {
				senders.Go(func() {
					for range offered / size / from / each {
						if err := pour.Send(s.Context(ctx), slow, body); err == nil {
							accepted.Add(size)
						} else {
							refused.Add(size)
						}
					}
				})
			}
			senders.Go(func() { // somebody else is not held up
				for range 100 {
					start := time.Now()
					if err := pour.Send(s.Context(ctx), quick, body[:100]); err != nil || time.Since(start) > time.Second {
						t.Errorf("to the quick one: %v after %v", err, time.Since(start))
						return
					}
					wait(ctx, 100*time.Millisecond)
				}
			})
		}
		senders.Wait()
		// Each process may queue 4 MiB, the mailbox holds its limit, and every
		// sender has one more on its way when it is told to wait.
		bound := taken.Load() + (from*4+limit+2*from*each)*size
		if a := accepted.Load(); a > bound {
			t.Errorf("%d MiB were accepted, %d MiB were taken: want at most %d MiB", a>>20, taken.Load()>>20, bound>>20)
		}
		if sum := accepted.Load() + refused.Load(); sum < offered/10*9 {
			t.Errorf("only %d MiB were offered", sum>>20)
		}
		t.Logf("%d MiB accepted, %d MiB refused, %d MiB taken", accepted.Load()>>20, refused.Load()>>20, taken.Load()>>20)
	})
}

// MS-1, MS-5: a link that is up for 100 ms and down for 100 ms, for a minute,
// loses nothing, doubles nothing and keeps the order.
func TestMS5FlappingLink(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		from := r.add("from", actor.Config{OnUndeliverable: func(u actor.Undelivered) { t.Errorf("came back: %+v", u) }})
		to := r.add("to", actor.Config{})
		from.knows(to)
		r.net.SetDelay(2 * time.Millisecond)
		var got []int
		ref := to.tub(t, "tub", tub{got: &got}, actor.Mailbox{})
		const flaps = 300
		var flapping sync.WaitGroup
		flapping.Go(func() {
			for range flaps {
				wait(t.Context(), 100*time.Millisecond)
				r.net.Reset("from", "to")
				r.net.Block("from", "to")
				wait(t.Context(), 100*time.Millisecond)
				r.net.Unblock("from", "to")
			}
		})
		sent := 0
		for start := time.Now(); time.Since(start) < flaps*200*time.Millisecond; sent++ {
			if err := note.Send(from.ctx(), ref, sent); err != nil {
				t.Fatalf("message %d: %v", sent, err)
			}
			wait(t.Context(), 7*time.Millisecond)
		}
		flapping.Wait()
		wait(t.Context(), time.Minute)
		synctest.Wait()
		for i, n := range got {
			if n != i {
				t.Fatalf("message %d came as number %d", n, i)
			}
		}
		if len(got) != sent {
			t.Errorf("%d of %d messages came", len(got), sent)
		}
	})
}

// MS-1, MS-5: a connection that breaks for the sender alone still delivers what
// it holds, while the next one begins: what comes twice is handled once.
func TestMS5OldConnectionGoesOnDelivering(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		from := r.add("from", actor.Config{OnUndeliverable: func(u actor.Undelivered) { t.Errorf("came back: %+v", u) }})
		to := r.add("to", actor.Config{})
		from.knows(to)
		r.net.SetLink("from", "to", memnet.Link{Jitter: 50 * time.Millisecond})
		var got []int
		ref := to.tub(t, "tub", tub{got: &got}, actor.Mailbox{})
		const messages = 3000
		for i := range messages {
			if err := note.Send(from.ctx(), ref, i); err != nil {
				t.Fatal(err)
			}
			wait(t.Context(), time.Millisecond)
			if i%20 == 19 {
				r.net.ResetOne("from", "to")
			}
		}
		wait(t.Context(), time.Minute)
		synctest.Wait()
		if len(got) != messages || !slices.IsSorted(got) {
			t.Errorf("%d of %d messages came, in order: %v", len(got), messages, slices.IsSorted(got))
		}
	})
}

// A hundred nodes lose their host for three seconds. They keep their sessions,
// do not try too often, and do not all come in the same moment when it is back.
func TestMS5MassReconnect(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const nodes, away = 100, 3 * time.Second
		host := r.add("host", actor.Config{})
		var got []int
		ref := host.tub(t, "tub", tub{got: &got}, actor.Mailbox{})
		all := make([]*station, nodes)
		for i := range all {
			all[i] = r.add(fmt.Sprint("n", i), actor.Config{OnUndeliverable: func(u actor.Undelivered) { t.Errorf("came back: %+v", u) }})
			all[i].knows(host)
			if err := note.Send(all[i].ctx(), ref, i); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		lost := time.Now()
		r.net.Cut("host")
		for i, s := range all {
			if err := note.Send(s.ctx(), ref, nodes+i); err != nil {
				t.Error(err)
			}
		}
		wait(t.Context(), away)
		r.net.Heal("host")
		healed := time.Now()
		wait(t.Context(), 10*time.Second)
		synctest.Wait()
		var attempts, first []time.Time
		for _, s := range all {
			attempts = append(attempts, s.dials.since(lost)...)
			first = append(first, s.dials.since(healed)[0])
		}
		// The waits between attempts grow from 10 to 100 ms while dials are
		// refused, less up to a half.
		if most := nodes * int(away/(50*time.Millisecond)); len(attempts) > most {
			t.Errorf("%d attempts to connect, want at most %d", len(attempts), most)
		}
		if n := crowd(first, 10*time.Millisecond); n > nodes/2 {
			t.Errorf("%d of %d come back within 10 ms", n, nodes)
		}
		if len(got) != 2*nodes {
			t.Errorf("%d messages came, want %d", len(got), 2*nodes)
		}
		t.Logf("%d attempts, %d in the busiest 10 ms after the host was back", len(attempts), crowd(first, 10*time.Millisecond))
	})
}

// crowd returns how many of the times are within d of each other.
func crowd(times []time.Time, d time.Duration) (most int) {
	for _, from := range times {
		n := 0
		for _, t := range times {
			if !t.Before(from) && t.Before(from.Add(d)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// MS-14: a laptop that can dial and cannot be dialed loses its network for a
// minute: the call that waits for it, and what both sides send meanwhile, come
// through.
func TestMS14LaptopKeepsItsSession(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		back := func(u actor.Undelivered) { t.Errorf("came back: %+v", u) }
		host := r.add("host", actor.Config{OnUndeliverable: back})
		other := r.add("other", actor.Config{OnUndeliverable: back})
		laptop := r.addHidden("laptop", actor.Config{OnUndeliverable: back})
		host.knows(other)
		other.gateway.Uplink(host.ID(), host.addr)
		if _, err := laptop.gateway.Attach(t.Context(), host.addr); err != nil {
			t.Fatal(err)
		}
		var there, here []int
		far := other.tub(t, "tub", tub{got: &there}, actor.Mailbox{})
		near := laptop.tub(t, "tub", tub{got: &here}, actor.Mailbox{})
		var calls sync.WaitGroup
		calls.Go(func() {
			if n, err := hang.Call(laptop.ctx(), far, 30*time.Second); n != 1 || err != nil {
				t.Errorf("the laptop's call: %d, %v", n, err)
			}
		})
		calls.Go(func() {
			if n, err := hang.Call(other.ctx(), near, 30*time.Second); n != 1 || err != nil {
				t.Errorf("the call to the laptop: %d, %v", n, err)
			}
		})
		wait(t.Context(), time.Second)
		for _, peer := range []string{"host", "other"} { // cable pulled: no end is told
			r.net.Vanish("laptop", peer)
			r.net.Block("laptop", peer)
			r.net.Block(peer, "laptop")
		}
		for i := range 10 {
			bound, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			if err := note.Send(laptop.Context(bound), far, i); err != nil {
				t.Errorf("from the laptop: %v", err)
			}
			if err := note.Send(other.Context(bound), near, i); err != nil {
				t.Errorf("to the laptop: %v", err)
			}
			cancel()
		}
		wait(t.Context(), time.Minute)
		r.net.Restore()
		calls.Wait()
		wait(t.Context(), 10*time.Second)
		synctest.Wait()
		for _, got := range [][]int{there, here} {
			if fmt.Sprint(got) != "[0 1 2 3 4 5 6 7 8 9]" {
				t.Errorf("got %v, want 0 to 9", got)
			}
		}
	})
}

// MS-4: a thousand calls wait for a node that is killed. All of them end as soon
// as its end is known.
func TestMS4ThousandCallsEndWithTheirNode(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		from, to := r.add("from", actor.Config{}), r.add("to", actor.Config{})
		from.knows(to)
		ref := to.tub(t, "tub", tub{}, actor.Mailbox{Limit: 2000})
		var calls sync.WaitGroup
		var known atomic.Pointer[time.Time]
		for range 1000 {
			calls.Go(func() {
				_, err := owe.Call(from.ctx(), ref, 1)
				if !errors.Is(err, actor.ErrPeerGone) || !errors.Is(err, errDead) {
					t.Errorf("a call ended with %v", err)
				}
				if since := known.Load(); since == nil || time.Since(*since) > 100*time.Millisecond {
					t.Error("a call did not end when the end was known, but at another time")
				}
			})
		}
		synctest.Wait()
		to.mem.Kill()
		wait(t.Context(), 500*time.Millisecond)
		now := time.Now()
		known.Store(&now)
		from.gateway.Unroute(to.ID(), errDead)
		calls.Wait()
	})
}
