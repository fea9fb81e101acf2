package hyperactor

import (
	"context"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
)

// Identity gives each child process a certificate of its own (MS-15); Procs in
// package mtls does. A program has the same one in its Config as the host and as
// a child process. What it costs, only those pay who link it and use it.
type Identity interface {
	// Check returns an error if Issue could issue nothing. Start calls it.
	Check() error

	// Issue certifies that whoever has the private key of public is p. The host
	// calls it, concurrently, for a child process that has asked for it over the
	// connection that it got with its birth.
	Issue(p id.Proc, public []byte) ([]byte, error)

	// Transports returns transports in which a child process shows that it is p.
	// The child calls it once, before it is there. ask has its host call Issue
	// and returns what that did.
	Transports(p id.Proc, ask func(ctx context.Context, public []byte) ([]byte, error)) channel.Transports
}

// issue is what managers of child processes take; nil if there are no
// certificates.
func issue(cfg Config) func(p id.Proc, public []byte) ([]byte, error) {
	if cfg.Identity == nil {
		return nil
	}
	return cfg.Identity.Issue
}

// Join connects the proc that ctx is of, a handler's say, with the host that
// listens at addr, its Config.Front: what the proc sends to procs there goes
// straight to that host from then on, unless there was a way before. In a child
// process it needs Config.Identity, for addresses like "tls:10.0.0.7:7000"; the
// host there sees who the proc is. It returns the host's own proc.
//
// Whatever listens at addr may also be a single proc, with Listen. Then only
// that one is reached.
//
// ctx bounds the call. While the connection lasts, another Join of addr does
// nothing. It goes on after breaks of the network like any other, for
// Timing.ResumeFor; when it is lost for good, because the host there has ended
// say, calls fail, and Join is to be called again.
func Join(ctx context.Context, addr channel.Addr) (id.Proc, error) {
	gw, err := actor.GatewayOf(ctx)
	if err != nil {
		return id.Proc{}, err
	}
	return gw.Join(ctx, addr)
}

// Listen has the proc that ctx is of accept connections at addr, until it ends,
// and returns the real address: of "tls:0.0.0.0:0", the port. Others reach the
// proc there with Join. In a child process it needs Config.Identity.
func Listen(ctx context.Context, addr channel.Addr) (channel.Addr, error) {
	gw, err := actor.GatewayOf(ctx)
	if err != nil {
		return "", err
	}
	return gw.Listen(ctx, addr)
}
