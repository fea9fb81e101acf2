package actor

import (
	"testing"

	"pgregory.net/rapid"
)

// planWorld is a supervisor's children, whose plan is carried out in any order
// that can happen.
type planWorld struct {
	t     *rapid.T
	plan  plan
	kids  []*kid
	bound func(w *planWorld, k int) []*kid // the strategy
	due   int                              // the turn whose timer runs; 0 if there is none
	owed  map[*kid]bool                    // has to be made again, since it failed or a sibling did
}

// goOn does what the plan says, and checks its order.
func (w *planWorld) goOn() {
	for {
		step, k := w.plan.next()
		switch step {
		case stepNone:
			return
		case stepDelay:
			w.due = w.plan.turn
			for i, k := range w.kids {
				if w.owed[k] && (k.state == kidUp || k.state == kidStopping || k.state == kidComing) {
					w.t.Fatalf("kid %d has not ended, and the delay begins", i)
				}
			}
		case stepStop:
			if !w.owed[k] {
				w.t.Fatal("one is stopped that is not bound")
			}
			for _, later := range w.kids[w.index(k)+1:] {
				if w.owed[later] && (later.state == kidUp || later.state == kidStopping) {
					w.t.Fatal("one is stopped before those that were spawned after it")
				}
			}
		case stepStart:
			if !w.owed[k] {
				w.t.Fatal("one is started that is not bound")
			}
			for _, earlier := range w.kids[:w.index(k)] {
				if earlier.state == kidComing || w.owed[earlier] && earlier.state == kidDown {
					w.t.Fatal("one is started before those that were spawned before it were made")
				}
			}
		}
	}
}

func (w *planWorld) index(k *kid) int {
	for i := range w.kids {
		if w.kids[i] == k {
			return i
		}
	}
	w.t.Fatal("unknown kid")
	return 0
}

// pick draws a kid in one of these states, or returns -1.
func (w *planWorld) pick(t *rapid.T, states ...kidState) int {
	var all []int
	for i, k := range w.kids {
		for _, s := range states {
			if k.state == s {
				all = append(all, i)
			}
		}
	}
	if len(all) == 0 {
		return -1
	}
	return rapid.SampledFrom(all).Draw(t, "kid")
}

func allFromOldest(w *planWorld, from int) []*kid {
	var all []*kid
	for i, k := range w.kids {
		if k.state != kidOver && (i >= from || len(all) > 0 || k.planned) {
			all = append(all, k)
		}
	}
	return all
}

// TestPlanOrder: whatever fails, ends for good and is made when, what is bound
// stops in the reverse order of spawning and is made in that order, one after the
// other, and in the end everybody runs who has not ended for good.
func TestPlanOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &planWorld{t: t, owed: map[*kid]bool{}}
		for range rapid.IntRange(1, 6).Draw(t, "kids") {
			w.kids = append(w.kids, &kid{})
		}
		w.bound = allFromOldest // rest for one
		if rapid.Bool().Draw(t, "all for one") {
			w.bound = func(w *planWorld, _ int) []*kid { return allFromOldest(w, 0) }
		}
		t.Repeat(map[string]func(*rapid.T){
			"fails": func(t *rapid.T) {
				if i := w.pick(t, kidUp, kidComing); i >= 0 {
					w.kids[i].state = kidDown
					todo := w.bound(w, i)
					for _, k := range todo {
						w.owed[k] = true
					}
					w.plan.begin(todo, 1)
					w.goOn()
				}
			},
			"has stopped": func(t *rapid.T) { w.becomes(t, kidDown, kidStopping) },
			"is made":     func(t *rapid.T) { w.becomes(t, kidUp, kidComing) },
			"is over":     func(t *rapid.T) { w.becomes(t, kidOver, kidUp, kidStopping, kidDown, kidComing) },
			"old timer":   func(t *rapid.T) { w.plan.due(w.plan.turn - 1); w.goOn() },
			"due":         func(t *rapid.T) { w.isDue() },
		})
		for range 100 {
			w.isDue()
			for _, k := range w.kids {
				switch k.state {
				case kidStopping:
					w.is(k, kidDown)
				case kidComing:
					w.is(k, kidUp)
				}
			}
		}
		for i, k := range w.kids {
			if k.state != kidUp && k.state != kidOver || w.owed[k] {
				t.Fatalf("kid %d is left in state %d, plan %+v", i, k.state, w.plan)
			}
		}
		if w.plan.phase != planIdle || w.plan.todo != nil {
			t.Fatalf("the plan is left at %+v", w.plan)
		}
	})
}

func (w *planWorld) isDue() {
	w.plan.due(w.due)
	w.goOn()
}

func (w *planWorld) becomes(t *rapid.T, s kidState, from ...kidState) {
	if i := w.pick(t, from...); i >= 0 {
		w.is(w.kids[i], s)
	}
}

func (w *planWorld) is(k *kid, s kidState) {
	was := k.state
	k.state = s
	// One that was started before another failure has to be stopped once more.
	if s == kidUp && was == kidComing && w.plan.phase == planStarting || s == kidOver {
		delete(w.owed, k)
	}
	w.goOn()
}
