// Command supervised runs a foreign command as a proc that is started again
// when it fails, with a limit, and reads what it has written. The command knows
// nothing of us: host/cmdproc makes it a proc.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/restart"
)

func main() {
	hyperactor.Main(hyperactor.Config{
		Manager:  commands,
		OnGiveUp: func(*host.GaveUpError) {}, // run hears of it
	}, run)
}

// commands makes the procs of this host commands that know nothing of us.
func commands(p hyperactor.Parts) host.ProcManager {
	return cmdproc.New(cmdproc.Config{
		Host: p.Host, Service: p.Service, Gateway: p.Gateway, Launcher: p.Launcher,
		Mark: p.Mark, Streams: p.Streams, Log: p.Log,
	})
}

func run(ctx context.Context, rt *hyperactor.Runtime) error {
	nice := 5
	s, err := rt.Host().Supervise(ctx, host.ProcSpec{
		Name: "flaky", Program: "/bin/sh", Args: []string{"-c", "echo at work; sleep 0.1; exit 3"},
		Limits:  launch.Limits{Nice: &nice},
		Restart: restart.OnFailure,
		RestartLimits: restart.Limits{
			MaxRestarts: 2, Backoff: restart.Backoff{Min: 10 * time.Millisecond, Max: time.Second},
		},
	})
	if err != nil {
		return err
	}
	for e := range s.Events(ctx) { // ends with the last one
		fmt.Println(e.Incarnation, e.Kind)
	}
	exit, err := s.Wait(ctx)
	if gaveUp, ok := errors.AsType[*host.GaveUpError](err); !ok {
		return fmt.Errorf("want it given up, got %v, %w", exit, err)
	} else {
		fmt.Println("given up:", gaveUp.Why)
	}
	for line, err := range rt.Host().Logs(ctx, capture.Query{Procs: []string{"flaky"}}) {
		if err != nil {
			return err
		}
		fmt.Println(line)
	}
	return nil
}
