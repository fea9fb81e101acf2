// Command attach joins two hosts: a station that listens, and a laptop that
// nobody could dial. Both have certificates of one fleet. After that they call
// each other's actors.
//
// What the laptop has to be told is an address and a ref, both of them text. All
// else travels in messages.
//
//	attach station DIR             prints its address and the ref of an actor
//	attach laptop DIR ADDRESS REF  joins it and calls the actor
//	attach                         does both, with certificates of its own making
//
// DIR is what "hyper ca issue station" makes, and "hyper ca issue laptop": see
// docs/tls.md. The station listens on this machine only, for others its Front
// would be "tls:0.0.0.0:7000", say.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/examples/counter/counter"
	"github.com/hyperactor/hyperactor/host"
)

func main() {
	hyperactor.RunChild(hyperactor.Config{Types: types()})
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "attach:", err)
		os.Exit(1)
	}
}

func types() []actor.AnyType { return []actor.AnyType{counter.Type} }

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return both()
	case len(args) == 2 && args[0] == "station":
		return with(ctx, args[1], hyperactor.Config{Host: "station", Front: "tls:127.0.0.1:0"}, station)
	case len(args) == 4 && args[0] == "laptop":
		return with(ctx, args[1], hyperactor.Config{Host: "laptop"}, func(ctx context.Context, rt *hyperactor.Runtime) error {
			return laptop(ctx, rt, channel.Addr(args[2]), args[3])
		})
	}
	return errors.New("want nothing, station DIR, or laptop DIR ADDRESS REF")
}

// with runs do in a host whose certificates are in dir.
func with(ctx context.Context, dir string, cfg hyperactor.Config, do func(context.Context, *hyperactor.Runtime) error) error {
	tls, err := mtls.New(mtls.Config{Files: authority.HostFiles(dir)})
	if err != nil {
		return err
	}
	cfg.Types, cfg.Transports = types(), channel.Transports{"tls": tls}
	rt, err := hyperactor.Start(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(rt.Context(ctx), rt), rt.Close())
}

// station has a counter in a child process, and says how it is reached. It ends
// with its stdin.
func station(ctx context.Context, rt *hyperactor.Runtime) error {
	worker, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "worker"})
	if err != nil {
		return err
	}
	ref, err := counter.Type.Spawn(ctx, worker.ID(), "tally", counter.Params{Start: 40})
	if err != nil {
		return err
	}
	fmt.Println(rt.Host().Addr(), ref)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// laptop joins the station, calls the counter that ref says, and has it call
// back: a port goes there in a message, and what the counter says comes here.
func laptop(ctx context.Context, rt *hyperactor.Runtime, addr channel.Addr, ref string) error {
	var tally actor.Ref[*counter.Counter]
	if err := tally.UnmarshalText([]byte(ref)); err != nil {
		return err
	}
	if _, err := rt.Attach(ctx, addr); err != nil {
		return err
	}
	n, err := counter.Add.Call(ctx, tally, 2)
	if err != nil {
		return err
	}
	fmt.Println("the laptop calls:", n)
	port, inbox, err := actor.NewPort[int](ctx)
	if err != nil {
		return err
	}
	defer inbox.Close()
	if err := counter.Watch.Send(ctx, tally, port); err != nil {
		return err
	}
	if n, err = inbox.Recv(ctx); err != nil {
		return err
	}
	fmt.Println("the station answers on a port:", n)
	return nil
}
