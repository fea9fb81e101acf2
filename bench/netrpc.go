package main

import (
	"context"
	"net/rpc"
)

// netRPC is net/rpc with gob, its default. One-way messages are calls made
// with Go, whose answers are empty and waited for only when too many are out.
type netRPC struct {
	client *rpc.Client
	done   chan *rpc.Call // what Go reports to
	calls  int            // out, without an answer
	bytes  int            // of those
	failed error          // the first that failed since flush
}

// netRPCCalls is how many calls may be out. It is small against what memory
// allows and large against what is on the way at any time.
const netRPCCalls = 1024

// windowBytes is how many bytes of messages may be on the way where the peer's
// own flow control says nothing, as with net/rpc and NATS. It is what a session
// of ours allows.
const windowBytes = 4 << 20

func netRPCPeer() *peer {
	return &peer{
		label: "net/rpc", networks: []string{"unix", "tcp", "tls"},
		serve: func(at place, m *meter) (string, error) {
			l, err := listen(at)
			if err != nil {
				return "", err
			}
			s := rpc.NewServer()
			if err := s.RegisterName("Bench", &RPCService{m}); err != nil {
				return "", err
			}
			go s.Accept(l) // ends with the process
			return l.Addr().String(), nil
		},
		dial: func(ctx context.Context, at place, address string) (carrier, error) {
			conn, err := dial(ctx, at.Network, address)
			if err != nil {
				return nil, err
			}
			return &netRPC{client: rpc.NewClient(conn), done: make(chan *rpc.Call, netRPCCalls)}, nil
		},
	}
}

// RPCService is what net/rpc calls: it and its methods have to be exported.
type RPCService struct{ m *meter }

// Put handles a one-way message.
func (s *RPCService) Put(body []byte, _ *int) error {
	s.m.handle(body)
	return nil
}

// Echo answers with what it gets.
func (s *RPCService) Echo(body []byte, back *[]byte) error {
	*back = body
	return nil
}

func (n *netRPC) send(ctx context.Context, body []byte) error {
	for n.calls > 0 && (n.calls == netRPCCalls || n.bytes+len(body) > windowBytes) {
		if err := n.reap(ctx); err != nil {
			return err
		}
	}
	n.calls++
	n.bytes += len(body)
	n.client.Go("Bench.Put", body, new(int), n.done)
	return nil
}

// reap takes the answer of one call.
func (n *netRPC) reap(ctx context.Context) error {
	select {
	case c := <-n.done:
		n.calls--
		n.bytes -= len(c.Args.([]byte))
		if n.failed == nil {
			n.failed = c.Error
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *netRPC) flush(ctx context.Context) error {
	for n.calls > 0 {
		if err := n.reap(ctx); err != nil {
			return err
		}
	}
	err := n.failed
	n.failed = nil
	return err
}

func (n *netRPC) call(_ context.Context, body []byte) error {
	var back []byte
	return n.client.Call("Bench.Echo", body, &back)
}

func (n *netRPC) close() error { return n.client.Close() }
