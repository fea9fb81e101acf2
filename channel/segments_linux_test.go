package channel

import (
	"errors"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel/internal/shm"
)

// TestRealMS9EndWhileFilling ends a session while somebody copies into memory
// that it shares, who is done before everything is given back, or after it: the
// memory is given back once.
func TestRealMS9EndWhileFilling(t *testing.T) {
	for _, early := range []bool{true, false} {
		cfg := Config{}.withDefaults()
		s := newSession(1, Peer{}, nil, cfg)
		seg, err := shm.Make(shm.MinSize)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Hub.share(shm.MinSize)
		w := &writing{Segment: seg, hub: cfg.Hub, filling: true}
		s.memory.arena.Grow(shm.MinSize)
		s.memory.arena.Opened(1, true, time.Time{})
		s.memory.arena.Take(shm.MinSize)
		s.memory.segments = map[uint32]*writing{1: w}
		s.Abort(errors.New("stop"))
		if early {
			s.filledLocked(1, w, nil)
		}
		s.freeMemory()
		if !early {
			s.filledLocked(1, w, nil)
		}
		if n := cfg.Hub.shared.Load(); n != 0 {
			t.Errorf("done early %v: %d bytes count as shared", early, n)
		}
	}
}
