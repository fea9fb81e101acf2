package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/floor"
	"github.com/hyperactor/hyperactor/wire"
)

// receiver is the actor that gets the messages.
type receiver struct{ m *meter }

// What a receiver understands. The last four are for the benchmark itself.
var (
	putMethod     = actor.OnSend("bench.put", (*receiver).put)
	bulkMethod    = actor.OnSend("bench.bulk", (*receiver).bulk)
	echoMethod    = actor.On("bench.echo", (*receiver).echo)
	expectMethod  = actor.OnSend("bench.expect", (*receiver).expect)
	tallyMethod   = actor.On("bench.tally", (*receiver).tally)
	usageMethod   = actor.On("bench.usage", (*receiver).usage)
	profileMethod = actor.OnSend("bench.profile", (*receiver).profile)

	receiverType = receiverTypeFor(newMeter)
)

// receiverTypeFor returns the type of receivers that count in what meter returns.
func receiverTypeFor(meter func() *meter) *actor.Type[*receiver, actor.None] {
	return actor.Define("bench.receiver",
		func(context.Context, actor.None) (*receiver, error) { return &receiver{meter()}, nil },
		putMethod, bulkMethod, echoMethod, expectMethod, tallyMethod, usageMethod, profileMethod)
}

func (r *receiver) put(_ context.Context, body []byte) error {
	r.m.handle(body)
	return nil
}

// bulk looks at the bytes where they are, and gives their memory back.
func (r *receiver) bulk(_ context.Context, b wire.Bulk) error {
	defer b.Release()
	return b.View(func(p []byte) error {
		r.m.handle(p)
		return nil
	})
}

func (r *receiver) echo(_ context.Context, body []byte) ([]byte, error) { return body, nil }

func (r *receiver) expect(_ context.Context, size int) error {
	r.m.size.Store(int64(size))
	return nil
}

func (r *receiver) tally(context.Context, actor.None) (tally, error) { return r.m.tally(), nil }

func (r *receiver) usage(_ context.Context, settled bool) (usage, error) {
	return usageNow(settled), nil
}

func (r *receiver) profile(_ context.Context, path string) error { return r.m.profileTo(path) }

// programConfig is that of this program as a host, and as a proc.
func programConfig() hyperactor.Config {
	return hyperactor.Config{Types: []actor.AnyType{receiverType}, Host: hostName, NoLogs: true}
}

// hosted is ours as a program has it: a host spawns a child process, which
// talks over a unix socket, and an actor in it.
type hosted struct {
	bulk bool
}

func (h hosted) name() string {
	if h.bulk {
		return bulkName
	}
	return oursName
}

func (h hosted) carries(s shape) bool { return s.Network == "unix" && !(h.bulk && s.Calls) }

func (h hosted) open(ctx context.Context, _ shape) (*link, error) {
	rt, err := hyperactor.Start(ctx, programConfig())
	if err != nil {
		return nil, err
	}
	spec := host.ProcSpec{Name: "far"}
	child, err := rt.Host().Spawn(rt.Context(ctx), spec)
	if err != nil {
		rt.Close()
		return nil, err
	}
	ref, err := receiverType.Spawn(rt.Context(ctx), child.ID(), "receiver", actor.None{})
	if err != nil {
		rt.Close()
		return nil, err
	}
	return &link{
		carrier: &actorCarrier{proc: rt.Proc(), to: ref, bulk: h.bulk, end: rt.Close},
		far:     &actorFar{proc: rt.Proc(), to: ref},
	}, nil
}

// actorCarrier sends to an actor.
type actorCarrier struct {
	proc *actor.Proc // who sends
	to   actor.Ref[*receiver]
	bulk bool          // one-way messages are a wire.Bulk, not bytes
	lost *atomic.Int64 // what came back undelivered; nil if nobody counts
	end  func() error
}

// context makes the proc the sender, once for many messages.
func (c *actorCarrier) context(ctx context.Context) context.Context { return c.proc.Context(ctx) }

func (c *actorCarrier) send(ctx context.Context, body []byte) error {
	if c.bulk {
		return bulkMethod.Send(ctx, c.to, wire.NewBulk(body))
	}
	return putMethod.Send(ctx, c.to, body)
}

func (c *actorCarrier) flush(context.Context) error { return nil } // nothing is kept back

func (c *actorCarrier) call(ctx context.Context, body []byte) error {
	_, err := echoMethod.Call(ctx, c.to, body)
	return err
}

func (c *actorCarrier) returned() int64 {
	if c.lost == nil {
		return 0
	}
	return c.lost.Load()
}

