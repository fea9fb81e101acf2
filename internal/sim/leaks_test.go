package sim

import (
	"fmt"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
)

// leaks sees that nobody remembers more than what is there: nothing grows with
// the peers that ever were.
func (w *world) leaks() []flaw {
	var found []flaw
	living := map[id.Proc]bool{}
	hidden := 0
	for _, n := range w.nodes() {
		living[n.id] = true
		if n.plan.hidden {
			hidden++
		}
	}
	for _, n := range w.nodes() {
		w.mu.Lock()
		known := len(living) - 1
		for p := range n.met {
			if !living[p] {
				known++ // somebody vouches for it
			}
		}
		w.mu.Unlock()
		peers := len(living) - 1
		t := n.gateway.Tables()
		most := gateway.Tables{
			Sessions: 2 * peers, Routes: known, Askers: known * t.Sessions, Ties: t.Ties, Attached: hidden,
		}
		if t.Sessions > most.Sessions || t.Routes > most.Routes || t.Askers > most.Askers || t.Attached > most.Attached {
			found = append(found, flaw{text: fmt.Sprintf("%s remembers too much: %+v, at most %+v", n, t, most)})
		}
		if t.Searches+t.Parked+t.Asks+t.Forwards+t.Background > 0 {
			found = append(found, flaw{text: fmt.Sprintf("%s: at the end its gateway is not idle: %+v", n, t)})
		}
		if s := n.proc.Status(); s.Calls+s.Posted+s.Held > 0 {
			found = append(found, flaw{text: fmt.Sprintf("%s: at the end its proc waits: %d calls, %d held back, %d posted", n, s.Calls, s.Held, s.Posted)})
		}
	}
	return found
}
