package localproc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/host/localproc"
	"github.com/hyperactor/hyperactor/launch"
)

func TestRealContract(t *testing.T) { hosttest.Run(t, hosttest.Harness{New: newParts}) }

// TestRealRefused asks for what only a process has.
func TestRealRefused(t *testing.T) {
	m := newParts(t).Manager
	for _, s := range []host.ProcSpec{
		{Name: "a", Program: "/bin/true"}, {Name: "a", Args: []string{"x"}}, {Name: "a", Env: []string{"A=1"}}, {Name: "a", Dir: "/"},
		{Name: "a", Limits: launch.Limits{PIDs: 3}},
	} {
		_, err := m.Spawn(t.Context(), s)
		if _, ok := errors.AsType[*host.SpawnError](err); !ok || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: got %v", s, err)
		}
	}
	if procs := m.Procs(); len(procs) > 0 {
		t.Errorf("procs are left: %v", procs)
	}
}

// newParts returns the parts of a host whose procs live in this process.
func newParts(t *testing.T) host.Config {
	parts := hosttest.NewParts(t)
	parts.Manager = localproc.New(localproc.Config{
		Host: parts.Name, Service: parts.Service, Gateway: parts.Gateway, Types: hosttest.Types(), KillBound: 100 * time.Millisecond,
	})
	t.Cleanup(func() { parts.Manager.Close(context.Background()) })
	return parts.Config
}
