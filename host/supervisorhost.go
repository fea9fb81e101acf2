package host

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// wards are the supervised procs of a Host. A name is taken here from the
// first start to the end of the supervision, so that nobody else gets it while
// its proc waits to be started again.
type wards struct {
	pacer *pacer
	log   *slog.Logger
	gave  func(*GaveUpError)

	mu     sync.Mutex // guards the following
	byName map[string]*Supervisor
	halts  int // how many do not want procs to be started just now
}

func newWards(cfg Config) *wards {
	w := &wards{pacer: newPacer(cfg.RestartRate), log: cfg.Log, gave: cfg.OnGiveUp, byName: make(map[string]*Supervisor)}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.gave == nil {
		w.gave = func(e *GaveUpError) {
			w.log.Error("proc given up", "proc", e.Name, "incarnation", e.Incarnation, "error", e)
		}
	}
	return w
}

// Supervise starts a proc and keeps it running, as the function Supervise does
// for any manager: it returns before the proc is Ready. If the proc is given up, Config.OnGiveUp is told. TerminateAll and
// Shutdown end the supervision with the proc.
func (h *Host) Supervise(ctx context.Context, spec ProcSpec) (*Supervisor, error) {
	s, _, err := h.supervise(ctx, spec, false)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (h *Host) supervise(ctx context.Context, spec ProcSpec, strict bool) (*Supervisor, ProcHandle, error) {
	s, err := newSupervisor(supervision{
		manager: h.cfg.Manager, spec: spec, strict: strict,
		pacer: h.wards.pacer, log: h.wards.log, gaveUp: h.wards.gave,
		release: func() { h.wards.release(spec.Name) },
	})
	if err != nil {
		return nil, nil, err
	}
	if err := h.wards.add(ctx, s); err != nil {
		return nil, nil, fmt.Errorf("spawn %s: %w", spec.Name, err)
	}
	p, err := s.begin(ctx)
	return s, p, err
}

// spawnSupervised starts a supervised proc and returns when it is Ready. If it
// does not become so, nothing is left, the supervision included (PM-1).
func (h *Host) spawnSupervised(ctx context.Context, spec ProcSpec) (ProcHandle, error) {
	s, p, err := h.supervise(ctx, spec, true)
	if err != nil {
		return nil, err
	}
	if _, err := awaitReady(ctx, p); err != nil {
		_ = s.abandon(ctx, err) // err has what is to be said about the end
		return nil, err
	}
	return p, nil
}

// add takes the name of the proc for s.
func (w *wards) add(ctx context.Context, s *Supervisor) error {
	name := s.cfg.spec.Name
	for {
		if err := w.free(ctx, name); err != nil {
			return err
		}
		w.mu.Lock()
		draining, taken := w.halts > 0, w.byName[name] != nil
		if !draining && !taken {
			w.byName[name] = s
		}
		w.mu.Unlock()
		switch {
		case draining:
			return ErrDraining
		case !taken:
			return nil
		}
	}
}

// free returns ErrProcExists if the proc called name is supervised. One that
// has ended for good is not in the way, as soon as that can be seen (PM-2).
func (w *wards) free(ctx context.Context, name string) error {
	for s := w.get(name); s != nil; s = w.get(name) {
		over, err := s.ending(ctx)
		if err != nil {
			return err
		}
		if !over {
			return fmt.Errorf("%w, or will again: %s is supervised", ErrProcExists, name)
		}
	}
	return nil
}

func (w *wards) get(name string) *Supervisor {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byName[name]
}

func (w *wards) release(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byName, name)
}

// halt ends all supervisions, on behalf of by, and refuses new ones until
// accept is called. The procs are left to whoever stops them.
func (w *wards) halt(by, why string) []*Supervisor {
	w.mu.Lock()
	w.halts++
	all := slices.Collect(maps.Values(w.byName))
	w.mu.Unlock()
	for _, s := range all {
		s.halt(&haltError{by: by, why: why, err: ErrDraining})
	}
	return all
}

// accept takes back one halt.
func (w *wards) accept() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halts--
}

// awaitEnds waits until those of the halted supervisors are over whose procs
// were stopped: all but the failures in sum.
func awaitEnds(ctx context.Context, halted []*Supervisor, sum Summary) error {
	for _, s := range halted {
		name := s.cfg.spec.Name
		if slices.ContainsFunc(sum.Failures, func(f Failure) bool { return f.Name == name }) {
			continue
		}
		select {
		case <-s.over:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the supervisor of proc %s: %w", name, context.Cause(ctx))
		}
	}
	return nil
}
