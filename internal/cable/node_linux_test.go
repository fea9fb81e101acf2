package cable

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
)

// Node is what runs on a host of a cable: a whole stack, in a process of its
// own, that the test steers by calls over its standard input and output.
type Node struct {
	gateway *gateway.Gateway
	proc    *actor.Proc
	log     *logText

	mu      sync.Mutex // guards the following
	sources map[string]actor.Ref[*source]
}

// NodeConfig describes a Node.
type NodeConfig struct {
	Self        id.Proc
	Listen      channel.Addr // nobody can dial it if empty
	Journal     string       // a file; see ledger
	Credentials []byte       // for tls; see authority.Credentials
}

// beHost is a Node until the test closes its standard input.
func beHost(text string) error {
	var cfg NodeConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	transports, err := cfg.transports()
	if err != nil {
		return err
	}
	n := &Node{log: &logText{}, sources: map[string]actor.Ref[*source]{}}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.gateway = gateway.New(gateway.Config{
		Self: cfg.Self, Token: []byte("cable"), Log: log, Transports: transports,
	})
	n.proc, err = actor.NewProc(actor.Config{ID: cfg.Self, Gateway: n.gateway, Log: log})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := ledgerType.Spawn(n.proc.Context(ctx), cfg.Self, ledgerName, cfg.Journal); err != nil {
		return err
	}
	if cfg.Listen != "" {
		if _, err := n.gateway.Listen(ctx, cfg.Listen); err != nil {
			return err
		}
	}
	server := rpc.NewServer()
	if err := server.Register(n); err != nil {
		return err
	}
	server.ServeCodec(jsonrpc.NewServerCodec(stdio{os.Stdin, os.Stdout}))
	return nil
}

// transports returns plain text and, if there are credentials, TLS.
func (cfg *NodeConfig) transports() (channel.Transports, error) {
	all := channel.System(channel.SystemConfig{Insecure: true})
	if len(cfg.Credentials) == 0 {
		return all, nil
	}
	var own authority.Credentials
	if err := own.UnmarshalBinary(cfg.Credentials); err != nil {
		return nil, err
	}
	tls, err := mtls.New(mtls.Config{
		Credentials: func() (authority.Credentials, error) { return own, nil },
		Under:       all["tcp"],
	})
	all["tls"] = tls
	return all, err
}

// stdio is a connection out of two files.
type stdio struct {
	io.Reader
	io.WriteCloser
}

// logText is what was logged so far.
type logText struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Log returns what was logged so far.
func (n *Node) Log(_ struct{}, out *string) error {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	*out = n.log.b.String()
	return nil
}

// Way says how a proc is reached.
type Way struct {
	To   id.Proc
	Addr channel.Addr
	Via  []id.Proc
}

// Route makes a way known.
func (n *Node) Route(w Way, _ *struct{}) error {
	if len(w.Via) > 0 {
		n.gateway.RouteVia(w.To, w.Via...)
	} else {
		n.gateway.Route(w.To, w.Addr)
	}
	return nil
}

// Attach joins whoever listens at addr.
func (n *Node) Attach(addr channel.Addr, _ *struct{}) error {
	_, err := n.gateway.Attach(context.Background(), addr)
	return err
}

// Load sends a Load and returns when all of it was sent.
func (n *Node) Load(l Load, out *Sent) error {
	ctx := n.proc.Context(context.Background())
	s, err := n.source(ctx, l.From)
	if err == nil {
		*out, err = run.Call(ctx, s, l)
	}
	return err
}

// source returns the sender of that name.
func (n *Node) source(ctx context.Context, name string) (actor.Ref[*source], error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.sources[name]
	if ok {
		return s, nil
	}
	s, err := sourceType.Spawn(ctx, n.proc.ID(), name, actor.None{})
	if err == nil {
		n.sources[name] = s
	}
	return s, err
}

// Returned returns what came back to a sender.
func (n *Node) Returned(from string, out *[]string) error {
	ctx := n.proc.Context(context.Background())
	s, err := n.source(ctx, from)
	if err == nil {
		*out, err = returned.Call(ctx, s, actor.None{})
	}
	return err
}

// Accounts returns what the ledger here has had from each sender.
func (n *Node) Accounts(_ struct{}, out *map[string]Account) (err error) {
	*out, err = accounts.Call(n.proc.Context(context.Background()), ledgerOf(n.proc.ID()), actor.None{})
	return err
}

// Pending says how calls went that wait for Release elsewhere.
type Pending struct {
	Replies int
	Errors  []string
	Took    time.Duration
}

// HoldCalls are calls to the ledger of a proc that hang.
type HoldCalls struct {
	To    id.Proc
	Count int
}

// Hold makes calls to the ledger of a proc that hang and returns when all have ended.
func (n *Node) Hold(h HoldCalls, out *Pending) error {
	ctx := n.proc.Context(context.Background())
	began := time.Now()
	errs := make(chan error, h.Count)
	for range h.Count {
		go func() {
			_, err := hold.Call(ctx, ledgerOf(h.To), 0)
			errs <- err
		}()
	}
	for range h.Count {
		if err := <-errs; err != nil {
			out.Errors = append(out.Errors, err.Error())
		} else {
			out.Replies++
		}
	}
	out.Took = time.Since(began)
	return nil
}

// Release ends the calls that hang here and says how many they were.
func (n *Node) Release(_ struct{}, out *int) (err error) {
	*out, err = release.Call(n.proc.Context(context.Background()), ledgerOf(n.proc.ID()), actor.None{})
	return err
}

// AwaitHeld returns when that many calls hang here.
func (n *Node) AwaitHeld(calls int, _ *struct{}) error {
	_, err := awaitHeld.Call(n.proc.Context(context.Background()), ledgerOf(n.proc.ID()), calls)
	return err
}

// AwaitHandled returns when l.Count messages of l.From were handled here.
func (n *Node) AwaitHandled(l Load, _ *struct{}) error {
	_, err := awaitHandled.Call(n.proc.Context(context.Background()), ledgerOf(n.proc.ID()), l)
	return err
}

// Stock returns what the process holds.
func (n *Node) Stock(_ struct{}, out *Stock) error {
	*out = takeStock()
	return nil
}

// Stats returns what the gateway counted.
func (n *Node) Stats(_ struct{}, out *gateway.Stats) error {
	*out = n.gateway.Stats()
	return nil
}
