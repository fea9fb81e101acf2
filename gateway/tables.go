package gateway

// Tables are the sizes of what a gateway remembers. They go with what is there
// and under way, and with what somebody vouches for (Route); none grows with
// the procs and peers that ever were.
type Tables struct {
	Sessions   int // with other processes
	Routes     int // procs elsewhere to which a way is known or being found
	Searches   int // those to which one is being found
	Parked     int // messages of others that wait for a search
	Askers     int // pairs of a proc and a peer that is to be told of its end
	Asks       int // our own questions without an answer
	Forwards   int // questions of others that we look into
	Ties       int // watches, links and pauses that went over a session and have not ended
	Attached   int // hosts that are reached over a session that they have made, or Join
	Joins      int // addresses that we have joined, or are about to
	Background int // searches, and peers that say hello
}

// Tables returns how large the tables are now.
func (g *Gateway) Tables() Tables {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t := Tables{
		Sessions: len(g.links), Routes: len(g.routes), Asks: len(g.asks), Forwards: g.forwards,
		Ties: g.paths.len(), Attached: len(g.attached), Joins: len(g.joins), Background: len(g.cancels),
	}
	for _, r := range g.routes {
		if r.search != nil {
			t.Searches++
			t.Parked += len(r.search.parked)
		}
	}
	for _, who := range g.askers {
		t.Askers += len(who)
	}
	return t
}
