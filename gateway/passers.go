package gateway

// passers are the peers whose messages to one proc go through us, over the
// session with it or, while there is none, into the search. As long as some may
// be on their way, a peer is not sent straight to the proc: what it says there
// would overtake them (MS-1, MS-2).
type passers struct {
	here map[*link]struct{}
	left few // their sessions have ended; they may be back with another one
}

// maxLeft bounds passers.left: when many have left, it may be anybody.
const maxLeft = 64

// enter notes that something goes from the peer of l to the proc.
func (s *passers) enter(l *link) {
	if s.here == nil {
		s.here = make(map[*link]struct{})
	}
	s.here[l] = struct{}{}
}

// leave notes that the session of l has ended.
func (s *passers) leave(l *link) {
	if _, ok := s.here[l]; !ok {
		return
	}
	delete(s.here, l)
	s.left.add(l.peer, maxLeft)
}

// any reports whether something may be on its way from the peer of l.
func (s *passers) any(l *link) bool {
	_, here := s.here[l]
	return here || s.left.has(l.peer)
}

// arrived notes that what the peer of l has sent, and those who have left, is
// on its way no more. Others may be about to send.
func (s *passers) arrived(l *link) {
	delete(s.here, l)
	s.left = few{}
}

// passedLocked reports whether something that the peer of l has sent to the
// proc through us may be on its way still.
func (r *route) passedLocked(l *link) bool {
	if r.passers.any(l) && r.quietLocked() {
		r.passers.arrived(l)
	}
	return r.passers.any(l)
}

// quietLocked reports whether nothing is on its way to the proc.
func (r *route) quietLocked() bool {
	return r.search == nil && (r.hop == nil || r.hop.sess.Status().Unacked == 0)
}

// leaveLocked notes that the session of l has ended.
func (r *route) leaveLocked(l *link) {
	if r.passedLocked(l) {
		r.passers.leave(l)
	}
}
