package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// crowdRows is about many.
func crowdRows() []row {
	return []row{
		{number: 27, name: "1000 starts at once", with: everyKind, slow: true,
			done:  "1000 processes are started at the same time, live and are killed",
			holds: "all run; fewer than 60 more threads; nothing is left",
			run:   func(f *fixture) { manyStarts(f, 1000) }},
		{number: 27, name: "100 starts at once", with: everyKind,
			done: "the same with 100", holds: "the same",
			run: func(f *fixture) { manyStarts(f, 100) }},
		{number: 62, name: "500 killed at once", with: everyKind,
			done:  "500 processes run and are killed in the same moment",
			holds: "each of the 500 exits is SIGKILL, nothing is left",
			run:   func(f *fixture) { manyKilled(f, "echo ready; exec sleep 60") }},
		{number: 62, name: "500 trees killed at once", with: everyKind, slow: true,
			done:  "500 processes run, each with a child of its own; all are killed in the same moment",
			holds: "1000 processes are gone, each of the 500 exits is SIGKILL",
			run:   func(f *fixture) { manyKilled(f, "sleep 60 & echo ready; wait") }},
		{number: 62, name: "30 procs terminated", with: everyKind, slow: true,
			done:  "a host has 30 procs of which every third ignores a Terminate; TerminateAll, 16 at a time, 2 s",
			holds: "all have ended within the budget, the summary counts 30",
			run:   manyTerminated},
		{number: 62, name: "launcher closed over 40", with: everyKind,
			done:  "a launcher is closed while 40 deaf processes run and more are being started",
			holds: "Close returns when all are gone; starts after it are refused",
			run:   closedOver},
		{number: 86, name: "1000 lives", with: everyKind, slow: true,
			done:  "1000 lives of processes with output, killed, stopped or by themselves, then once more",
			holds: "no descriptor, thread, goroutine and next to no memory more than after the first",
			run:   func(f *fixture) { manyLives(f, 1000) }},
		{number: 86, name: "45 lives", with: everyKind,
			done: "the same with 45", holds: "the same",
			run: func(f *fixture) { manyLives(f, 45) }},
		{number: 123, name: "chaos", with: everyKind,
			done:  "for one second random processes that descend from a host, its keeper too, get SIGKILL, SIGTERM, or are stopped for a while, while it spawns and calls; then it is killed; the seed is in the log",
			holds: "every spawn ends with a proc or a reason, every exit is told; nothing is left",
			run:   func(f *fixture) { chaos(f, time.Second) }},
		{number: 123, name: "chaos for long", with: everyKind, slow: true,
			done: "the same for 10 s", holds: "the same",
			run: func(f *fixture) { chaos(f, 10*time.Second) }},
	}
}

func threads() int { return len(entries("/proc/self/task")) }

func manyStarts(f *fixture, n int) {
	l := f.launcher()
	f.run(l, sh("exit 0"))
	before := threads()
	all := make([]launch.Process, n)
	atOnce(n, func(i int) {
		p, err := l.Launch(f.Context(), sh("exec sleep 60"))
		if err != nil {
			f.Error(err)
			return
		}
		all[i] = p
	})
	if f.Failed() {
		return
	}
	f.want(threads() < before+60, "threads", fmt.Sprint(before, " then ", threads()))
	atOnce(n, func(i int) {
		f.no(all[i].Kill())
		if e := all[i].Wait(); !killed(e) {
			f.Errorf("%d: %v", i, shown(e))
		}
	})
}

func manyKilled(f *fixture, script string) {
	const n = 500
	l := f.launcher()
	ours, theirs := f.pipe()
	all := make([]*child, n)
	limit := make(chan struct{}, 16)
	atOnce(n, func(i int) {
		limit <- struct{}{}
		s := sh(script)
		s.Control = theirs
		c, err := f.try(l, s)
		if err != nil {
			f.Error(err)
		} else {
			f.line(c)
		}
		all[i] = c
		<-limit
	})
	theirs.Close()
	if f.Failed() {
		return
	}
	began := time.Now()
	atOnce(n, func(i int) { f.no(all[i].Kill()) })
	atOnce(n, func(i int) {
		if e := all[i].Wait(); !killed(e) {
			f.Errorf("%d: %v", i, shown(e))
		}
	})
	f.Logf("gone after %v", time.Since(began))
	f.released(ours, settleBound)
}

func manyTerminated(f *fixture) {
	rt := f.host()
	const n = 30
	limit := make(chan struct{}, 4)
	atOnce(n, func(i int) {
		limit <- struct{}{}
		defer func() { <-limit }()
		h, err := rt.Host().Spawn(f.ctx(rt), host.ProcSpec{Name: fmt.Sprint("p", i)})
		if err != nil {
			f.Error(err)
			return
		}
		if i%3 == 0 {
			v, err := victimType.Spawn(f.ctx(rt), h.ID(), "victim", actor.None{})
			f.no(err)
			_, err = do.Call(f.ctx(rt), v, []string{"deaf"})
			f.no(err)
		}
	})
	began := time.Now()
	sum, err := rt.Host().Shutdown(f.ctx(rt), 2*time.Second, "enough")
	took := time.Since(began)
	f.want(err == nil && sum.Attempted == n && sum.OK == n && sum.Failed() == 0, "all have ended", sum)
	f.want(took < 6*time.Second, "within the budget", took)
}

