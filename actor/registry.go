package actor

import "strconv"

// registry finds the actors of a proc by name. Those that were given one are in
// a map. Those that were not have a name that the proc made of a number, and
// the numbers come in order: they are kept in pages, which costs an actor 8
// bytes and its spawner no look-up in memory far away. Its owner locks it.
type registry struct {
	named map[string]*cell
	pages map[uint64]*page
}

// page is a run of numbers.
type page struct {
	cells [pageSize]*cell
	used  int
}

// pageSize is small, since one actor that lives on keeps its whole page.
const pageSize = 64

// madeUp is what the names of actors begin with that were spawned without one.
const madeUp = '_'

// makeName returns the name of number n.
func makeName(n uint64) string {
	var b [16]byte
	return string(strconv.AppendUint(append(b[:0], madeUp), n, 36))
}

// number returns the number that a name was made of, if it is such a name.
// Others can have the same number ("_01"): the name decides.
func number(name string) (uint64, bool) {
	if name == "" || name[0] != madeUp {
		return 0, false
	}
	n, err := strconv.ParseUint(name[1:], 36, 64)
	return n, err == nil
}

// get returns the actor called name, or nil.
func (r *registry) get(name string) *cell {
	n, ok := number(name)
	if !ok {
		return r.named[name]
	}
	if p := r.pages[n/pageSize]; p != nil {
		if c := p.cells[n%pageSize]; c != nil && c.name == name {
			return c
		}
	}
	return nil
}

// put adds an actor; n is the number that its name was made of, or 0.
func (r *registry) put(c *cell, n uint64) {
	if n == 0 {
		if r.named == nil {
			r.named = map[string]*cell{}
		}
		r.named[c.name] = c
		return
	}
	p := r.pages[n/pageSize]
	if p == nil {
		if r.pages == nil {
			r.pages = map[uint64]*page{}
		}
		p = &page{}
		r.pages[n/pageSize] = p
	}
	p.cells[n%pageSize] = c
	p.used++
}

// remove removes the actor called name. An empty page goes with it.
func (r *registry) remove(name string) {
	n, ok := number(name)
	if !ok {
		delete(r.named, name)
		return
	}
	if r.get(name) == nil {
		return
	}
	p := r.pages[n/pageSize]
	p.cells[n%pageSize] = nil
	if p.used--; p.used == 0 {
		delete(r.pages, n/pageSize)
	}
}

// all yields every actor, in no order.
func (r *registry) all(yield func(*cell) bool) {
	for _, c := range r.named {
		if !yield(c) {
			return
		}
	}
	for _, p := range r.pages {
		for _, c := range p.cells {
			if c != nil && !yield(c) {
				return
			}
		}
	}
}
