package hyperactor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/host"
	census "github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/keeper"
)

// TestRealKeepers spawns a proc with every kind of keeper and counts who is
// there: nobody is left, whoever it was (PS-1).
func TestRealKeepers(t *testing.T) {
	tests := []struct {
		name      string
		cfg       hyperactor.Config
		processes int // with one proc
	}{
		{"keeper", hyperactor.Config{}, 3},
		{"none", hyperactor.Config{Keeper: hyperactor.NoKeeper}, 1},
		{"isolated", hyperactor.Config{Isolate: keeper.PIDNamespace}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Types, tt.cfg.Grace = testConfig().Types, 5*time.Second
			rt, err := hyperactor.Start(t.Context(), tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			h, err := rt.Host().Spawn(rt.Context(t.Context()), host.ProcSpec{Name: "a"})
			if errors.Is(err, keeper.ErrNoKeeper) && tt.cfg.Isolate != keeper.NoIsolation {
				rt.Close()
				t.Skip("no namespaces here: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if all, err := rt.Descendants(); err != nil || len(all) != tt.processes {
				t.Errorf("there are %v, %v, want %d", all, err, tt.processes)
			}
			if err := rt.Close(); err != nil {
				t.Error(err)
			}
			if e, err := h.Wait(t.Context()); err != nil || !e.OK() {
				t.Errorf("got %v, %v", e, err)
			}
			for _, list := range []func() ([]int, error){rt.Descendants, census.Children} {
				if left, err := list(); err != nil || len(left) > 0 {
					t.Errorf("left: %v, %v", left, err)
				}
			}
		})
	}
}

func TestRealIsolationNeedsAKeeper(t *testing.T) {
	_, err := hyperactor.Start(t.Context(), hyperactor.Config{Keeper: hyperactor.NoKeeper, Isolate: keeper.PIDNamespace})
	if err == nil || !strings.Contains(err.Error(), "needs a keeper") {
		t.Errorf("got %v", err)
	}
}
