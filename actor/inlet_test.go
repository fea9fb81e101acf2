package actor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
	"github.com/hyperactor/hyperactor/wire"
)

// ledger is an actor that keeps what it is told, in whatever form that comes.
type ledger struct{ got []string }

type slip struct{ Text string }

func (n *ledger) keep(text string) error {
	n.got = append(n.got, text)
	return nil
}

var (
	noteText  = actor.OnSend("notes.text", func(n *ledger, _ context.Context, s string) error { return n.keep(s) })
	noteBytes = actor.OnSend("notes.bytes", func(n *ledger, _ context.Context, b []byte) error { return n.keep(string(b)) })
	noteSlip  = actor.OnSend("notes.slip", func(n *ledger, _ context.Context, s slip) error { return n.keep(s.Text) })
	noteAsk   = actor.On("notes.ask", func(n *ledger, _ context.Context, s string) ([]string, error) {
		n.keep(s)
		return n.got, nil
	})
	noteSleep = actor.OnSend("notes.sleep", func(_ *ledger, ctx context.Context, d time.Duration) error {
		pause(ctx, d)
		return nil
	})
	noteWrong = actor.OnSend("notes.number", func(n *ledger, _ context.Context, s string) error { return n.keep(s) })

	notesType = actor.Define("notes", func(context.Context, actor.None) (*ledger, error) { return &ledger{}, nil },
		noteText, noteBytes, noteSlip, noteAsk, noteSleep, noteWrong)

	// sentNumber is what somebody sends who believes that notes.number takes one.
	sentNumber = actor.OnSend("notes.number", func(*ledger, context.Context, int) error { return nil })
)

// notesNet runs f with a proc that sends, and a way to make receivers in another.
func notesNet(t *testing.T, cfg actor.Config, f func(ctx context.Context, receiver func(actor.Mailbox) actor.Ref[*ledger])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		n.SetDelay(time.Millisecond)
		there, thereCtx := n.Add("there", actor.Config{OnFailure: func(*actor.Failure) {}})
		_, ctx := n.Add("here", cfg)
		f(ctx, func(m actor.Mailbox) actor.Ref[*ledger] {
			ref, err := notesType.WithMailbox(m).Spawn(thereCtx, there.ID(), "", actor.None{})
			if err != nil {
				t.Fatal(err)
			}
			return ref
		})
	})
}

// elapse lets d of the bubble's time pass.
func elapse(d time.Duration) { <-time.After(d) }

// MS-1: messages that are decoded when they come and queued in runs, and all
// others, keep their order; what a sender's body was in is used again at once.
func TestRunsKeepOrder(t *testing.T) {
	for seed := range uint64(20) {
		notesNet(t, actor.Config{}, func(ctx context.Context, receiver func(actor.Mailbox) actor.Ref[*ledger]) {
			random := rand.New(rand.NewPCG(seed, 0))
			refs := []actor.Ref[*ledger]{receiver(actor.Mailbox{}), receiver(actor.Mailbox{})}
			want := make([][]string, len(refs))
			for i := range 600 {
				k := random.IntN(3) / 2
				text := fmt.Sprint(i, strings.Repeat("x", random.IntN(30)))
				want[k] = append(want[k], text)
				var err error
				switch form := random.IntN(30); {
				case form < 14:
					err = noteText.Send(ctx, refs[k], text)
				case form < 26:
					err = noteBytes.Send(ctx, refs[k], []byte(text))
				case form < 29:
					err = noteSlip.Send(ctx, refs[k], slip{text})
				default:
					_, err = noteAsk.Call(ctx, refs[k], text)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for k, ref := range refs {
				got, err := noteAsk.Call(ctx, ref, "end")
				if err != nil || !slices.Equal(got, append(want[k], "end")) {
					t.Errorf("seed %d: got %d messages %v, %v\nwant %v", seed, len(got), got, err, want[k])
				}
			}
		})
	}
}

// MS-3, MS-7: each message of a run has one outcome, whatever the mailbox does
// with those for which there is no room.
func TestRunsForAFullMailbox(t *testing.T) {
	const sent = 200
	for _, tt := range []struct {
		box     actor.Mailbox
		handled []string // the first and the last
		lost    int64
	}{
		{actor.Mailbox{Limit: 10}, []string{"0", "199"}, 0},
		{actor.Mailbox{Limit: 10, Full: actor.Refuse}, []string{"0", "8"}, sent - 9},
		{actor.Mailbox{Limit: 10, Full: actor.DropOldest}, []string{"191", "199"}, sent - 9},
	} {
		var lost atomic.Int64
		undeliverable := func(u actor.Undelivered) {
			if u.Method == noteText.Name() && u.Reason == wire.MailboxFull {
				lost.Add(1)
			}
		}
		notesNet(t, actor.Config{OnUndeliverable: undeliverable}, func(ctx context.Context, receiver func(actor.Mailbox) actor.Ref[*ledger]) {
			ref := receiver(tt.box)
			if err := noteSleep.Send(ctx, ref, time.Minute); err != nil {
				t.Fatal(err)
			}
			elapse(time.Second) // it sleeps, and is one of the ten
			for i := range sent {
				if err := noteText.Send(ctx, ref, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			elapse(2 * time.Minute)
			got, err := noteAsk.Call(ctx, ref, "end")
			if err != nil || len(got) != sent-int(tt.lost)+1 {
				t.Fatalf("%+v: got %d messages %v, %v", tt.box, len(got), got, err)
			}
			if edges := []string{got[0], got[len(got)-2]}; !slices.Equal(edges, tt.handled) || lost.Load() != tt.lost {
				t.Errorf("%+v: handled %v, %d came back; want %v, %d", tt.box, edges, lost.Load(), tt.handled, tt.lost)
			}
		})
	}
}

// MS-3: what is no request of its method goes back, and those before and after
// it in its run do not.
func TestMalformedInARun(t *testing.T) {
	var back []actor.Undelivered
	cfg := actor.Config{OnUndeliverable: func(u actor.Undelivered) { back = append(back, u) }}
	notesNet(t, cfg, func(ctx context.Context, receiver func(actor.Mailbox) actor.Ref[*ledger]) {
		ref := receiver(actor.Mailbox{})
		noteWrong.Send(ctx, ref, "before")
		sentNumber.Send(ctx, ref, 7)
		noteWrong.Send(ctx, ref, "after")
		got, err := noteAsk.Call(ctx, ref, "end")
		if want := []string{"before", "after", "end"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
		elapse(time.Second)
		if len(back) != 1 || back[0].Reason != wire.Malformed || back[0].Method != "notes.number" {
			t.Errorf("came back: %+v", back)
		}
	})
}

// MS-3: messages that come for an actor that has ended, or is another one of the
// same name, go back or to that one.
func TestRunsAndTheEndOfAnActor(t *testing.T) {
	var back atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, thereCtx := n.Add("there", actor.Config{})
		_, ctx := n.Add("here", actor.Config{OnUndeliverable: func(actor.Undelivered) { back.Add(1) }})
		for life := range 3 {
			ref, err := notesType.Spawn(thereCtx, there.ID(), "mortal", actor.None{})
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				noteText.Send(ctx, ref, "x")
			}
			got, err := noteAsk.Call(ctx, ref, "end")
			if err != nil || len(got) != 11 {
				t.Fatalf("life %d: got %v, %v", life, got, err)
			}
			if err := ref.Stop(ctx, time.Second); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				noteText.Send(ctx, ref, "late")
			}
			elapse(time.Second)
		}
		if back.Load() != 30 {
			t.Errorf("%d messages came back, want 30", back.Load())
		}
	})
}
