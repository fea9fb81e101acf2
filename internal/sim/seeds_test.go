package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed alone, and tell all that happens")
	firstSeed = flag.Uint64("first", 1, "the first seed")
	numSeeds  = flag.Uint64("seeds", 0, "how many seeds; 1000, or 100 with the race detector, if zero")
	forTime   = flag.Duration("for", 0, "run as many seeds as take this long")
	keepOn    = flag.Bool("keep", false, "go on after a seed that fails")
	tellAll   = flag.Bool("tell", false, "print the plan and the history of every seed")
)

// TestMS1ToMS14Seeds runs seeds until one fails.
func TestMS1ToMS14Seeds(t *testing.T) {
	if *oneSeed != 0 {
		runSeed(t, newPlan(*oneSeed), true)
		return
	}
	s := seeds{next: *firstSeed, last: *firstSeed + *numSeeds, until: time.Now().Add(*forTime)}
	switch {
	case *numSeeds == 0 && raceEnabled:
		s.last += 100
	case *numSeeds == 0:
		s.last += 1000
	}
	var total total
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint("worker ", i), func(t *testing.T) {
				t.Parallel()
				for seed, ok := s.take(); ok; seed, ok = s.take() {
					total.add(runSeed(t, newPlan(seed), *tellAll))
					s.stop.Store(t.Failed() && !*keepOn)
				}
			})
		}
	})
	t.Log(&total.tally)
}

// TestMS1OldSeeds runs seeds beyond the first thousand that have found faults, at
// the pace at which they did. In the first two somebody sends over a session that
// its dialer knows nothing of; in 602423 somebody goes straight to a proc, past a
// message that he has sent through the hub. In the next two somebody attaches while
// his last life is being closed, then attaching takes too long, and in 230244 a
// session that is left over takes a new one with it. In the next two somebody who
// has come back is sent to over the session that he makes, past messages that are
// on their way through the hub. In the last one a connection breaks just when the
// answer to its hello has gone out.
func TestMS1OldSeeds(t *testing.T) {
	for _, old := range []struct {
		seed uint64
		pace pace
	}{
		{2309, patient}, {2382, patient}, {22232, patient}, {602423, brisk},
		{148541, brisk}, {641086, brisk}, {613274, patient}, {230244, brisk},
		{243329, brisk}, {741713, brisk}, {10000861, brisk},
	} {
		t.Run(fmt.Sprint(old.seed), func(t *testing.T) {
			p := newPlan(old.seed)
			p.pace = old.pace
			runSeed(t, p, false)
		})
	}
}

// seeds hands out seeds.
type seeds struct {
	next, last uint64
	until      time.Time
	given      atomic.Uint64
	stop       atomic.Bool
}

func (s *seeds) take() (seed uint64, ok bool) {
	n := s.given.Add(1) - 1
	switch {
	case s.stop.Load():
		return 0, false
	case *forTime > 0:
		ok = time.Now().Before(s.until)
	default:
		ok = s.next+n < s.last
	}
	return s.next + n, ok
}

// stuck is how long a seed may take, in real time.
const stuck = 2 * time.Minute

// runSeed runs the plan of one seed in a bubble of its own and returns what it counted.
func runSeed(t *testing.T, p *plan, tell bool) (count tally) {
	t.Helper()
	late := time.AfterFunc(stuck, func() { fmt.Fprintf(os.Stderr, "seed %d takes very long\n", p.seed) })
	defer late.Stop()
	var bubble sync.WaitGroup
	bubble.Go(func() { // a goroutine of its own, because a bubble that fails ends it
		defer func() {
			if v := recover(); v != nil { // a bubble that cannot end, for example
				fmt.Fprintf(os.Stderr, "seed %d panics\n", p.seed)
				panic(v)
			}
		}()
		synctest.Test(t, func(t *testing.T) { count = simulate(t, p, tell) })
	})
	bubble.Wait()
	return count
}

// simulate runs a plan, in the bubble.
func simulate(t *testing.T, p *plan, tell bool) tally {
	w := newWorld(t, p)
	w.run()
	flaws := w.check()
	w.end()
	if len(flaws) > 0 || t.Failed() || tell {
		t.Log(w.tell(flaws, tell))
	}
	if len(flaws) > 0 {
		t.Errorf("seed %d: %d flaws, the first: %s\nreplay: go test ./internal/sim -run Seeds -v -seed %d", p.seed, len(flaws), flaws[0].text, p.seed)
	}
	return w.history.count()
}
