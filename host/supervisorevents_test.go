package host

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// TestSlowWatcher: a watcher that does not keep up is told how much it lost,
// and holds nobody up; one that comes late gets what is kept.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := worker(restart.Always)
		spec.RestartLimits.MaxRestarts = 49
		s := mustSupervise(t, newStage(t, crash(time.Second)), spec)
		seen, missed := 0, 0
		for e := range s.Events(t.Context()) {
			if seen++; seen == 1 {
				if e.Kind != EventStarting || e.Incarnation != 1 {
					t.Errorf("the first event is %v", e)
				}
				_, _ = s.Wait(t.Context())
			}
			missed += e.Missed
			if last := seen+missed == 250; last != (e.Kind == EventGaveUp) {
				t.Errorf("event %d of 250 is %v", seen+missed, e)
			}
		}
		if seen != maxEvents+1 || missed != 250-maxEvents-1 {
			t.Errorf("%d events seen and %d missed", seen, missed)
		}
		for e := range s.Events(t.Context()) {
			if e.Missed != 250-maxEvents {
				t.Errorf("a late watcher missed %d", e.Missed)
			}
			break
		}
		if s.feed.added != 50*5 {
			t.Errorf("%d events", s.feed.added)
		}
	})
}

// TestWatchersLeave: the end of a watcher's ctx ends its watch, also while
// nothing happens.
func TestWatchersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustSupervise(t, newStage(t, &script{}), worker(restart.Always))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if all := tale(ctx, s, start); len(all) != 3 || time.Since(start) != time.Second {
			t.Errorf("got %q after %v", all, time.Since(start))
		}
		if _, err := s.Wait(ctx); err != context.DeadlineExceeded {
			t.Errorf("Wait() = %v", err)
		}
		if _, err := s.Kill(t.Context(), "over"); err != nil {
			t.Error(err)
		}
	})
}

// TestSightings: what a skipped status would have shown is in the next one.
func TestSightings(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	asked := launch.Request{By: "a", Why: "b"}
	for _, test := range []struct {
		name     string
		statuses []Status
		want     string
	}{
		{"nothing", []Status{{Phase: Running}, {Phase: Exited}}, "[]"},
		{"ready and gone", []Status{{Phase: Running}, {Phase: Exited, Ready: at}}, "[ready]"},
		{"each once", []Status{
			{Phase: Ready, Ready: at}, {Phase: Ready, Ready: at, Cause: "c", Taken: at},
			{Phase: Ready, Ready: at, Cause: "c", Taken: at.Add(doubt)}, {Phase: Ready, Ready: at, Cause: "c", Taken: at.Add(doubt)},
			{Phase: Stopping, Ready: at, Cause: "c"}, {Phase: Exited, Ready: at, Cause: "c", KillSent: at},
		}, "[ready unhealthy stopping]"},
		{"broken because it ends", []Status{
			{Phase: Ready, Ready: at, Cause: "c", Taken: at}, {Phase: Ready, Ready: at, Cause: "c", Taken: at.Add(doubt - 1)}, {Phase: Exited, Ready: at},
		}, "[ready]"},
		{"all at once", []Status{{Phase: Stopping, Ready: at, Cause: "c"}}, "[ready unhealthy stopping]"},
		{"asked, then killed", []Status{{Phase: Stopping, Ready: at, Requested: asked}, {Phase: Stopping, Ready: at, Requested: asked, Cause: "grace"}}, "[ready stopping]"},
		{"asked and gone", []Status{{Phase: Exited, Ready: at, Requested: asked}}, "[ready stopping]"},
		{"killed and gone", []Status{{Phase: Ready, Ready: at}, {Phase: Exited, Ready: at, Cause: "c", KillSent: at, Exit: Exit{Ended: at}}}, "[ready unhealthy stopping]"},
		{"killed too late", []Status{{Phase: Exited, Ready: at, Cause: "its own", KillSent: at.Add(1), Exit: Exit{Ended: at}}}, "[ready stopping]"},
		{"condemned and gone", []Status{{Phase: Ready, Ready: at}, {Phase: Exited, Ready: at, Cause: "c", condemned: true}}, "[ready unhealthy stopping]"},
		{"failed before it was ready", []Status{{Phase: Running, Cause: "c"}, {Phase: Stopping, Cause: "c"}, {Phase: Exited, Cause: "c"}}, "[stopping]"},
	} {
		var seen sightings
		got := []EventKind{}
		for _, st := range test.statuses {
			for _, e := range seen.news(st) {
				got = append(got, e.Kind)
			}
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: got %v, want %s", test.name, got, test.want)
		}
	}
}

// TestCondemnedAtOnce: what a proc was condemned for is told, even if nobody has
// seen it between the order and the end.
func TestCondemnedAtOnce(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, told := range map[string]bool{"obeys": true, "ends by itself": false} {
		l := lifecycle{timeout: time.Minute}
		for _, e := range []event{launched{}, connected{testEndpoint}, condemned{"it did not answer", time.Second}} {
			l.step(at, e)
		}
		if told {
			l.step(at, signalled{})
		}
		l.step(at, exited{Exit{Kind: launch.Stopped}})
		var kinds []EventKind
		for _, e := range (&sightings{}).news(l.status()) {
			kinds = append(kinds, e.Kind)
		}
		want := []EventKind{EventReady}
		if told {
			want = append(want, EventUnhealthy, EventStopping)
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("%s: got %v, want %v", name, kinds, want)
		}
	}
}

// TestUnhealthyForAMoment: a process that dies breaks its connection first;
// that is a crash, and not told twice.
func TestUnhealthyForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		m := newStage(t, crash(1200*time.Millisecond))
		s := mustSupervise(t, m, worker(restart.Never))
		<-time.After(time.Second)
		s.Current().(*Handle).Fail("its control connection was lost", 500*time.Millisecond)
		compareTale(t, tale(t.Context(), s, start), "starting 1@0s", "running 1@0s", "ready 1@0s", "exited 1@1.2s")
	})
}

func TestEventText(t *testing.T) {
	for i, want := range []string{"starting", "running", "ready", "unhealthy", "stopping", "exited", "restarting", "gave_up"} {
		if text, err := EventKind(i).MarshalText(); err != nil || string(text) != want {
			t.Errorf("kind %d: %s, %v; want %s", i, text, err, want)
		}
	}
	e := Event{Kind: EventUnhealthy, Name: "worker", Incarnation: 2, PID: 7, Cause: "lost", Missed: 3}
	if want := "worker 2: unhealthy, pid 7: lost (3 events before it were lost)"; e.String() != want {
		t.Errorf("got %q, want %q", e, want)
	}
}
