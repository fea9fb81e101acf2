package hyperactor_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/hosttest"
)

// TestRealAttach joins two hosts, which share nothing but an address, and
// calls actors in child processes both ways (MS-14).
func TestRealAttach(t *testing.T) {
	for _, front := range []string{"tcp:127.0.0.1:0", "unix"} {
		network, _, _ := strings.Cut(front, ":")
		t.Run(network, func(t *testing.T) {
			cfg := hyperactor.Config{Host: "station", Token: "shared", Front: channel.Addr(front)}
			if front == "unix" {
				cfg.Front = "" // the back address is one
			}
			station := newRuntime(t, cfg)
			laptop := newRuntime(t, hyperactor.Config{Host: "laptop", Token: "shared"})
			if _, err := laptop.Attach(t.Context(), station.Host().Addr()); err != nil {
				t.Fatal(err)
			}
			a, b := child(t, station, "a"), child(t, laptop, "b")
			for _, rt := range []*hyperactor.Runtime{station, laptop} {
				for _, h := range []host.ProcHandle{a, b} {
					ctx := rt.Context(t.Context())
					ref, err := hosttest.Type.Spawn(ctx, h.ID(), "echo-"+rt.Host().Name(), actor.None{})
					if err != nil {
						t.Fatalf("%s spawns in %v: %v", rt.Host().Name(), h.ID(), err)
					}
					if got, err := hosttest.Echo.Call(ctx, ref, 42); err != nil || got != 42 {
						t.Errorf("%s calls %v: %d, %v", rt.Host().Name(), ref, got, err)
					}
				}
			}
			endsCalls(t, laptop, a)
			endsCalls(t, station, b)
			endsCalls(t, laptop, child(t, laptop, "c"))
		})
	}
}

// endsCalls kills a proc of another host while calls wait for it: each ends
// with its Exit (MS-4).
func endsCalls(t *testing.T, rt *hyperactor.Runtime, h host.ProcHandle) {
	t.Helper()
	ctx := rt.Context(t.Context())
	ref, err := hosttest.Type.Spawn(ctx, h.ID(), "victim", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 1000)
	for range cap(errs) {
		wg.Go(func() {
			_, err := hosttest.Keep.Call(ctx, ref, actor.None{})
			errs <- err
		})
	}
	if _, err := hosttest.Await.Call(ctx, ref, cap(errs)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan actor.Down, 1)
	wg.Go(func() { // AC-10
		d, err := actor.WaitFor(ctx, actor.AgentOf(h.ID()))
		if err != nil {
			t.Error(err)
		}
		ended <- d
	})
	killed := time.Now()
	if _, err := h.Kill(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	t.Logf("%d calls from %s ended %v after the kill of %v", cap(errs), rt.Host().Name(), time.Since(killed), h.ID())
	close(errs)
	if d := <-ended; d.Clean() || !errors.Is(d.Err, host.ErrExited) {
		t.Errorf("whoever watched %v was told %+v", h.ID(), d)
	}
	for err := range errs {
		if e, ok := errors.AsType[*host.ExitedError](err); !ok || e.Exit.Requested.Why != "test" {
			t.Errorf("a call ended with %v, want the exit", err)
			break
		}
	}
}

func child(t *testing.T, rt *hyperactor.Runtime, name string) host.ProcHandle {
	t.Helper()
	h, err := rt.Host().Spawn(t.Context(), host.ProcSpec{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return h
}
