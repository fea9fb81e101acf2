package main

import (
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

func TestBoard(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	b := newBoard([]string{"web[0]", "web[1]", "web[2]"}, began)
	exit := launch.Exit{Kind: launch.Stopped, Code: 3, Started: at(1), Ended: at(2)}
	for _, e := range []host.Event{
		{Kind: host.EventStarting, Time: at(0), Incarnation: 1},
		{Kind: host.EventRunning, Time: at(1), Incarnation: 1, PID: 70},
		{Kind: host.EventReady, Time: at(1), Incarnation: 1, PID: 70},
		{Kind: host.EventUnhealthy, Time: at(2), Incarnation: 1, PID: 70, Cause: "no\nanswer"},
	} {
		b.take(0, e)
		b.take(1, e)
	}
	b.take(0, host.Event{Kind: host.EventExited, Time: at(2), Incarnation: 1, PID: 70, Exit: exit, Cause: "no answer"})
	b.take(0, host.Event{Kind: host.EventRestarting, Time: at(3), Incarnation: 1, Delay: 2 * time.Second, Cause: "long"})
	b[1].look(host.Status{Phase: host.Stopping, In: launch.PhaseStopping, PID: 71, Spent: host.Spent{launch.PhaseStopping: time.Second}, Taken: at(10),
		Suspended: true, Cause: "no\nanswer", Note: "not told"})
	b[2].look(host.Status{Phase: host.Running, PID: 72, Taken: at(10), Note: "warming up"})
	b = append(b, b[0])
	b[3].look(host.Status{Phase: host.Stopping, PID: 73, Taken: at(10), Requested: launch.Request{By: "hyper run", Why: "SIGINT"}, Cause: "not told"})
	want := `
PROC    STATUS                SINCE  PID  STARTS  CAUSE                          LAST EXIT
web[0]  restarting            7s     -    1       in 2s                          ended with exit code 3 after 1s
web[1]  stopping (suspended)  1s     71   1       no / answer                    -
web[2]  running               0s     72   1       warming up                     -
web[0]  stopping              0s     73   1       stopped by hyper run (SIGINT)  ended with exit code 3 after 1s
`
	var got strings.Builder
	if err := b.write(&got, at(10)); err != nil || got.String() != want[1:] {
		t.Errorf("%v, got\n%swant%s", err, got.String(), want)
	}
}
