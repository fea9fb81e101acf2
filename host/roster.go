package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Roster is what the managers of procs share: which names are taken, how many
// spawns run at once, and stopping everybody. A manager's Spawn goes, by hand or
// by the method of that name,
//
//	place, err := roster.Reserve(ctx, spec.Name)   // name and slot are ours
//	…start it; on failure place.Release()
//	h := Follow(FollowConfig{OnExit: func(Exit) { place.Release() }}, body)
//	err = place.Fill(h)                            // the slot is free; on failure kill h and wait for it
//
// Its methods may be called concurrently.
type Roster struct {
	slots chan struct{} // holds a token for each spawn under way (PM-3)

	mu      sync.Mutex // guards the following, and the fields of each Place
	places  map[string]*Place
	drains  int           // how many TerminateAll are under way
	closed  bool          // for good
	refused chan struct{} // closed when spawns are refused from then on; another one when they no longer are
}

// Place is a name on a Roster: reserved, then filled with a proc, then free
// again.
type Place struct {
	roster  *Roster
	name    string
	settled chan struct{} // closed when there is a handle, or never will be

	handle   ProcHandle
	holds    bool // a slot
	released bool
	doomed   bool // whoever was to stop the proc could not wait for it to start
}

// NewRoster returns an empty roster that lets limit spawns run at once; if
// limit is not positive, two for each processor, and at least eight.
func NewRoster(limit int) *Roster {
	if limit <= 0 {
		limit = max(8, 2*runtime.GOMAXPROCS(0))
	}
	return &Roster{
		slots:   make(chan struct{}, limit),
		places:  make(map[string]*Place),
		refused: make(chan struct{}),
	}
}

// Reserve takes name and, as soon as one is free, a slot to start the proc in.
// The error is ErrProcExists, ErrDraining or the cause of ctx.
func (r *Roster) Reserve(ctx context.Context, name string) (*Place, error) {
	p := &Place{roster: r, name: name, settled: make(chan struct{})}
	refused, err := r.add(p)
	if err != nil {
		return nil, err
	}
	select {
	case r.slots <- struct{}{}:
		if p.take(refused) {
			return p, nil
		}
		<-r.slots
		err = ErrDraining
	case <-refused:
		err = ErrDraining
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.Release()
	return nil, err
}

// add writes p into the roster. It returns what tells p that spawns are
// refused after all.
func (r *Roster) add(p *Place) (refused chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.drains > 0 {
		return nil, ErrDraining
	}
	if r.places[p.name] != nil {
		return nil, fmt.Errorf("%w: %s", ErrProcExists, p.name)
	}
	r.places[p.name] = p
	return r.refused, nil
}

// take notes that p has a slot, unless spawns were refused while it waited.
func (p *Place) take(refused chan struct{}) bool {
	p.roster.mu.Lock()
	defer p.roster.mu.Unlock()
	select {
	case <-refused:
		return false
	default:
		p.holds = true
		return true
	}
}

// Fill enters the handle of the proc that was started and frees the slot. With
// ErrDraining the proc must not live: it was to be stopped with the others,
// who could not wait any longer. A proc that has already exited and released
// the place stays off the roster.
func (p *Place) Fill(h ProcHandle) error {
	r := p.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	p.freeSlotLocked()
	switch {
	case p.released:
		return nil
	case p.doomed:
		return fmt.Errorf("%w: %s", ErrDraining, p.name)
	}
	p.handle = h
	close(p.settled)
	return nil
}

// Release frees the name, and the slot if it is still held. Only the first
// call does something.
func (p *Place) Release() {
	r := p.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.released {
		return
	}
	p.released = true
	p.freeSlotLocked()
	delete(r.places, p.name)
	if p.handle == nil {
		close(p.settled)
	}
}

func (p *Place) freeSlotLocked() {
	if p.holds {
		p.holds = false
		<-p.roster.slots // never blocks: our token is in there
	}
}

// Procs returns the handles of the living procs, by name.
func (r *Roster) Procs() []ProcHandle {
	var procs []ProcHandle
	for _, p := range r.list() {
		if h := p.proc(); h != nil {
			procs = append(procs, h)
		}
	}
	return procs
}

// Proc returns the handle of the living proc called name, or nil.
func (r *Roster) Proc(name string) ProcHandle {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.places[name]; p != nil {
		return p.handle
	}
	return nil
}

// list returns all places, by name.
func (r *Roster) list() []*Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.listLocked()
}

func (r *Roster) listLocked() []*Place {
	places := make([]*Place, 0, len(r.places))
	for _, p := range r.places {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b *Place) int { return cmp.Compare(a.name, b.name) })
	return places
}

// proc returns the handle in p, or nil.
func (p *Place) proc() ProcHandle {
	p.roster.mu.Lock()
	defer p.roster.mu.Unlock()
	return p.handle
}

// refuse refuses spawns, for good or until accept is called, and returns who
// is there. A spawn that raced with it is either among those or refused.
func (r *Roster) refuse(forGood bool) []*Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && r.drains == 0 {
		close(r.refused)
	}
	if forGood {
		r.closed = true
	} else {
		r.drains++
	}
	return r.listLocked()
}

// accept takes back one refuse.
func (r *Roster) accept() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drains--
	if !r.closed && r.drains == 0 {
		r.refused = make(chan struct{})
	}
}

// wait waits until it is known whether p has a proc, and returns it, or nil.
// If ctx is over first, the proc that may come is doomed.
func (p *Place) wait(ctx context.Context) (ProcHandle, error) {
	select {
	case <-p.settled:
		return p.proc(), nil
	case <-ctx.Done():
	}
	r := p.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.handle != nil || p.released {
		return p.handle, nil
	}
	p.doomed = true
	return nil, fmt.Errorf("%w: it was still starting and will be killed as soon as it runs", context.Cause(ctx))
}

// Close refuses spawns from now on, kills all procs and waits for their ends.
// It can be called again; ctx bounds the wait.
func (r *Roster) Close(ctx context.Context) error {
	places := r.refuse(true)
	errs := make([]error, len(places))
	var wg sync.WaitGroup
	for i, p := range places {
		wg.Go(func() {
			if err := p.kill(ctx); err != nil {
				errs[i] = fmt.Errorf("kill proc %s: %w", p.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// kill kills the proc in p, or dooms the one that is still starting, and waits
// until the place is free.
func (p *Place) kill(ctx context.Context) error {
	p.roster.mu.Lock()
	h := p.handle
	p.doomed = true
	p.roster.mu.Unlock()
	if h == nil {
		select {
		case <-p.settled:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	_, err := h.Kill(ctx, "the manager is closed")
	return untilGone(ctx, h, err)
}

// untilGone turns what a stop of h returned into the answer to whether h is
// gone. After a signal that failed, the handle goes on trying: it is waited
// for.
func untilGone(ctx context.Context, h ProcHandle, err error) error {
	if _, ok := errors.AsType[*SignalError](err); ok {
		if _, waitErr := h.Wait(ctx); waitErr == nil {
			err = nil
		}
	}
	if err == nil || errors.Is(err, ErrAlreadyExited) {
		return nil
	}
	return notGone(h, err)
}

func notGone(h ProcHandle, err error) error {
	return fmt.Errorf("%w; status: %v", err, h.Status())
}
