package memnet

import (
	"math/rand/v2"
	"time"
)

// path is one direction between two nodes. Network.mu guards it.
type path struct {
	network  *Network
	own      *Link // nil: as all are
	random   *rand.Rand
	held     bool      // nothing gets through
	since    time.Time // when that began
	refused  bool      // dials are
	free     time.Time // when the rate lets the next byte go
	breakIn  int       // bytes until the connection breaks that carries them; -1 for never
	breakHow error
}

func (n *Network) pathLocked(from, to string) *path {
	key := [2]string{from, to}
	if n.paths[key] == nil {
		n.paths[key] = &path{network: n, breakIn: -1, random: rand.New(rand.NewPCG(n.seed, hash(from+"\x00"+to)))}
	}
	return n.paths[key]
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// link returns how the path is, with its defaults.
func (p *path) link() Link {
	l := p.network.link
	if p.own != nil {
		l = *p.own
	}
	if l.Buffer <= 0 {
		l.Buffer = defaultBuffer
	}
	return l
}

// arrival is when n bytes arrive that set out now.
func (p *path) arrival(n int) time.Time {
	l, at := p.link(), time.Now()
	if l.Rate > 0 {
		if p.free.After(at) {
			at = p.free
		}
		at = at.Add(time.Duration(n) * time.Second / time.Duration(l.Rate))
		p.free = at
	}
	if l.Jitter > 0 {
		at = at.Add(time.Duration(p.random.Int64N(int64(l.Jitter))))
	}
	return at.Add(l.Delay)
}

// arrived reports whether what was to arrive at that time has. While the path
// is held, only what came before has.
func (p *path) arrived(at time.Time) bool {
	return past(at) && (!p.held || !at.After(p.since))
}
