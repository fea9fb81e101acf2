package host

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// TestCondemn shows how a proc ends that must not go on, and that the record
// says why even if it stopped when it was asked to.
func TestCondemn(t *testing.T) {
	const grace = 5 * time.Second
	unwell := func(h *Handle) { h.Condemn("it is unwell", grace) }
	tests := []struct {
		name string
		body *fakeBody
		do   func(*Handle)
		log  string
		exit string
	}{
		{"obeys at once", &fakeBody{}, unwell,
			"[stop@1s]", "stopped: exit 0 after 1s, because it is unwell"},
		{"obeys slowly", &fakeBody{stop: 2 * time.Second}, unwell,
			"[stop@1s]", "stopped: exit 0 after 3s, because it is unwell"},
		{"ignores it", &fakeBody{stop: never}, unwell,
			"[stop@1s kill@6s]", "killed: signal 9 (killed) after 6s, because it is unwell"},
		{"no grace", &fakeBody{}, func(h *Handle) { h.Condemn("it is unwell", 0) },
			"[kill@1s]", "killed: signal 9 (killed) after 1s, because it is unwell"},
		{"twice", &fakeBody{stop: never}, func(h *Handle) { unwell(h); h.Condemn("it is worse", time.Second) },
			"[stop@1s kill@6s]", "killed: signal 9 (killed) after 6s, because it is unwell"},
		{"and then somebody asks, with less patience", &fakeBody{stop: never},
			func(h *Handle) { unwell(h); h.Terminate(context.Background(), 2*time.Second, "done") },
			"[stop@1s kill@3s]", "killed: signal 9 (killed) after 3s, because it is unwell; grace of 2s used up, asked for by the program: done"},
		{"before it is ready", &fakeBody{handshake: never}, unwell,
			"[stop@1s]", "failed: exit 0 after 1s in handshake, because it is unwell"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := tt.body.follow(FollowConfig{})
				<-time.After(time.Second)
				tt.do(h)
				exit := mustWait(t, h)
				if got := tt.body.done(); got != tt.log {
					t.Errorf("what was done = %s, want %s", got, tt.log)
				}
				if got := exit.String(); got != tt.exit {
					t.Errorf("exit\n got %s\nwant %s", got, tt.exit)
				}
			})
		})
	}
}

// TestCondemnedShows looks at a proc between its sentence and its end.
func TestCondemnedShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBody{stop: 2 * time.Second}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		h.Condemn("it is unwell", time.Minute)
		synctest.Wait()
		if s := h.Status(); s.Phase != Stopping || s.In != launch.PhaseRunning || s.Cause != "it is unwell" || s.Requested != (launch.Request{}) {
			t.Errorf("got %v", s)
		}
		mustWait(t, h)
	})
}

// TestCondemnDuringStop condemns a proc that has minutes to drain: it keeps them.
func TestCondemnDuringStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBody{drain: time.Minute}
		h := b.follow(FollowConfig{})
		mustReady(t, h)
		time.AfterFunc(time.Second, func() { h.Condemn("its port is closed", time.Second) })
		exit, err := h.Terminate(t.Context(), time.Hour, "done")
		if got, want := exit.String(), "stopped: exit 0 after 1m0s, asked for by the program: done"; got != want || err != nil {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
		if got, want := b.done(), "[drain@0s]"; got != want {
			t.Errorf("what was done = %s, want %s", got, want)
		}
	})
}

// TestNote follows what a proc says of itself.
func TestNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := (&fakeBody{}).follow(FollowConfig{})
		mustReady(t, h)
		for _, want := range []string{"loading", "serving", ""} {
			h.Note(want)
			synctest.Wait()
			if s := h.Status(); s.Note != want {
				t.Errorf("got %v, want note %q", s, want)
			}
		}
		h.Note("last words")
		h.Kill(t.Context(), "end of the test")
		if s := h.Status(); s.Note != "" {
			t.Errorf("after the end: note %q", s.Note)
		}
	})
}
