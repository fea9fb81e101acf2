package channel

import (
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// vigil decides when a session must say something to show that it lives, when
// its peer has been silent for too long, and when nobody needs it any more
// (MS-11). It knows no time but what it is told; Session.mu guards it.
type vigil struct {
	beat    time.Duration // between heartbeats; 0 if there are none
	suspect time.Duration // how long a peer may be silent
	idle    time.Duration // how long a session may be idle

	waiting int  // calls that went out and have no answer, and pauses that have no end
	owed    int  // calls that came in and have no answer
	keepers int  // how often our side wants the session kept
	kept    bool // the peer wants it kept

	watching bool      // heartbeats are on
	beatAt   time.Time // when we next look, if watching
	since    time.Time // silence before this does not count

	idleAt time.Time // when we look whether it is idle; zero if we do not
	used   uint64    // how much was said when we looked last
	quiet  time.Time // since when nothing more was said
}

// went notes an envelope that goes out. It reports whether that answers a call
// which did not come in here.
func (v *vigil) went(e *wire.Envelope) (astray bool) {
	switch {
	case e.Kind == wire.Call:
		v.waiting++
	case answers(e):
		return !v.answered(false)
	}
	return false
}

// came notes an envelope that came in. It reports whether that ends a wait which
// is not known here.
func (v *vigil) came(e *wire.Envelope) (astray bool) {
	switch {
	case e.Kind == wire.Call:
		v.owed++
	case e.Kind == wire.Pause: // whoever is held back waits for the Resume
		v.waiting++
	case answers(e) || e.Kind == wire.Resume: // an answer that went astray may have taken the Pause's place
		return !v.answered(true)
	}
	return false
}

// answered notes that a call that went out, or one that came in, has its answer.
// It reports false if there is none.
func (v *vigil) answered(out bool) bool {
	n := &v.owed
	if out {
		n = &v.waiting
	}
	if *n == 0 {
		return false
	}
	*n--
	return true
}

// answers reports whether e is the answer to a call.
func answers(e *wire.Envelope) bool {
	return e.Kind == wire.Reply || e.Kind == wire.Return && e.Call != 0
}

// verdict is what a look has found.
type verdict struct {
	ping   bool // say something
	silent bool // the peer has been silent for too long
	expire bool // nobody needs the session
}

// watch begins to look, if it must: somebody depends on the peer.
func (v *vigil) watch(now time.Time) {
	if v.beat > 0 && !v.watching {
		v.watching, v.since, v.beatAt = true, now, now.Add(v.beat)
	}
}

// connected begins a new connection.
func (v *vigil) connected(now time.Time) {
	v.watching, v.since = false, now
	if v.idleAt.IsZero() {
		v.rest(now)
	}
}

// rest begins to look whether the session is idle.
func (v *vigil) rest(now time.Time) { v.quiet, v.idleAt = now, now.Add(v.idle/4) }

// look looks at now. heard is when the peer was heard last, said is another
// number whenever either side has said something, and unacked means that the
// peer owes us acknowledgements.
func (v *vigil) look(now, heard time.Time, said uint64, unacked bool) verdict {
	var found verdict
	if v.watching && !now.Before(v.beatAt) {
		v.lookForLife(now, heard, unacked, &found)
	}
	if !v.idleAt.IsZero() && !now.Before(v.idleAt) {
		v.lookForUse(now, said, unacked, &found)
	}
	return found
}

func (v *vigil) lookForLife(now, heard time.Time, unacked bool, found *verdict) {
	// If we look late, it was we who slept: the peer's words may wait in the
	// socket, and our own were not said.
	late := now.Sub(v.beatAt)
	if heard.After(v.since) {
		v.since = heard
	}
	v.since = v.since.Add(late)
	if grace := now.Add(v.beat - v.suspect); late >= v.beat && v.since.Before(grace) {
		v.since = grace // time for one answer
	}
	if v.since.After(now) {
		v.since = now
	}
	if !unacked && v.waiting == 0 && v.keepers == 0 {
		v.watching = false
		return
	}
	silence := now.Sub(v.since)
	found.silent = silence >= v.suspect
	found.ping = !found.silent && silence > 0
	v.beatAt = now.Add(v.beat)
	if end := v.since.Add(v.suspect); !found.silent && end.Before(v.beatAt) {
		v.beatAt = end
	}
}

// lookForUse looks four times in v.idle while the session is in use, and once
// more at the end of it.
func (v *vigil) lookForUse(now time.Time, said uint64, unacked bool, found *verdict) {
	if v.keepers > 0 || v.kept {
		v.idleAt = time.Time{} // rest begins again when that ends
		return
	}
	if said != v.used || unacked || v.waiting > 0 || v.owed > 0 {
		v.used = said
		v.rest(now)
		return
	}
	end := v.quiet.Add(v.idle)
	if found.expire = !now.Before(end); found.expire {
		end = time.Time{} // that is all there is to find
	}
	v.idleAt = end
}

// next returns when to look again; zero for never.
func (v *vigil) next() time.Time {
	if v.watching && (v.idleAt.IsZero() || v.beatAt.Before(v.idleAt)) {
		return v.beatAt
	}
	return v.idleAt
}
