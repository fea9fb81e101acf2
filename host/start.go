package host

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

// Start is how a manager makes one proc real. All but Log is needed.
type Start struct {
	Host    string           // the host's name in the ids of its procs
	Gateway *gateway.Gateway // its routes to the proc end with the proc
	Log     *slog.Logger     // nil logs nothing

	// Begin starts the proc. After an error nothing may be left of it.
	Begin func(ctx context.Context, p id.Proc) (Begun, error)
}

// Begun is a proc that exists, for its handle.
type Begun struct {
	Body      Body
	PID       int            // see FollowConfig
	Suspended func() bool    // see FollowConfig
	Handle    chan<- *Handle // if not nil, it takes the handle at once
}

// Spawn is the part of a manager's Spawn that is the same for all: the name is
// reserved, the proc is started and followed, and at its end its routes are
// removed and its name is free.
func (r *Roster) Spawn(ctx context.Context, spec ProcSpec, s Start) (ProcHandle, error) {
	p, err := id.NewProc(s.Host, spec.Name)
	if err != nil {
		return nil, &SpawnError{Name: spec.Name, Err: err}
	}
	place, err := r.Reserve(ctx, spec.Name)
	if err != nil {
		return nil, fmt.Errorf("spawn %s: %w", spec.Name, err)
	}
	began := time.Now()
	b, err := s.Begin(ctx, p)
	if err != nil {
		place.Release()
		return nil, &SpawnError{Name: spec.Name, Phase: launch.PhaseExec, Spent: Spent{launch.PhaseExec: time.Since(began)}, Err: err}
	}
	h := Follow(FollowConfig{
		ID: p, PID: b.PID, Began: began, ReadyTimeout: spec.ReadyTimeout, Log: s.Log, Suspended: b.Suspended,
		OnExit: func(e Exit) {
			s.Gateway.Unroute(p, &ExitedError{ID: p, Exit: e})
			place.Release()
		},
	}, b.Body)
	if b.Handle != nil {
		b.Handle <- h
	}
	if err := place.Fill(h); err != nil {
		h.Kill(context.WithoutCancel(ctx), err.Error())
		return nil, fmt.Errorf("spawn %s: %w", spec.Name, err)
	}
	return h, nil
}
