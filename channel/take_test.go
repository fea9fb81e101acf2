package channel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// Take gets small Sends before Handle, all else and what it refuses is Handle's,
// in order; and Settled comes after them, before the session waits.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var events []string // by the goroutine that reads
		handle := func(_ *channel.Session, e *wire.Envelope) { events = append(events, "handle "+string(e.Body)) }
		a, _ := sessions(t, near, far, func(*channel.Session, *wire.Envelope) {}, handle, func(c *channel.Config) {
			if c.Hello.Peer != procB {
				return
			}
			c.Take = func(_ *channel.Session, e *wire.Envelope) bool {
				if string(e.Body) == "no" {
					return false
				}
				events = append(events, "take "+string(e.Body))
				return true
			}
			c.Settled = func(*channel.Session) {
				if n := len(events); n > 0 && events[n-1] != "settled" {
					events = append(events, "settled")
				}
			}
		})
		for i, kind := range []wire.Kind{wire.Send, wire.Send, wire.Call, wire.Send} {
			body := fmt.Sprint("m", i)
			if i == 1 {
				body = "no"
			}
			if err := a.Send(t.Context(), message(kind, 0, body)); err != nil {
				t.Fatal(err)
			}
			advance(time.Second)
		}
		want := []string{"take m0", "settled", "handle no", "settled", "handle m2", "settled", "take m3", "settled"}
		if !slices.Equal(events, want) {
			t.Errorf("got %q, want %q", events, want)
		}
	})
}

// A body that is lent is the sender's again when Send has returned, also of a
// message that waits behind a large one.
func TestLentBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var in inbox
		a, _ := sessions(t, near, far, func(*channel.Session, *wire.Envelope) {}, in.handle)
		var enc wire.Encoder
		var want []string
		for i := range 12 {
			text := fmt.Sprint(i)
			switch {
			case i == 8:
				text += strings.Repeat("x", 300<<10)
			case i%4 == 1:
				text += strings.Repeat("y", 16<<10-3-len(text)) // the largest that is lent
			case i%4 == 2:
				text += strings.Repeat("z", 1000)
			}
			e := message(wire.Send, 0, "")
			if err := enc.Encode(e, &text); err != nil {
				t.Fatal(err)
			}
			if err := a.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			want = append(want, text)
		}
		advance(time.Second)
		in.mu.Lock()
		defer in.mu.Unlock()
		for i, e := range in.got {
			var got string
			if err := wire.Unmarshal(e.Body, &got); err != nil || got != want[i] {
				t.Errorf("message %d of %d bytes is another one: %v", i, len(want[i]), err)
			}
		}
		if len(in.got) != len(want) {
			t.Errorf("got %d messages, want %d", len(in.got), len(want))
		}
	})
}
