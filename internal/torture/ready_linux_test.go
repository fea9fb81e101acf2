package torture

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/osproc"
	"github.com/hyperactor/hyperactor/launch"
)

// readyRows is about procs between their start and Ready.
func readyRows() []row {
	return []row{
		{number: 16, name: "exits before it is ready", with: everyKind,
			done:  "a proc exits with 0, and with 3, before it has shaken hands, and in the middle of its answer",
			holds: "the spawn fails with that exit, never ready, without waiting for a timeout (PS-5)",
			run: func(f *fixture) {
				rt := f.host()
				for how, code := range map[string]int{"exit 0": 0, "exit 3": 3, "partial 4": 4, "nowhere 5": 5} {
					e := f.stillborn(rt, how, host.ErrExitedEarly)
					f.want(e.Code == code && e.Signal == 0 && e.Cause == "", how, shown(e))
				}
			}},
		{number: 17, name: "dies before it is ready", with: everyKind,
			done:  "a proc gets SIGKILL, SIGTERM or SIGHUP before it has shaken hands",
			holds: "the spawn fails with an exit that names the signal",
			run: func(f *fixture) {
				rt := f.host()
				for how, sig := range map[string]syscall.Signal{"signal 9": 9, "signal 15": 15, "signal 1": 1} {
					e := f.stillborn(rt, how, host.ErrExitedEarly)
					f.want(e.Signal == sig && e.Kind == launch.Failed, how, shown(e))
				}
			}},
		{number: 18, name: "never ready", with: everyKind,
			done:  "a proc never shakes hands; another one ignores SIGTERM, too; a third has a child of its own",
			holds: "at the deadline of 200 ms the tree is killed; the error is a timeout, the exit the real one",
			run:   neverReady},
		{number: 20, name: "ready, then gone", with: everyKind,
			done:  "a proc exits as soon as it is ready; eight watch",
			holds: "each sees phases that only move forward, and the same exit last",
			run:   readyThenGone},
		{number: 22, name: "garbage for an answer", with: everyKind,
			done:  "a proc answers the handshake with garbage, with 4 GB, for another handshake",
			holds: "the spawn fails: protocol; the proc is killed",
			run: func(f *fixture) {
				rt := f.host()
				all := []string{"garbage", "oversize", "stranger"}
				atOnce(len(all), func(i int) {
					e := f.stillborn(rt, all[i], osproc.ErrProtocol)
					f.want(e.Signal == syscall.SIGKILL && e.Cause != "", all[i], shown(e))
				})
			}},
		{number: 23, name: "ready twice", with: everyKind,
			done:  "a proc that is ready says it again, from elsewhere; then a grandchild does through the inherited descriptor",
			holds: "nothing changes: the same address, the proc goes on",
			run:   readyTwice},
		{number: 24, name: "another version", with: everyKind,
			done:  "a child that speaks a newer version of the handshake, and an older one",
			holds: "the spawn fails and names both versions; the child is killed",
			run: func(f *fixture) {
				rt := f.host()
				all := []string{"version 1", "version -1"}
				atOnce(len(all), func(i int) {
					e := f.stillborn(rt, all[i], osproc.ErrVersion)
					f.want(e.Signal == syscall.SIGKILL, all[i], shown(e))
				})
			}},
		{number: 28, name: "control connection closed", with: everyKind,
			done:  "a proc closes its control connection and lives, before and after it is ready",
			holds: "the connection is no exit: the proc is killed, and the exit names the cause (PH-9)",
			run:   controlClosed},
	}
}

// stillborn spawns a proc that misbehaves before it is one, which must fail
// soon and leave nothing.
func (f *fixture) stillborn(rt *hyperactor.Runtime, how string, want error) launch.Exit {
	f.Helper()
	began := time.Now()
	name := strings.NewReplacer(" ", "-", "-", "m").Replace(how)
	_, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{Name: name, Env: []string{beforeVariable + "=" + how}})
	failed, ok := errors.AsType[*host.SpawnError](err)
	if !ok || !errors.Is(err, want) {
		f.Errorf("%s: got %v, want %v", how, err, want)
		return launch.Exit{}
	}
	f.want(time.Since(began) < patience/2, how+" is seen at once", time.Since(began))
	left := slices.ContainsFunc(rt.Host().Procs(), func(h host.ProcHandle) bool { return h.ID().Name == name })
	f.want(!left, how+" leaves no proc", rt.Host().Procs())
	return failed.Exit
}

func neverReady(f *fixture) {
	rt := f.host()
	for _, how := range []string{"mute", "deaf", "tree"} {
		began := time.Now()
		_, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{
			Name: "a", Env: []string{beforeVariable + "=" + how}, ReadyTimeout: 200 * time.Millisecond,
		})
		failed, ok := errors.AsType[*host.SpawnError](err)
		if !ok || !errors.Is(err, host.ErrReadyTimeout) {
			f.Errorf("%s: got %v", how, err)
			continue
		}
		f.want(failed.Exit.Signal == syscall.SIGKILL && strings.Contains(failed.Exit.Cause, "200ms"), how, shown(failed.Exit))
		f.want(time.Since(began) >= 200*time.Millisecond, how+" had its time", time.Since(began))
	}
}

func readyThenGone(f *fixture) {
	rt := f.host()
	h, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{Name: "a"})
	f.must(err)
	v, err := victimType.Spawn(f.ctx(rt), h.ID(), "victim", actor.None{})
	f.must(err)
	var wg sync.WaitGroup
	began := make(chan struct{}, 8)
	for range 8 {
		wg.Go(func() {
			last := host.Starting
			for s := range h.Watch(f.ctx(rt)) {
				select {
				case began <- struct{}{}:
				default:
				}
				if s.Phase < last {
					f.Errorf("%v after %v", s.Phase, last)
				}
				if s.Phase == host.Exited && (s.Exit.Code != 6 || s.Ready.IsZero()) {
					f.Errorf("got %v", s)
				}
				last = s.Phase
			}
			if last != host.Exited {
				f.Errorf("the last phase is %v", last)
			}
		})
	}
	for range 8 {
		<-began
	}
	f.no(do.Send(f.ctx(rt), v, []string{"exit", "6"}))
	wg.Wait()
	_, err = h.Ready(f.ctx(rt))
	f.want(errors.Is(err, host.ErrExited), "Ready says so", err)
}

func readyTwice(f *fixture) {
	rt := f.host()
	h, v := f.spawn(rt, "a")
	at, _ := h.Addr()
	for _, how := range []string{"again", "gossip", "pid"} {
		_, err := do.Call(f.ctx(rt), v, []string{how})
		f.no(err)
	}
	now, _ := h.Addr()
	f.want(h.Status().Phase == host.Ready && at == now, "nothing has changed", h.Status())
	e, err := h.Terminate(f.ctx(rt), 5*time.Second, "enough")
	f.want(err == nil && e.OK(), "it drains", shown(e))
}

func controlClosed(f *fixture) {
	rt := f.host()
	e := f.stillborn(rt, "shut", osproc.ErrControl)
	f.want(e.Signal == syscall.SIGKILL, "before it is ready", shown(e))
	h, v := f.spawn(rt, "a")
	_, err := do.Call(f.ctx(rt), v, []string{"shut"})
	f.no(err)
	e = f.exit(rt, h)
	f.want(killed(e) && strings.Contains(e.Cause, "control connection"), "after it was ready", shown(e))
}
