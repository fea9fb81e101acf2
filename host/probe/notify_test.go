package probe

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// say gives a Notify without a socket a message of process 7.
func say(n *Notify, text string) { n.take(time.Now(), 7, []byte(text), true) }

func notEight(pid int) bool { return pid != 8 }

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []Notices
		n := newNotify(NotifyConfig{Member: notEight, OnNotice: func(n Notices) { heard = append(heard, n) }}, nil)
		begun := time.Now()
		say(n, "STATUS=loading\nEXTEND_TIMEOUT_USEC=2000000")
		n.take(begun, 8, []byte("READY=1"), true)
		n.take(begun, 0, []byte("READY=1"), true)
		n.take(begun, 7, []byte("READY=1"), false)
		want := Notices{Status: "loading", Patience: begun.Add(2 * time.Second), Refused: 3}
		if got := n.Notices(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOver)
		defer cancel()
		err := n.AwaitReady(ctx)
		text := `notify: not ready (no READY=1, status "loading", 3 messages refused: not from its processes, or too long): enough`
		if !errors.Is(err, errOver) || err.Error() != text {
			t.Errorf("got %q, want %q", err, text)
		}

		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if err := n.AwaitReady(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		say(n, "READY=1\nWATCHDOG=1\nSTATUS=")
		say(n, "READY=1\nSTOPPING=1")
		waiting.Wait()
		want = Notices{Ready: true, Stopping: true, Alive: begun.Add(time.Second), Patience: want.Patience, Refused: 3}
		if got := n.Notices(); got != want || len(heard) != 3 || heard[2] != want || heard[1].Stopping {
			t.Errorf("got %+v, want %+v; heard %+v", got, want, heard)
		}
		for range 20 {
			if err := n.AwaitReady(ctx); err != nil {
				t.Errorf("what has happened does not depend on the time left: %v", err)
			}
		}
	})
}

// TestWatchdog has a process that gives signs of life at the given seconds.
func TestWatchdog(t *testing.T) {
	tests := []struct {
		name      string
		interval  time.Duration
		alive     []int
		suspended [2]int // from, to
		fails     int    // at this second; 0: not before the context ends
	}{
		{"never", 10 * time.Second, nil, [2]int{}, 10},
		{"twice as often", 10 * time.Second, []int{5, 10, 15, 20, 25, 30, 35}, [2]int{}, 45},
		{"just too late", 10 * time.Second, []int{9, 20}, [2]int{}, 19},
		{"suspended", 10 * time.Second, []int{9}, [2]int{12, 32}, 39},
		{"resumed in time", 10 * time.Second, []int{9, 18}, [2]int{10, 17}, 28},
		{"no watchdog", 0, nil, [2]int{}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				n := newNotify(NotifyConfig{Watchdog: tt.interval, Suspended: func() bool {
					now := time.Since(begun)
					return now >= time.Duration(tt.suspended[0])*time.Second && now < time.Duration(tt.suspended[1])*time.Second
				}}, nil)
				for _, s := range tt.alive {
					time.AfterFunc(time.Duration(s)*time.Second, func() { say(n, "WATCHDOG=1") })
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errOver)
				defer cancel()
				err := n.AwaitFailure(ctx)
				if tt.fails == 0 {
					if err != errOver {
						t.Errorf("got %v", err)
					}
					return
				}
				e, ok := errors.AsType[*FailedError](err)
				if took := time.Since(begun); !ok || took != time.Duration(tt.fails)*time.Second {
					t.Fatalf("got %v after %v, want a failure after %ds", err, took, tt.fails)
				}
				if want := "notify: 1 miss in a row: no WATCHDOG=1 for 10s"; e.Error() != want {
					t.Errorf("got %q, want %q", e, want)
				}
			})
		})
	}
}

// TestWatchdogLate looks too late, as a program does that was stopped itself:
// there may be a sign of life that it has not read yet.
func TestWatchdogLate(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	never := func() bool { return false }
	w := watchdog{interval: 10 * time.Second, from: start}
	if now := start.Add(16 * time.Second); w.bites(now, time.Time{}, never) || w.due() != now.Add(10*time.Second) {
		t.Errorf("after looking late: %+v", w)
	}
	if !w.bites(w.due().Add(5*time.Second), time.Time{}, never) {
		t.Error("looking a little late, it must bite")
	}
}

func TestWatchdogTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotify(NotifyConfig{}, nil)
		time.AfterFunc(time.Second, func() { say(n, "WATCHDOG=trigger") })
		err := n.AwaitFailure(t.Context())
		if _, ok := errors.AsType[*FailedError](err); !ok {
			t.Errorf("got %v", err)
		}
		say(n, "WATCHDOG=trigger")
	})
}