func (c *actorCarrier) close() error { return c.end() }

// actorFar asks the actor.
type actorFar struct {
	proc *actor.Proc // who asks
	to   actor.Ref[*receiver]
}

func (f *actorFar) expect(ctx context.Context, size int) error {
	_, err := expectMethod.Call(f.proc.Context(ctx), f.to, size)
	return err
}

// await asks as the one who has sent, whose ctx it is: the actor handles that after
// all messages (MS-1), so there is nothing to wait for.
func (f *actorFar) await(ctx context.Context, _ int64, _ time.Duration) (tally, error) {
	return tallyMethod.Call(ctx, f.to, actor.None{})
}

func (f *actorFar) usage(ctx context.Context, settled bool) (usage, error) {
	return usageMethod.Call(f.proc.Context(ctx), f.to, settled)
}

func (f *actorFar) profile(ctx context.Context, path string) error {
	_, err := profileMethod.Call(f.proc.Context(ctx), f.to, path)
	return err
}

func (f *actorFar) close() error { return nil } // the carrier's end is that of its host, with the proc

// hostName is the host of all procs.
const hostName = "bench"

// farProc is the proc at the far side, where it is not a host's.
func farProc() id.Proc { return id.Proc{Host: hostName, Name: "far", UID: 1} }

// nearProc is the n-th proc at the near side.
func nearProc(n int) id.Proc {
	return id.Proc{Host: hostName, Name: fmt.Sprint("near", n), UID: uint64(n) + 2}
}

// gatewayPeer is ours without a host: a proc and its gateway at each side,
// over the networks that a host does not use for its children.
func gatewayPeer(label string, bulk bool) *peer {
	return &peer{
		label: label, networks: []string{"tcp", "tls"}, serve: serveGateway,
		only: func(s shape) bool { return !(bulk && s.Calls) },
		dial: func(ctx context.Context, at place, address string) (carrier, error) {
			return dialGateway(ctx, at, address, bulk)
		},
	}
}

// oursOver returns the transports of ours at a place. Over tls both sides show
// the certificate of the host bench.
func oursOver(at place) (channel.Transports, error) {
	all := channel.System(channel.SystemConfig{})
	if at.Network != "tls" {
		return all, nil
	}
	t, err := mtls.New(mtls.Config{Files: authority.HostFiles(filepath.Join(at.Dir, hostName))})
	all["tls"] = t
	return all, err
}

// certify makes the certificates that oursOver uses.
func certify(dir string) error {
	a, err := authority.New("bench", time.Hour)
	if err != nil {
		return err
	}
	h, err := a.Host(hostName, time.Hour)
	if err != nil {
		return err
	}
	return h.Save(filepath.Join(dir, hostName))
}

func newGateway(self id.Proc, at place) (*gateway.Gateway, error) {
	transports, err := oursOver(at)
	return gateway.New(gateway.Config{Self: self, Token: []byte("bench"), Transports: transports}), err
}

func serveGateway(at place, m *meter) (string, error) {
	ctx := context.Background()
	new(floor.Floor).Start() // as package hyperactor does for its processes
	g, err := newGateway(farProc(), at)
	if err != nil {
		return "", err
	}
	addr, err := g.Listen(ctx, channel.Addr(at.Network+":"+freshAddress(at)))
	if err != nil {
		return "", err
	}
	p, err := actor.NewProc(actor.Config{ID: farProc(), Gateway: g}) // ends with the process
	if err != nil {
		return "", err
	}
	_, err = receiverTypeFor(func() *meter { return m }).Spawn(p.Context(ctx), farProc(), "receiver", actor.None{})
	return string(addr), err
}

func dialGateway(ctx context.Context, at place, address string, bulk bool) (carrier, error) {
	g, err := newGateway(nearProc(at.Serial), at)
	if err != nil {
		return nil, err
	}
	g.Route(farProc(), channel.Addr(address))
	lost := new(atomic.Int64)
	p, err := actor.NewProc(actor.Config{
		ID: nearProc(at.Serial), Gateway: g, OnUndeliverable: func(actor.Undelivered) { lost.Add(1) },
	})
	if err != nil {
		return nil, err
	}
	c := &actorCarrier{
		proc: p, to: actor.RefOf[*receiver](farProc().Actor("receiver")), bulk: bulk, lost: lost,
		end: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), closeBound)
			defer cancel()
			return errors.Join(p.Stop(ctx, closeBound), g.Close(ctx))
		},
	}
	return c, c.call(c.context(ctx), nil) // the connection is made with the first message
}
