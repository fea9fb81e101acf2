package actor

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hyperactor/hyperactor/id"
	"pgregory.net/rapid"
)

// modelTie is a tie as somebody sees it who keeps every one there ever was.
type modelTie struct {
	tie  *tie
	told int  // how often our end was told
	shut bool // nobody may be told any more
}

// TestTies has a table tie, hear, lose and cut at random, and compares whom it
// tells with a model: each at most once, and exactly those that the model names.
func TestTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s ties
		var all []*modelTie
		cells := []*cell{{}, {}, {}}
		procs := []id.Proc{{Host: "h", Name: "p", UID: 1}, {Host: "h", Name: "q", UID: 2}}
		drawPeer := func() id.Actor {
			return rapid.SampledFrom(procs).Draw(t, "proc").Actor(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "peer"))
		}
		var open func(m *modelTie) bool = func(m *modelTie) bool { return m.told == 0 && !m.shut }
		tell := func(ts []*tie) {
			for _, x := range ts {
				i := slices.IndexFunc(all, func(m *modelTie) bool { return m.tie == x })
				if all[i].told++; all[i].shut || all[i].told > 1 {
					t.Fatalf("tie %d was told %d times, over: %v", i, all[i].told, all[i].shut)
				}
			}
		}
		mustHave := func(got []*tie, want func(m *modelTie) bool) {
			n := 0
			for i, m := range all {
				if want(m) != slices.Contains(got, m.tie) {
					t.Fatalf("tie %d is among those taken: %v, want %v", i, !want(m), want(m))
				}
				if want(m) {
					n++
				}
			}
			if n != len(got) {
				t.Fatalf("%d were taken, want %d", len(got), n)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"tie": func(t *rapid.T) {
				x := &tie{peer: drawPeer(), cell: rapid.SampledFrom(append(cells, nil)).Draw(t, "cell")}
				if x.cell != nil {
					x.link = rapid.Bool().Draw(t, "link")
					x.key.theirs = rapid.Bool().Draw(t, "theirs")
				}
				x.key.number = rapid.Uint64Range(1, 20).Draw(t, "their number")
				taken := x.key.theirs && slices.ContainsFunc(all, func(m *modelTie) bool {
					return open(m) && m.tie.key == x.key && m.tie.peer.Proc == x.peer.Proc
				})
				if s.add(x) == taken {
					t.Fatalf("a tie numbered %d was added: %v", x.key.number, !taken)
				}
				if !taken {
					all = append(all, &modelTie{tie: x})
				}
			},
			"hear": func(t *rapid.T) {
				from, key := drawPeer(), tieKey{rapid.Bool().Draw(t, "theirs"), rapid.Uint64Range(1, 20).Draw(t, "number")}
				var got []*tie
				if x := s.take(from, key); x != nil {
					got = append(got, x)
				}
				mustHave(got, func(m *modelTie) bool { return open(m) && m.tie.peer == from && m.tie.key == key })
				tell(got)
			},
			"lose": func(t *rapid.T) {
				p := rapid.SampledFrom(procs).Draw(t, "proc")
				got := s.takeGone(p)
				mustHave(got, func(m *modelTie) bool { return open(m) && m.tie.peer.Proc == p })
				tell(got)
			},
			"stop": func(t *rapid.T) {
				if len(all) == 0 {
					return
				}
				m := rapid.SampledFrom(all).Draw(t, "tie")
				if got := s.forget(m.tie); got == m.shut {
					t.Fatalf("stopping is news: %v, was over: %v", got, m.shut)
				}
				m.shut = true
			},
			"cut": func(t *rapid.T) {
				c := rapid.SampledFrom(cells).Draw(t, "cell")
				which := allTies
				if rapid.Bool().Draw(t, "only the run") {
					which = tiesOfRun
				}
				mine := func(m *modelTie) bool { return m.tie.cell == c && which(m.tie) }
				mustHave(s.cut(c, which), func(m *modelTie) bool { return open(m) && mine(m) })
				for _, m := range all {
					m.shut = m.shut || mine(m)
				}
			},
			"": func(t *rapid.T) { checkSize(t, &s, all, open) },
		})
	})
}

// checkSize checks that the table has what the model has, and nothing else:
// nothing grows with what ever was.
func checkSize(t *rapid.T, s *ties, all []*modelTie, open func(*modelTie) bool) {
	by, of, wantBy, wantOf := 0, 0, 0, 0
	for p, with := range s.by {
		if by += len(with); len(with) == 0 {
			t.Fatalf("nothing is kept for %v", p)
		}
	}
	for _, ts := range s.of {
		if of += len(ts); len(ts) == 0 {
			t.Fatal("nothing is kept for an actor")
		}
	}
	for _, m := range all {
		if open(m) {
			wantBy++
		}
		if !m.shut && m.tie.cell != nil {
			wantOf++
		}
	}
	if got, want := fmt.Sprint(by, of), fmt.Sprint(wantBy, wantOf); got != want {
		t.Fatalf("the table has %s entries, want %s", got, want)
	}
}
