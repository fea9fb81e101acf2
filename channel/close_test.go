package channel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// MS-3: what reaches a side that receives nothing more comes back, and is known
// not to have been handed over; what was sent before is not touched.
func TestStopReceiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var got inbox
		a, b := sessions(t, near, far, func(*channel.Session, *wire.Envelope) {}, got.handle)
		send := func(number uint64, body string) {
			if err := a.Send(t.Context(), message(wire.Call, number, body)); err != nil {
				t.Error(err)
			}
			advance(time.Second)
		}
		send(1, "in time")
		b.StopReceiving()
		send(2, "late")
		send(3, string(make([]byte, 600<<10))) // in chunks
		send(4, "later")
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if calls := got.calls(); len(calls) != 1 || calls[0] != 1 {
			t.Errorf("handed over: %v, want 1", calls)
		}
		next := uint64(2)
		for e, doubt := range a.Undelivered() {
			if e.Call != next || doubt {
				t.Errorf("%d came back, in doubt: %v; want %d", e.Call, doubt, next)
			}
			next++
		}
		if next != 5 {
			t.Errorf("the last that came back is %d", next-1)
		}
	})
}

// TestEndsWithoutACause has nobody say why.
func TestEndsWithoutACause(t *testing.T) {
	for name, end := range map[string]func(*channel.Session){
		"abort":               func(s *channel.Session) { s.Abort(nil) },
		"end with connection": func(s *channel.Session) { s.EndWithConnection(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				p.net.Cut("b")
				synctest.Wait()
				end(p.a)
				synctest.Wait()
				select {
				case <-p.a.Done():
				default:
					t.Error("it goes on")
				}
				if p.a.Err() == nil {
					t.Error("it ended without an error")
				}
			})
		})
	}
}
