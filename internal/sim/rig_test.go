package sim

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// rig is a number of nodes for a directed test, without a plan. What it makes
// ends with the test.
type rig struct {
	t      *testing.T
	net    *memnet.Network
	limits wire.Limits // of the nodes that are added
}

// station is a node of a rig.
type station struct {
	*actor.Proc
	gateway *gateway.Gateway
	mem     *memnet.Node
	addr    channel.Addr
	dials   *dials
}

// inRig runs f in a bubble.
func inRig(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, &rig{t: t, net: memnet.New()}) })
}

// add makes a node that listens under its name.
func (r *rig) add(name string, cfg actor.Config) *station {
	r.t.Helper()
	s := r.addHidden(name, cfg)
	var err error
	if s.addr, err = s.gateway.Listen(context.Background(), addr(name)); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// addHidden makes a node that does not listen.
func (r *rig) addHidden(name string, cfg actor.Config) *station {
	r.t.Helper()
	var err error
	if cfg.ID, err = id.NewProc(name, "main"); err != nil {
		r.t.Fatal(err)
	}
	s := &station{mem: r.net.Node(name), dials: new(dials)}
	s.gateway = gateway.New(gateway.Config{
		Self: cfg.ID, Token: []byte("rig"), Transports: channel.Transports{"mem": counting{s.mem, s.dials}}, Limits: r.limits,
	})
	cfg.Gateway, cfg.StopBound = s.gateway, time.Second
	if cfg.OnFailure == nil {
		cfg.OnFailure = func(*actor.Failure) {}
	}
	if s.Proc, err = actor.NewProc(cfg); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := s.Stop(context.Background(), time.Minute); err != nil {
			r.t.Error(err)
		}
		bound, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.gateway.Close(bound)
	})
	return s
}

// knows tells s where others are.
func (s *station) knows(others ...*station) {
	for _, o := range others {
		s.gateway.Route(o.ID(), o.addr)
	}
}

// ctx returns a ctx that sends from s.
func (s *station) ctx() context.Context { return s.Context(context.Background()) }

// dials are the times at which a node has tried to connect.
type dials struct {
	mu    sync.Mutex // guards the following
	times []time.Time
}

func (d *dials) since(t time.Time) []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.times, t.Before)
	if i < 0 {
		return nil
	}
	return slices.Clone(d.times[i:])
}

// counting notes the dials of a node.
type counting struct {
	*memnet.Node
	dials *dials
}

func (c counting) Dial(ctx context.Context, address string) (net.Conn, error) {
	c.dials.mu.Lock()
	c.dials.times = append(c.dials.times, time.Now())
	c.dials.mu.Unlock()
	return c.Node.Dial(ctx, address)
}