func closedOver(f *fixture) {
	l := f.kind.open()
	var wg sync.WaitGroup
	up := make(chan struct{}, 400)
	for range 40 {
		wg.Go(func() {
			s := sh("trap '' TERM; echo ready; while :; do sleep 60; done")
			s.Output = func(launch.Stream, []byte) { up <- struct{}{} }
			p, err := l.Launch(f.Context(), s)
			if err == nil {
				f.want(killed(p.Wait()), "SIGKILL", "not")
			}
		})
	}
	for range 20 {
		<-up
	}
	f.no(l.Close())
	wg.Wait()
	f.refused(l, sh("exit 0"), launch.ErrClosed, nil)
}

func manyLives(f *fixture, n int) {
	l := f.launcher()
	live := func() {
		limit := make(chan struct{}, 8)
		atOnce(n, func(i int) {
			limit <- struct{}{}
			defer func() { <-limit }()
			c, err := f.try(l, sh("trap 'exit 4' TERM; echo ready; [ \"$1\" = 0 ] || while :; do sleep 0.02; done", strconv.Itoa(i%3)))
			if err != nil {
				f.Error(err)
				return
			}
			f.line(c)
			switch i % 3 {
			case 1:
				f.no(c.Stop())
			case 2:
				f.no(c.Kill())
			}
			e := f.end(c)
			f.want(e.OK() || e.Code == 4 || killed(e), "it ends", shown(e))
		})
	}
	live()
	before, threadsBefore, rss := takeStock(), threads(), residentSize()
	live()
	for range 1000 {
		if takeStock().goroutines <= before.goroutines {
			break
		}
		syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
	after := takeStock()
	f.want(after.descriptors <= before.descriptors && after.goroutines <= before.goroutines, "nothing is held", fmt.Sprint(before, after))
	f.want(threads() < threadsBefore+16, "no threads", fmt.Sprint(threadsBefore, threads()))
	f.want(residentSize() < rss+32<<20, "no memory", fmt.Sprint(rss, residentSize()))
}

// residentSize returns how much memory this process has.
func residentSize() int {
	b, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize()
}

// chaos lets random signals come to all that descends from a host which spawns
// and calls, and kills it in the end.
func chaos(f *fixture, d time.Duration) {
	r := f.randomly()
	a := f.hosting()
	over, cancel := context.WithTimeout(f.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for n := 0; over.Err() == nil; n++ {
				name := fmt.Sprint("p", i, "-", n)
				if a.tell("spawn", name, "", "1s").Err != "" {
					continue // it was hit; that a reason was told is what must hold
				}
				a.tell("victim", name, "sh", "sleep 60 & setsid sleep 60 & exit 0")
				e := a.tell("terminate", name, "200ms")
				if e.Exit.Ended.IsZero() {
					f.Errorf("no exit: %+v", e)
				}
			}
		})
	}
	f.hit(over, a, r)
	wg.Wait()
	below := watch(a.below())
	a.kill()
	f.afterKill(below)
}

// hit sends random signals to what descends from an agent until ctx is over.
// What it stops it continues a little later: what is stopped for good has rows
// of its own.
func (f *fixture) hit(ctx context.Context, a *agent, r *rand.Rand) {
	f.Helper()
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGCONT}
	var stopped []watched
	goOn := func(most int) {
		for ; len(stopped) > most; stopped = stopped[1:] {
			f.no(stopped[0].signal(syscall.SIGCONT))
			stopped[0].close()
		}
	}
	defer goOn(0)
	for ctx.Err() == nil {
		<-time.After(time.Duration(1+r.Int64N(20)) * time.Millisecond)
		goOn(3)
		if all := a.below(); len(all) > 0 {
			w, sig := watch([]process{all[r.IntN(len(all))]}), signals[r.IntN(len(signals))]
			f.no(w.signal(sig))
			if sig == syscall.SIGSTOP {
				stopped = append(stopped, w)
				continue
			}
			w.close()
		}
	}
}

// afterKill checks what is left after a host was killed, whose procs may have
// started what a native launcher cannot reach.
func (f *fixture) afterKill(below watched) {
	f.Helper()
	if f.kind.name == "native" {
		f.no(below.signal(syscall.SIGKILL))
		f.orphansKilled()
	}
	f.gone(below, settleBound)
	f.processesGone(settleBound)
	f.hostLeft()
}

// orphansKilled ends what has come to us.
func (f *fixture) orphansKilled() {
	f.Helper()
	w := watch(living(descendants(os.Getpid())))
	f.no(w.signal(syscall.SIGKILL))
	w.close()
}
