package actor

import (
	"maps"
	"slices"

	"github.com/hyperactor/hyperactor/id"
)

// ties are the watches and links between the actors of one proc and others,
// in that proc or elsewhere: a pure table, whose owner locks it. It decides that
// each end is told once (AC-10): to tell somebody is to take the tie from by,
// which works once. It grows with what is tied now, not with what ever was.
type ties struct {
	last uint64                      // the number of our latest
	by   map[id.Proc]map[tieKey]*tie // those that nobody was told of, by the proc of the other end
	of   map[*cell]map[*tie]struct{} // those of an actor, until it has handled what it was told
}

// tie is one watch or link, as one of its two ends sees it.
type tie struct {
	key  tieKey
	peer id.Actor  // the other end
	cell *cell     // our end; nil if that is somebody in WaitFor
	link bool      // both ends want to know of each other
	told chan Down // takes one, for WaitFor
	open bool      // in ties.by
	over bool      // nothing about it is to be handled any more
}

// tieKey names a tie among those with one proc: by the number that the end gave
// it which made it.
type tieKey struct {
	theirs bool // the other end made it
	number uint64
}

// add adds t. It reports false if there is one like it, which only a peer can
// cause that uses a number twice.
func (s *ties) add(t *tie) bool {
	if !t.key.theirs {
		s.last++
		t.key.number = s.last
	}
	with := s.by[t.peer.Proc]
	if with == nil {
		with = make(map[tieKey]*tie)
		if s.by == nil {
			s.by, s.of = make(map[id.Proc]map[tieKey]*tie), make(map[*cell]map[*tie]struct{})
		}
		s.by[t.peer.Proc] = with
	}
	if with[t.key] != nil {
		return false
	}
	with[t.key] = t
	t.open = true
	if t.cell == nil {
		return true
	}
	of := s.of[t.cell]
	if of == nil {
		of = make(map[*tie]struct{})
		s.of[t.cell] = of
	}
	of[t] = struct{}{}
	return true
}

// take returns the tie that the actor from speaks of, or nil: the caller is the
// one who tells our end.
func (s *ties) take(from id.Actor, key tieKey) *tie {
	t := s.by[from.Proc][key]
	if t == nil || t.peer != from {
		return nil
	}
	s.close(t)
	return t
}

// takeGone is take for all ties with actors of p.
func (s *ties) takeGone(p id.Proc) []*tie {
	if len(s.by[p]) == 0 {
		return nil
	}
	all := slices.Collect(maps.Values(s.by[p]))
	for _, t := range all {
		s.close(t)
	}
	return all
}

// close sees to it that nobody else is told of t.
func (s *ties) close(t *tie) {
	if !t.open {
		return
	}
	t.open = false
	with := s.by[t.peer.Proc]
	delete(with, t.key)
	if len(with) == 0 {
		delete(s.by, t.peer.Proc)
	}
}

// forget removes t. It reports whether that is news: whether nothing about it
// was handled, and will not be.
func (s *ties) forget(t *tie) bool {
	s.close(t)
	of := s.of[t.cell]
	delete(of, t)
	if len(of) == 0 {
		delete(s.of, t.cell)
	}
	news := !t.over
	t.over = true
	return news
}

// cut forgets those ties of c that which picks, and returns those whose other
// end is still to be told.
func (s *ties) cut(c *cell, which func(*tie) bool) []*tie {
	var open []*tie
	for t := range s.of[c] {
		if !which(t) {
			continue
		}
		if t.open {
			open = append(open, t)
		}
		s.forget(t)
	}
	return open
}

// len returns how many there are.
func (s *ties) len() int {
	n := 0
	for _, with := range s.by {
		for _, t := range with {
			if t.cell == nil {
				n++
			}
		}
	}
	for _, of := range s.of {
		n += len(of)
	}
	return n
}

// linked returns the link of c with peer that nobody was told of, or nil.
func (s *ties) linked(c *cell, peer id.Actor) *tie {
	for t := range s.of[c] {
		if t.link && t.open && t.peer == peer {
			return t
		}
	}
	return nil
}

// Which of an actor's ties end when; see ties.cut.
func allTies(*tie) bool { return true }

// tiesOfRun are those that end with the run of an actor, restarted or not. Those
// who only watch the actor go on to.
func tiesOfRun(t *tie) bool { return t.link || !t.key.theirs }
