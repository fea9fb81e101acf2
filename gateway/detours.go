package gateway

import "github.com/hyperactor/hyperactor/id"

// maxDetours bounds Gateway.detours: when there are more, it may be any proc.
const maxDetours = 1024

// newRouteLocked returns a route for p, which has none.
func (g *Gateway) newRouteLocked(p id.Proc) *route {
	r := &route{detour: g.detours.has(p)}
	delete(g.detours.procs, p)
	return r
}

// forgetRouteLocked takes the route r to p, which leads nowhere, off the table.
// What has gone through the uplink may be on its way even so.
func (g *Gateway) forgetRouteLocked(p id.Proc, r *route) {
	delete(g.routes, p)
	if r.detour {
		g.detours.add(p, maxDetours)
	}
}

// overtakesLocked reports whether what we send over the session that leads
// straight to p may overtake what we have sent through the uplink (MS-1): that
// is to be asked first. Answers, and what others send through us, never went
// there.
func (g *Gateway) overtakesLocked(p id.Proc, r *route) bool {
	return r.detour && r.hop != nil && r.hop.peer == p && g.askLocked(p) != nil
}

// offerLocked lets l, a session that its peer has made, be the way to it if the
// search does not find that something is on another one. Meanwhile it is the way
// for answers and for others, unless some of what they have sent waits for the
// search.
func (r *route) offerLocked(l *link) {
	f := r.search
	f.offer = l
	if r.hop == nil && !f.ending && len(f.parked) == 0 {
		r.hop = l
	}
}

// straight notes that nothing of ours is on its way to the proc elsewhere, or
// that nobody knows. It returns the session that the proc has made with us
// meanwhile, or nil.
func (g *Gateway) straight(f *search) *link {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.straight = true
	if f.offer != nil && !f.offer.lost {
		return f.offer
	}
	return nil
}
