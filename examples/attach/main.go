// Command attach joins two hosts: a station that listens, and a laptop that
// nobody could dial. Both have certificates of one fleet. After that each calls
// actors in the child processes of the other.
//
// Here one program plays both, with an authority that lives as long as it does.
// On two machines each has its own, and the certificates come from files that
// "hyper ca" makes: see docs/tls.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/examples/counter/counter"
	"github.com/hyperactor/hyperactor/host"
)

func main() {
	types := []actor.AnyType{counter.Type}
	hyperactor.RunChild(hyperactor.Config{Types: types})
	if err := run(context.Background(), types); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, types []actor.AnyType) error {
	fleet, err := authority.New("demo", 24*time.Hour)
	if err != nil {
		return err
	}
	station, err := start(ctx, fleet, hyperactor.Config{Host: "station", Types: types, Front: "tls:127.0.0.1:0"})
	if err != nil {
		return err
	}
	laptop, err := start(ctx, fleet, hyperactor.Config{Host: "laptop", Types: types})
	if err != nil {
		return errors.Join(err, station.Close())
	}
	return errors.Join(together(ctx, station, laptop), laptop.Close(), station.Close())
}

// start starts a host with certificates of the fleet.
func start(ctx context.Context, fleet *authority.Authority, cfg hyperactor.Config) (*hyperactor.Runtime, error) {
	of, err := fleet.Host(cfg.Host, time.Hour)
	if err != nil {
		return nil, err
	}
	tls, err := mtls.New(mtls.Config{Credentials: func() (authority.Credentials, error) { return of.Credentials, nil }})
	if err != nil {
		return nil, err
	}
	cfg.Transports = channel.Transports{"tls": tls}
	return hyperactor.Start(ctx, cfg)
}

func together(ctx context.Context, station, laptop *hyperactor.Runtime) error {
	if _, err := laptop.Attach(ctx, station.Host().Addr()); err != nil {
		return err
	}
	for _, there := range []*hyperactor.Runtime{station, laptop} {
		worker, err := there.Host().Spawn(ctx, host.ProcSpec{Name: "worker"})
		if err != nil {
			return err
		}
		for _, here := range []*hyperactor.Runtime{station, laptop} {
			name := "from-" + here.Host().Name()
			ref, err := counter.Type.Spawn(here.Context(ctx), worker.ID(), name, counter.Params{Start: 40})
			if err != nil {
				return err
			}
			n, err := counter.Add.Call(here.Context(ctx), ref, 2)
			if err != nil {
				return err
			}
			fmt.Printf("%s calls a worker of %s: %d\n", here.Host().Name(), there.Host().Name(), n)
		}
	}
	return nil
}
