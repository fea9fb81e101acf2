package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// reapBound is how long a failed spawn waits for the end of what it has killed.
const reapBound = 5 * time.Second

// awaitReady waits until h is ready. If that fails, or ctx is over first, the
// proc is killed, its end is waited for, and the error is a *SpawnError (PM-1).
// Only a proc that the kernel does not let go can outlive the call, and the
// error says so.
func awaitReady(ctx context.Context, h ProcHandle) (Endpoint, error) {
	at, err := h.Ready(ctx)
	if err == nil {
		return at, nil
	}
	s := h.Status()
	failed := &SpawnError{Name: h.ID().Name, Phase: s.In, Spent: s.Spent, Err: err}
	if e, ok := errors.AsType[*ExitedError](err); ok {
		failed.Exit, failed.Phase = e.Exit, e.Exit.Phase
		return Endpoint{}, failed
	}
	reap, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapBound)
	defer cancel()
	exit, killErr := h.Kill(reap, fmt.Sprintf("its spawn was given up: %v", err))
	failed.Exit = exit
	if killErr != nil && !errors.Is(killErr, ErrAlreadyExited) {
		failed.Err = fmt.Errorf("%w; its end was not seen: %w; %v", err, killErr, h.Status())
	}
	return Endpoint{}, failed
}

// ProcSpec says what proc to spawn. Only Name is needed: without a Program the
// proc runs in another process of our own image.
type ProcSpec struct {
	Name    string   // unique among the living procs of the host (PM-2); see id.CheckName
	Program string   // another program, which has to call hyperactor.Main too, unless its manager is host/cmdproc; "" is our own image (launch.Self)
	Args    []string // arguments, without the program's name
	Dir     string   // working directory; the host's if empty
	Env     []string // "K=V", added to the environment that the manager builds; the last one of a key wins

	Limits launch.Limits // what its process runs as and may use; the zero value changes nothing (PS-7)

	// ReadyTimeout is how long the proc may take from its start to Ready; 30s
	// if zero.
	ReadyTimeout time.Duration

	// Restart says whether the proc is started again when it ends, and
	// RestartLimits how soon and how often. That is what Host.Spawn and
	// Supervise do; a manager's Spawn starts a proc once. Each start is a new,
	// empty proc: see Supervisor.
	Restart       restart.Mode
	RestartLimits restart.Limits
}
