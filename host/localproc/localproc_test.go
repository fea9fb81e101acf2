package localproc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/host/localproc"
	"github.com/hyperactor/hyperactor/id"
)

func TestRealContract(t *testing.T) { hosttest.Run(t, hosttest.Harness{New: newParts}) }

// TestRealRefused asks for what only a process has.
func TestRealRefused(t *testing.T) {
	m := newParts(t).Manager
	for _, s := range []host.ProcSpec{
		{Name: "a", Program: "/bin/true"}, {Name: "a", Args: []string{"x"}}, {Name: "a", Env: []string{"A=1"}}, {Name: "a", Dir: "/"},
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
	dir, err := os.MkdirTemp("", "localproc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	service, local := newID(t, "service"), newID(t, "local")
	gw := gateway.New(gateway.Config{Self: service, Token: []byte("token"), Transports: channel.System(channel.SystemConfig{})})
	t.Cleanup(func() { gw.Close(context.Background()) })
	addr, err := gw.Listen(t.Context(), channel.Addr("unix:"+filepath.Join(dir, "host")))
	if err != nil {
		t.Fatal(err)
	}
	parts := host.Config{
		Name: service.Host, Gateway: gw, Front: addr, Back: addr,
		Service: newProc(t, actor.Config{ID: service, Gateway: gw}),
		Local:   newProc(t, actor.Config{ID: local, Gateway: gw}),
	}
	parts.Manager = localproc.New(localproc.Config{
		Host: parts.Name, Service: parts.Service, Gateway: gw, Types: hosttest.Types(), KillBound: 100 * time.Millisecond,
	})
	t.Cleanup(func() { parts.Manager.Close(context.Background()) })
	return parts
}

func newID(t *testing.T, name string) id.Proc {
	t.Helper()
	p, err := id.NewProc("alpha", name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newProc(t *testing.T, cfg actor.Config) *actor.Proc {
	t.Helper()
	p, err := actor.NewProc(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background(), time.Second) })
	return p
}
