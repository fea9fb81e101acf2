package hosttest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
)

// Parts is what a manager stands on: the parts of a host, all but the Manager.
// They end with the test, after what is cleaned up by those who got them.
type Parts struct {
	host.Config
	Dir   string // private, for sockets
	Token []byte // the gateway's
}

// NewParts starts a gateway on a unix socket, and the procs of a host on it.
func NewParts(t *testing.T) Parts {
	t.Helper()
	dir, err := os.MkdirTemp("", "hosttest-") // t.TempDir is too long a name for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	service, token := NewID(t, "service"), []byte("token")
	gw := gateway.New(gateway.Config{Self: service, Token: token, Transports: channel.System(channel.SystemConfig{})})
	t.Cleanup(func() { gw.Close(context.Background()) })
	addr, err := gw.Listen(t.Context(), channel.Addr("unix:"+filepath.Join(dir, "host")))
	if err != nil {
		t.Fatal(err)
	}
	return Parts{Dir: dir, Token: token, Config: host.Config{
		Name: service.Host, Gateway: gw, Front: addr, Back: addr,
		Service: newProc(t, service, gw),
		Local:   newProc(t, NewID(t, "local"), gw),
	}}
}

// NewID returns the id of a proc of the host of NewParts.
func NewID(t *testing.T, name string) id.Proc {
	t.Helper()
	p, err := id.NewProc("alpha", name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newProc(t *testing.T, p id.Proc, gw *gateway.Gateway) *actor.Proc {
	t.Helper()
	proc, err := actor.NewProc(actor.Config{ID: p, Gateway: gw})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proc.Stop(context.Background(), time.Second) })
	return proc
}
