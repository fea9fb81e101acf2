package gateway

import (
	"sync"
	"sync/atomic"

	"github.com/hyperactor/hyperactor/id"
)

// tableLock is the lock of the gateway's tables. What was found in them holds
// as long as version is the same: whoever held the lock to change something has
// counted it up when the lock is free again.
type tableLock struct {
	sync.RWMutex
	version atomic.Uint64
}

// Unlock ends a change.
func (l *tableLock) Unlock() {
	l.version.Add(1)
	l.RWMutex.Unlock()
}

// ways remembers which session messages take that were sent lately, so that
// most of them are on their way without a lock and a look-up by three names.
type ways [64]atomic.Pointer[way]

// way is what is known of one proc. All of it but version never changes.
type way struct {
	to      id.Proc
	hop     *link
	version atomic.Uint64 // of the tables that said so
}

func (w *ways) place(uid uint64) *atomic.Pointer[way] { return &w[uid%uint64(len(w))] }

// find returns the session to a proc if tables that have not changed said so.
func (w *ways) find(to *id.Proc, version uint64) *link {
	if k := w.place(to.UID).Load(); k != nil && k.version.Load() == version && k.to == *to {
		return k.hop
	}
	return nil
}

// remember is called with the lock for reading. Of two procs at one place the
// first one stays as long as the tables do.
func (w *ways) remember(to id.Proc, hop *link, version uint64) {
	place := w.place(to.UID)
	k := place.Load()
	switch {
	case k != nil && k.to == to && k.hop == hop:
		k.version.Store(version)
	case k == nil || k.version.Load() != version:
		k = &way{to: to, hop: hop}
		k.version.Store(version)
		place.Store(k)
	}
}

// forget gives the memory of a session free that has ended.
func (w *ways) forget(hop *link) {
	for i := range w {
		if k := w[i].Load(); k != nil && k.hop == hop {
			w[i].CompareAndSwap(k, nil)
		}
	}
}

// arrival is where the last message over a link went.
type arrival struct {
	to      id.Proc
	local   Local // nil if it is none of ours
	inlet   Inlet // of local; nil if it has none
	version uint64
}

// localFor returns the local proc called p, or nil. Only the goroutine that
// reads from l calls it.
func (g *Gateway) localFor(l *link, p id.Proc) Local {
	a := &l.arrival
	if a.version != g.mu.version.Load() || a.to != p {
		g.mu.RLock()
		local := g.locals[p]
		a.to, a.version = p, g.mu.version.Load()
		g.mu.RUnlock()
		a.lead(local)
	}
	return a.local
}

// lead makes a lead to local.
func (a *arrival) lead(local Local) {
	if a.local == local {
		return
	}
	a.flush()
	a.local, a.inlet = local, nil
	if l, ok := local.(Inlets); ok {
		a.inlet = l.Inlet()
	}
}

// flush delivers what the inlet has taken.
func (a *arrival) flush() {
	if a.inlet != nil {
		a.inlet.Flush()
	}
}
