// Command counter spawns a child process, an actor in it, and calls the actor.
// The whole of it is here and in the package counter beside it.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/examples/counter/counter"
	"github.com/hyperactor/hyperactor/host"
)

func main() {
	hyperactor.Main(hyperactor.Config{Types: []actor.AnyType{counter.Type}}, run) // in a child process this becomes the proc
}

func run(ctx context.Context, rt *hyperactor.Runtime) error {
	h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "worker"}) // a child process; ready, or an error and nothing left
	if err != nil {
		return err
	}
	ref, err := counter.Type.Spawn(ctx, h.ID(), "c1", counter.Params{Start: 40})
	if err != nil {
		return err
	}
	n, err := counter.Add.Call(ctx, ref, 2)
	if err != nil {
		return err
	}
	fmt.Println(n) // 42
	exit, err := h.Terminate(ctx, 5*time.Second, "done")
	if err != nil {
		return err
	}
	fmt.Println(exit) // stopped: exit 0 after 12ms, asked for by main: done
	return nil
}
