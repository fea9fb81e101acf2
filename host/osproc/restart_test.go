package osproc_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// TestRealRestart kills a supervised process from outside, twice: each time
// another one takes its name, with an id and an address of its own, and both
// can be talked to (AC-6).
func TestRealRestart(t *testing.T) {
	b := newBench(t)
	ctx := b.ctx()
	s, err := b.host.Supervise(ctx, host.ProcSpec{
		Name: "worker", Restart: restart.OnFailure,
		RestartLimits: restart.Limits{Backoff: restart.Backoff{Min: time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[id.Proc]bool{}
	var stopped sync.WaitGroup
	defer stopped.Wait()
	var exits []launch.Exit
	for e := range s.Events(ctx) {
		switch {
		case e.Kind == host.EventExited:
			exits = append(exits, e.Exit)
		case e.Kind != host.EventReady:
		case e.Incarnation == 3:
			seen[e.Proc] = true
			stopped.Go(func() { _, _ = s.Terminate(ctx, patience, "enough") })
		default:
			seen[e.Proc] = true
			if _, err := actor.Ping.Call(ctx, actor.AgentOf(e.Proc), actor.None{}); err != nil {
				t.Errorf("incarnation %d: %v", e.Incarnation, err)
			}
			if err := syscall.Kill(e.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	if len(seen) != 3 || len(exits) != 3 || exits[0].Signal != syscall.SIGKILL || exits[1].Signal != syscall.SIGKILL || !exits[2].OK() {
		t.Errorf("ids %v, exits %v", seen, exits)
	}
	if exit, err := s.Wait(ctx); err != nil || exit != exits[2] || exit.Requested.By != "test" {
		t.Errorf("Wait() = %v, %v", exit, err)
	}
	if p, ok := b.host.Proc("worker"); ok {
		t.Errorf("left: %v", p.Status())
	}
}
