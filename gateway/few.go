package gateway

import "github.com/hyperactor/hyperactor/id"

// few is a set of procs that stays small: one that would get too large is said
// to have all of them.
type few struct {
	procs map[id.Proc]struct{}
	all   bool
}

// add adds p to a set of max at most.
func (f *few) add(p id.Proc, max int) {
	if f.all {
		return
	}
	if f.procs == nil {
		f.procs = make(map[id.Proc]struct{})
	}
	if f.procs[p] = struct{}{}; len(f.procs) > max {
		f.procs, f.all = nil, true
	}
}

func (f *few) has(p id.Proc) bool {
	_, ok := f.procs[p]
	return ok || f.all
}
