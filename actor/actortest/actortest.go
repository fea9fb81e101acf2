// Package actortest has procs for tests that run in a testing/synctest bubble:
// one proc, or several that are joined by a network in memory whose
// connections can be cut and healed.
//
// Everything here is made inside the bubble and ends with the test, which fails
// if something stays behind.
package actortest

import (
	"context"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
)

// stopBound is the budget for the procs' end, in the bubble's time.
const stopBound = 30 * time.Second

// NewProc starts a proc that knows no others, and returns it with a ctx that
// sends from it. cfg.ID is made up if it is zero. The proc is stopped when the
// test ends; inside a bubble call it with the bubble's t.
func NewProc(t testing.TB, cfg actor.Config) (*actor.Proc, context.Context) {
	t.Helper()
	if cfg.ID.IsZero() {
		cfg.ID = newID(t, "proc")
	}
	p, err := actor.NewProc(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background(), stopBound); err != nil {
			t.Error(err)
		}
	})
	return p, p.Context(context.Background())
}

func newID(t testing.TB, name string) id.Proc {
	t.Helper()
	p, err := id.NewProc("test", name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Net is a network in memory with procs on it that know each other.
type Net struct {
	t     testing.TB
	mem   *memnet.Network
	nodes []*Node
}

// Node is one proc on a Net.
type Node struct {
	*actor.Proc
	Gateway *gateway.Gateway
	addr    channel.Addr
}

// NewNet returns an empty network.
func NewNet(t testing.TB) *Net { return &Net{t: t, mem: memnet.New()} }

// SetDelay sets how long bytes take on connections that are made later.
func (n *Net) SetDelay(d time.Duration) { n.mem.SetDelay(d) }

// Cut breaks all connections that others have made to node, and lets nobody
// make new ones until Heal. Connections that node has made stay.
func (n *Net) Cut(node *Node) { n.mem.Cut(node.addr.Address()) }

// Heal ends Cut.
func (n *Net) Heal(node *Node) { n.mem.Heal(node.addr.Address()) }

// Add starts a proc called name on the network and makes it known to the
// others and them to it. cfg.ID and cfg.Gateway are filled in. The proc is
// stopped when the test ends.
func (n *Net) Add(name string, cfg actor.Config) (*Node, context.Context) {
	n.t.Helper()
	cfg.ID = newID(n.t, name)
	node := &Node{Gateway: gateway.New(gateway.Config{
		Self: cfg.ID, Token: []byte("test"), Transports: channel.Transports{"mem": n.mem}, Log: cfg.Log,
	})}
	var err error
	if node.addr, err = node.Gateway.Listen(context.Background(), channel.Addr("mem:"+name)); err != nil {
		n.t.Fatal(err)
	}
	cfg.Gateway = node.Gateway
	var ctx context.Context
	n.t.Cleanup(func() {
		bound, cancel := context.WithTimeout(context.Background(), stopBound)
		defer cancel()
		node.Gateway.Close(bound)
	})
	node.Proc, ctx = NewProc(n.t, cfg)
	for _, other := range n.nodes {
		other.Gateway.Route(node.ID(), node.addr)
		node.Gateway.Route(other.ID(), other.addr)
	}
	n.nodes = append(n.nodes, node)
	return node, ctx
}
